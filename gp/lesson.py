"""The lesson: the pool of a search, and what a teacher says of it who was fitted to the labels of the search split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fitness.features.soundness import overflowing
from fitness.features.workshop import Progress, Workshop
from fitness.predictors.members import rank_targets
from fitness.predictors.numbers import NumberTable, number_table
from fitness.predictors.teacher import taught
from fitness.ranking import RankTarget
from fitness.tables.branches import BranchTable
from fitness.tables.table_file import branch_table
from gp.case import Case
from gp.pool import drawn_pool
from models.architecture import Architecture
from primitives.proxy import Proxy

__all__ = ["Lesson"]

TRUST = 0.25  # share of a label in what a formula is to say of a labelled network; the teacher has the rest


@dataclass(frozen=True, eq=False)
class Lesson:
    """The architectures `seen`, which have labels, and those of the pool; `numbers` are of the former and then of the
    latter, and so is every array below."""

    workshop: Workshop
    seen: Sequence[Architecture]
    pool: Sequence[Architecture]
    numbers: NumberTable

    @classmethod
    def of(cls, case: Case, count: int) -> Lesson | None:
        """The lesson of a case, before any feature of its pool; None where its space gives no pool, or where the
        weights are those of a checkpoint, which other networks than its own do not fit."""
        pool = drawn_pool(case.seen, count) if case.workshop.weights is None else []
        return cls.on(case.workshop, case.seen, pool) if pool else None

    @classmethod
    def on(cls, workshop: Workshop, seen: Sequence[Architecture], pool: Sequence[Architecture]) -> Lesson:
        """The lesson on this pool."""
        return cls(workshop, seen, pool, number_table([*seen, *pool], workshop.bank.key.build))

    def sound(self, progress: Progress | None = None) -> Lesson | None:
        """Without the networks of the pool that overflow, whose features are extracted for this; None without any."""
        bad = overflowing(self.pool, self.workshop, progress)
        left = [architecture for architecture in self.pool if architecture.id not in bad]
        return self.on(self.workshop, self.seen, left) if left else None

    def table(self) -> BranchTable:
        """The branches of every network."""
        return branch_table([*self.seen, *self.pool], self.workshop)

    def exact_scores(self, proxies: Sequence[Proxy], progress: Progress | None = None) -> np.ndarray:
        """(P, N) on every network."""
        return self.workshop.exact_scores(proxies, [*self.seen, *self.pool], progress)

    def says(self, quality: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Predictions (N,) for every network by the teacher of the labels `quality` (n,) at `places`."""
        return taught(self.numbers, places, rank_targets(quality))

    def target(self, quality: np.ndarray) -> RankTarget:
        """Target of the fitness: the labels `quality` (n,), each drawn towards what the teacher says, and
        what the teacher says of the pool."""
        said, count = self.says(quality, np.arange(len(self.seen))), len(self.seen)
        labels = TRUST * rank_targets(quality) + (1 - TRUST) * said[:count]
        return RankTarget.create(np.concatenate([labels, said[count:]]))
