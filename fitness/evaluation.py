"""Evaluation: one proxy measured on the search split, its sign included; and the split itself."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from primitives.invalid import Invalid
from primitives.proxy import Proxy

__all__ = ["Evaluate", "Evaluation", "Split", "dense_ranks", "ranking_key", "ranking_keys", "split_groups"]


@dataclass(frozen=True)
class Evaluation:
    """A formula and its worth: the one record of it, from the search to the file.

    `fitness` is the objective after `sign` (+1 or -1) was fixed, so it is never negative; larger is better. `ranking`
    is the sha256 of the signed ranking (`ranking_key`): two formulas with the same one are the same ranking. `found_at`
    is the number of formulas that were compared until then. An invalid evaluation has fitness -inf, its reason in
    `invalid`, and never enters a hall of fame.
    """

    proxy: Proxy
    fitness: float
    sign: int
    ranking: str = ""
    invalid: Invalid | None = None
    found_at: int = 0

    @classmethod
    def refuse(cls, proxy: Proxy, reason: Invalid) -> Evaluation:
        """An evaluation that failed, with its reason."""
        return cls(proxy, float("-inf"), 1, "", reason)

    @property
    def order(self) -> tuple[float, int, str]:
        """Best first: fitness, then the simpler formula, then the text."""
        return -self.fitness, self.proxy.complexity, self.proxy.text


Evaluate = Callable[[Sequence[Proxy]], Sequence[Evaluation]]


@dataclass(frozen=True)
class Split:
    """Indices into a benchmark: what evolution may see, and all others. They share no architecture."""

    search: tuple[int, ...]
    holdout: tuple[int, ...]


def split_groups(groups: np.ndarray, search_size: int, seed: int) -> Split:
    """A random split that keeps exact repeats together; `search_size` is reached to within one group."""
    rng = random.Random(f"split:{seed}")
    members: dict[int, list[int]] = {}
    for index, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(index)
    order = sorted(members)
    rng.shuffle(order)
    search: list[int] = []
    for group in order:
        if len(search) + len(members[group]) <= search_size:
            search += members[group]
    holdout = sorted(set(range(len(groups))) - set(search))
    return Split(tuple(sorted(search)), tuple(holdout))


def ranking_key(scores: np.ndarray) -> str:
    """Identity of a ranking: the sha256 of the order of the architectures, ties included."""
    return ranking_keys(scores[None])[0]


def ranking_keys(scores: np.ndarray) -> list[str]:
    """The identities of many rankings (P, N)."""
    return [hashlib.sha256(row.tobytes()).hexdigest() for row in dense_ranks(scores)]


def dense_ranks(scores: np.ndarray) -> np.ndarray:
    """The place of each value among the different values of its row, from 0, for `scores` (P, N); int32."""
    order = np.argsort(scores, axis=-1)
    ordered = np.take_along_axis(scores, order, axis=-1)
    new = np.zeros(ordered.shape, dtype=np.int32)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    ranks = np.empty_like(new)
    np.put_along_axis(ranks, order, np.cumsum(new, axis=-1, dtype=np.int32), axis=-1)
    return ranks
