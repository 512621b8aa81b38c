"""GrowthTarget: whether scores grow when one size of a network grows alone (`models.nested`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fitness.evaluation import dense_ranks
from models.nested import SIZES, NestedFamily

__all__ = ["WANTED", "GrowthTarget"]

WANTED = 0.9  # steps up less steps down, as a share of all steps of a size, that nothing is taken off for


@dataclass(frozen=True, eq=False)
class GrowthTarget:
    """Steps from one network of a family to the next: `steps` (K, 2) are their columns among the scores, `sizes` (K,)
    which of SIZES grows. `own` are the columns of all families."""

    own: slice
    steps: np.ndarray
    sizes: np.ndarray

    @classmethod
    def create(cls, families: Sequence[NestedFamily], start: int) -> GrowthTarget:
        """The steps of families whose networks stand one after another from column `start` on."""
        steps, sizes, at = list[tuple[int, int]](), list[int](), start
        for family in families:
            count = len(family.architectures)
            steps += [(at + i, at + i + 1) for i in range(count - 1)]
            sizes += [SIZES.index(family.size)] * (count - 1)
            at += count
        return cls(slice(start, at), np.array(steps), np.array(sizes))

    def shares(self, scores: np.ndarray) -> np.ndarray:
        """(P, sizes) from -1 to 1: steps up less steps down of the scores (P, N), as a share of the steps of a size."""
        found = np.sign(scores[:, self.steps[:, 1]] - scores[:, self.steps[:, 0]])
        return np.stack([found[:, self.sizes == size].mean(-1) for size in np.unique(self.sizes)], axis=-1)

    def lacking(self, scores: np.ndarray, signs: np.ndarray) -> np.ndarray:
        """(P,) from 0: what the scores times their signs (P,) lack of WANTED in the size that they grow least with."""
        return np.maximum(WANTED - (signs[:, None] * self.shares(scores)).min(-1), 0)

    def within(self, scores: np.ndarray) -> np.ndarray:
        """(P, networks of all families): the places of their scores."""
        return dense_ranks(scores[:, self.own])

    def only(self, places: np.ndarray, start: int) -> GrowthTarget:
        """The steps both of whose networks are among the columns `places`, which rise; the columns begin at `start`."""
        kept = np.isin(self.steps, places).all(-1)
        steps = np.searchsorted(places, self.steps[kept])
        return replace(self, own=slice(start, len(places)), steps=steps, sizes=self.sizes[kept])
