"""Several benchmarks at once: one formula, one sign, and the mean or the worst of its agreements with each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import stats

from fitness.evaluation import dense_ranks
from fitness.ranking import RankTarget
from storage.errors import ZcpError

__all__ = ["WAYS", "AcrossTarget", "BadAcross"]

WAYS = ("mean", "worst")


class BadAcross(ZcpError, ValueError):
    """Targets that cannot be joined; the message says why."""


@dataclass(frozen=True, eq=False)
class AcrossTarget:
    """The targets of several benchmarks whose architectures stand one after another; `how` joins the agreements.

    A formula that gives all architectures of one benchmark the same score has agreement 0 there.
    """

    parts: tuple[RankTarget, ...]
    how: str = "mean"

    def __post_init__(self) -> None:
        if self.how not in WAYS or not self.parts:
            raise BadAcross(
                f"across: got {self.how!r} of {len(self.parts)} targets, wanted {' or '.join(WAYS)} of some"
            )

    @property
    def slices(self) -> tuple[slice, ...]:
        """Where the architectures of each part stand."""
        ends = np.cumsum([0, *(len(part.values) for part in self.parts)]).tolist()
        return tuple(slice(start, stop) for start, stop in pairwise(ends))

    @property
    def values(self) -> np.ndarray:
        """(N,): the ranks of each part on the scale from 0 to 1, for what needs one number per architecture."""
        return np.concatenate([stats.rankdata(part.values) / (len(part.values) + 1) for part in self.parts])

    def only(self, places: np.ndarray) -> AcrossTarget:
        """The targets of some architectures; `places` rise. A part of which fewer than three are left goes."""
        inside = [places[(places >= s.start) & (places < s.stop)] - s.start for s in self.slices]
        kept = [part.only(own) for part, own in zip(self.parts, inside, strict=True) if len(own) > 2]
        return AcrossTarget(tuple(kept), self.how)

    def agreement(self, measure: Callable[[RankTarget, np.ndarray], np.ndarray], scores: np.ndarray) -> np.ndarray:
        """(P,) signed: `measure` of the scores (P, N) in each part, joined. The sign is that of the mean; the worst is
        the one that is furthest on the other side of it."""
        parts = np.stack([_or_zero(measure, part, scores[:, own]) for part, own in self._each()])
        mean = parts.mean(0)
        if self.how == "mean":
            return mean
        sign = np.where(mean >= 0, 1, -1)
        return sign * np.maximum((sign * parts).min(0), 0)

    def within(self, scores: np.ndarray) -> np.ndarray:
        """(P, N): the place of each score among those of its part."""
        return np.concatenate([dense_ranks(scores[:, own]) for own in self.slices], axis=-1)

    def _each(self) -> Sequence[tuple[RankTarget, slice]]:
        return list(zip(self.parts, self.slices, strict=True))


def _or_zero(
    measure: Callable[[RankTarget, np.ndarray], np.ndarray], part: RankTarget, scores: np.ndarray
) -> np.ndarray:
    """The measure of each row, 0 where the row is constant."""
    found = np.zeros(len(scores))
    varies = scores.max(-1) > scores.min(-1)
    if varies.any():
        found[varies] = measure(part, scores[varies])
    return found
