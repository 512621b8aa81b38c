"""Evaluation: one proxy measured on the search split, its sign included; and the split itself."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fitness.ranking import RankTarget
from primitives.invalid import Invalid
from primitives.proxy import Proxy

__all__ = ["OBJECTIVES", "Evaluate", "Evaluation", "Split", "evaluate_scores", "split_groups"]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A formula and its worth: the one record of it, from the search to the file.

    `fitness` is the objective after `sign` (+1 or -1) was fixed, so it is never negative; larger is better. `ranking`
    is the bytes of the signed rank vector: two formulas with the same one are the same ranking. `found_at` counts the
    formulas that were compared before. An invalid evaluation has fitness -inf, its reason in `invalid`, and never
    enters a hall of fame.
    """

    proxy: Proxy
    fitness: float
    sign: int
    ranking: bytes = b""
    invalid: Invalid | None = None
    found_at: int = 0

    @classmethod
    def refuse(cls, proxy: Proxy, reason: Invalid) -> Evaluation:
        """An evaluation that failed, with its reason."""
        return cls(proxy, float("-inf"), 1, b"", reason)

    @property
    def order(self) -> tuple[float, int, str]:
        """Best first: fitness, then the simpler formula, then the text."""
        return -self.fitness, self.proxy.complexity, self.proxy.text


OBJECTIVES: dict[str, Callable[[RankTarget, np.ndarray], np.ndarray]] = {
    "spearman": RankTarget.spearman,
    "kendall": RankTarget.kendall,
    "both": lambda target, scores: (target.spearman(scores) + target.kendall(scores)) / 2,
}
"""What a search maximises, by name: rho, tau-b, or their mean."""

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


def evaluate_scores(
    proxies: Sequence[Proxy], scores: np.ndarray, target: RankTarget, objective: str = "spearman"
) -> list[Evaluation]:
    """Evaluations of score vectors (P, N); the sign is chosen here, on these architectures only."""
    finite = np.isfinite(scores).all(-1)
    constant = finite & (scores.max(-1) == scores.min(-1))
    usable = finite & ~constant
    fitness = np.full(len(proxies), -np.inf)
    if usable.any():
        # A dot product's last bit may depend on how many rows there are; selection compares exactly.
        fitness[usable] = OBJECTIVES[objective](target, scores[usable]).round(12)
    result = []
    for proxy, row, value, is_finite, is_constant in zip(proxies, scores, fitness, finite, constant, strict=True):
        if not is_finite:
            result.append(Evaluation.refuse(proxy, Invalid.NON_FINITE))
        elif is_constant:
            result.append(Evaluation.refuse(proxy, Invalid.CONSTANT))
        else:
            sign = 1 if value >= 0 else -1
            result.append(Evaluation(proxy, float(abs(value)), sign, ranking_key(sign * row)))
    return result


def ranking_key(scores: np.ndarray) -> bytes:
    """Identity of a ranking: the order of the architectures, ties included."""
    return np.unique(scores, return_inverse=True)[1].astype(np.int32).tobytes()
