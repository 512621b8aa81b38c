"""The lesson: the pool of a search, and what a teacher says of it who was fitted to the labels of the search split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fitness.features.soundness import overflowing
from fitness.features.workshop import Progress, Workshop
from fitness.predictors.members import rank_targets
from fitness.predictors.numbers import NumberTable, number_table
from fitness.predictors.teacher import taught
from fitness.predictors.tuning import Noise
from fitness.ranking import RankTarget
from fitness.tables.branches import BranchTable
from fitness.tables.table_file import branch_table
from gp.case import Case
from gp.cut_lesson import cut_numbers, cut_pool, teaches_cuts
from gp.pool import drawn_pool
from models.architecture import Architecture
from primitives.proxy import Proxy

__all__ = ["Lesson"]

TRUST = 0.25  # share of a label in what a formula is to say of a labelled network; the teacher has the rest


@dataclass(frozen=True, eq=False)
class Lesson:
    """The architectures `seen`, whose labels `quality` (n,) may have a known `noise` (n,), and those of the pool;
    `numbers` are of the former and then of the latter, and so is every array below."""

    workshop: Workshop
    seen: Sequence[Architecture]
    pool: Sequence[Architecture]
    numbers: NumberTable
    quality: np.ndarray
    noise: Noise = None

    @classmethod
    def of(cls, case: Case, count: int) -> Lesson | None:
        """The lesson of a case, before any feature of its pool; None where its space gives no pool, or where each
        further subnet of a checkpoint would have to be visited."""
        pool: list[Architecture] = []
        if teaches_cuts(case.workshop):
            pool = cut_pool(case.seen, case.workshop, count)
        elif case.workshop.weights is None:
            pool = drawn_pool(case.seen, count)
        return cls.on(case, pool) if pool else None

    @classmethod
    def on(cls, case: Case, pool: Sequence[Architecture]) -> Lesson:
        """The lesson on this pool."""
        every, workshop = [*case.seen, *pool], case.workshop
        numbers = (
            cut_numbers(every, workshop) if teaches_cuts(workshop) else number_table(every, workshop.bank.key.build)
        )
        return cls(case.workshop, case.seen, pool, numbers, case.quality, case.noise)

    def sound(self, progress: Progress | None = None) -> Lesson | None:
        """The lesson without the networks of the pool that overflow, found by extracting their features; None if none
        is left."""
        bad = overflowing(self.pool, self.workshop, progress)
        left = [place for place, architecture in enumerate(self.pool) if architecture.id not in bad]
        kept = [*range(len(self.seen)), *(len(self.seen) + place for place in left)]
        numbers = NumberTable(self.numbers.names, self.numbers.values[kept])
        return replace(self, pool=[self.pool[place] for place in left], numbers=numbers) if left else None

    def table(self) -> BranchTable:
        """The branches of every network."""
        return branch_table([*self.seen, *self.pool], self.workshop)

    def exact_scores(self, proxies: Sequence[Proxy], progress: Progress | None = None) -> np.ndarray:
        """(P, N) on every network."""
        return self.workshop.exact_scores(proxies, [*self.seen, *self.pool], progress)

    def says(self, places: np.ndarray) -> np.ndarray:
        """Predictions (N,) for every network by the teacher of the labels at `places`."""
        noise = None if self.noise is None else self.noise[places]
        return taught(self.numbers, places, rank_targets(self.quality[places]), noise)

    def target(self) -> RankTarget:
        """Target of the fitness: the labels, each drawn towards what the teacher says, the more the noisier it is, and
        what the teacher says of the pool."""
        said, count = self.says(np.arange(len(self.seen))), len(self.seen)
        trust = TRUST if self.noise is None else TRUST / (1 + self.noise)
        labels = trust * rank_targets(self.quality) + (1 - trust) * said[:count]
        return RankTarget.create(np.concatenate([labels, said[count:]]))
