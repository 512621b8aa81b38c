"""Several benchmarks at once: one formula, one sign, and the mean or the worst of its agreements with each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import stats

from fitness.evaluation import dense_ranks
from fitness.growth import GrowthTarget
from fitness.ranking import RankTarget
from storage.errors import WrongInput

__all__ = ["WAYS", "AcrossTarget", "BadAcross", "Target"]

WAYS = ("mean", "worst")


class BadAcross(WrongInput):
    """Targets that cannot be joined; the message says why."""


@dataclass(frozen=True, eq=False)
class AcrossTarget:
    """The targets of several benchmarks whose architectures stand one after another; `how` joins the agreements.

    A formula that gives all architectures of one benchmark the same score has agreement 0 there. Where there are
    families of nested networks, behind all others, what a formula lacks of their `growth` is taken off its agreement.
    """

    parts: tuple[RankTarget, ...]
    how: str = "mean"
    growth: GrowthTarget | None = None

    def __post_init__(self) -> None:
        if self.how not in WAYS or not self.parts:
            raise BadAcross(
                f"across: got {self.how!r} of {len(self.parts)} targets, wanted {' or '.join(WAYS)} of some"
            )

    @property
    def slices(self) -> tuple[slice, ...]:
        """Slices of the architectures of each benchmark."""
        ends = np.cumsum([0, *(len(part.values) for part in self.parts)]).tolist()
        return tuple(slice(start, stop) for start, stop in pairwise(ends))

    @property
    def values(self) -> np.ndarray:
        """(N,): the ranks of each part on the scale from 0 to 1, for what needs one number per architecture."""
        return np.concatenate([stats.rankdata(part.values) / (len(part.values) + 1) for part in self.parts])

    def only(self, places: np.ndarray) -> AcrossTarget:
        """The targets of some architectures: of `places` that `enough` has left."""
        inside = [places[(places >= s.start) & (places < s.stop)] - s.start for s in self.slices]
        kept = [part.only(own) for part, own in zip(self.parts, inside, strict=True) if len(own)]
        growth = self.growth and self.growth.only(places, sum(map(len, inside)))
        return AcrossTarget(tuple(kept), self.how, growth)

    def enough(self, places: np.ndarray) -> np.ndarray:
        """Drop the parts that have fewer than three of the sorted `places`; returns the places that remain."""
        inside = [places[(places >= s.start) & (places < s.stop)] for s in self.slices]
        few = np.concatenate([own for own in inside if len(own) < 3] or [places[:0]])
        return places[~np.isin(places, few)]

    def agreement(self, measure: Callable[[RankTarget, np.ndarray], np.ndarray], scores: np.ndarray) -> np.ndarray:
        """(P,) signed: `measure` of the scores (P, N) in each part, joined. The sign is that of the mean; the worst is
        the one that is furthest on the other side of it. 0 where the worst, or what is left of it, is."""
        parts = np.stack([_or_zero(measure, part, scores[:, own]) for part, own in self._each()])
        mean = parts.mean(0)
        sign = np.where(mean >= 0, 1, -1)
        worth = np.abs(mean) if self.how == "mean" else (sign * parts).min(0)
        if self.growth is not None:
            worth = worth - self.growth.lacking(scores, sign)
        return sign * np.maximum(worth, 0)

    def within(self, scores: np.ndarray) -> np.ndarray:
        """(P, N): the place of each score among those of its part."""
        places = [dense_ranks(scores[:, own]) for own in self.slices]
        return np.concatenate([*places, *([self.growth.within(scores)] if self.growth else [])], axis=-1)

    def _each(self) -> Sequence[tuple[RankTarget, slice]]:
        return list(zip(self.parts, self.slices, strict=True))


Target = RankTarget | AcrossTarget
"""The labels of one benchmark or of several, which scores are compared with."""


def _or_zero(
    measure: Callable[[RankTarget, np.ndarray], np.ndarray], part: RankTarget, scores: np.ndarray
) -> np.ndarray:
    """The measure of each row, 0 where the row is constant."""
    found = np.zeros(len(scores))
    varies = scores.max(-1) > scores.min(-1)
    if varies.any():
        found[varies] = measure(part, scores[varies])
    return found
