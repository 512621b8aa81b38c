"""The lesson: the pool of a search, and what a teacher says of it who was fitted to the labels of the search split."""

from __future__ import annotations

from dataclasses import dataclass
from types import EllipsisType

import numpy as np

from fitness.features.soundness import overflowing
from fitness.features.workshop import Progress
from fitness.predictors.members import rank_targets
from fitness.predictors.numbers import NumberTable, number_table
from fitness.predictors.teacher import taught
from fitness.ranking import RankTarget
from gp.case import Case
from gp.pool import drawn_pool
from models.architecture import Architecture

__all__ = ["Lesson"]

TRUST = 0.25  # share of a label in what a formula is to say of a labelled network; the teacher has the rest


@dataclass(frozen=True, eq=False)
class Lesson:
    """`numbers` of the `labelled` architectures, one after the other, and after them of the pool."""

    labelled: int
    pool: list[Architecture]
    numbers: NumberTable

    @classmethod
    def of(cls, case: Case, count: int, progress: Progress | None = None) -> Lesson | None:
        """The lesson of a case, without networks that overflow; None where its space gives no pool, or where the
        weights are those of a checkpoint, which other networks than its own do not fit."""
        if case.workshop.weights is not None:
            return None
        pool = drawn_pool(case.seen, count)
        bad = overflowing(pool, case.workshop, progress)
        pool = [architecture for architecture in pool if architecture.id not in bad]
        build = case.workshop.bank.key.build
        return cls(len(case.seen), pool, number_table([*case.seen, *pool], build)) if pool else None

    def target(self, quality: np.ndarray, places: np.ndarray | EllipsisType) -> tuple[RankTarget, np.ndarray]:
        """What formulas are to agree with, and the columns that it is of: the labels `quality` (n,) at `places`, each
        drawn towards what the teacher says, and behind them what the teacher says of the pool."""
        seen = np.arange(self.labelled)[places]
        pool = np.arange(self.labelled, len(self.numbers.values))
        labels = rank_targets(quality)
        said = taught(self.numbers, seen, labels)
        values = np.concatenate([TRUST * labels + (1 - TRUST) * said[seen], said[pool]])
        return RankTarget.create(values), np.concatenate([seen, pool])
