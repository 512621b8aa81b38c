"""SearchProblem: what a search is about: branch table, target and objective of the architectures that it sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import EllipsisType

import numpy as np

from fitness.evaluation import Evaluation
from fitness.features.soundness import overflowing
from fitness.features.workshop import Progress, Workshop
from fitness.objectives import OBJECTIVES, evaluate_scores
from fitness.ranking import RankTarget
from fitness.tables.branches import BranchTable
from fitness.tables.probes import Probes
from fitness.tables.table_file import branch_table
from gp.config import SearchConfig
from gp.evolution.variation import Predict
from models.architecture import Architecture
from models.benchmarks.benchmark import Benchmark
from primitives.proxy import Proxy

__all__ = ["SearchProblem"]

PROBE_COUNT = 8  # architectures of the search split that are initialised twice


@dataclass(frozen=True, eq=False)
class SearchProblem:
    """The search problem: branches of N architectures, the ground truth and the objective of those that count.

    `places` are the columns of the table that count, all of them by default; `target` is of these. `predict` names the
    probe rule that a formula breaks; it is None without PPS. `jobs` threads give the same numbers as one.
    `architectures` are those of the table, where they are known.
    """

    table: BranchTable
    target: RankTarget
    objective: str = "both"
    predict: Predict | None = None
    jobs: int = 1
    places: np.ndarray | EllipsisType = ...
    architectures: Sequence[Architecture] = ()

    @classmethod
    def open(
        cls, benchmark: Benchmark, seen: Sequence[int], workshop: Workshop, config: SearchConfig,
        progress: Progress | None = None, jobs: int = 1,
    ) -> SearchProblem:  # fmt: skip
        """The problem of ranking the architectures `seen` (indices into the benchmark) like their quality; what the
        bank lacks of them is extracted, that of their probes a second time."""
        architectures = [benchmark.architectures[i] for i in seen]
        table = branch_table(architectures, workshop, progress)
        target = RankTarget.create(benchmark.quality[list(seen)])
        predict = _probes(architectures, workshop, progress).violation if config.pps else None
        return cls(table, target, config.objective, predict, jobs, architectures=architectures)

    def scores(self, proxies: Sequence[Proxy]) -> np.ndarray:
        """(P, n) on the architectures that count; not finite where a formula has no score."""
        return self.table.scores(proxies, self.jobs)[:, self.places]

    def evaluate(self, proxies: Sequence[Proxy]) -> list[Evaluation]:
        """What formulas are worth."""
        return evaluate_scores(proxies, self.scores(proxies), self.target, self.objective)

    def agreement(self, scores: np.ndarray) -> np.ndarray:
        """The objective, signed, of finite scores (P, n); rounded, because the last bit of a dot product may depend
        on how many rows there are."""
        return OBJECTIVES[self.objective](self.target, scores).round(12)

    def only(self, places: np.ndarray) -> SearchProblem:
        """The problem as if there were no other architectures, and no probes."""
        return replace(self, target=RankTarget.create(self.target.values[places]), predict=None, places=places)


def _probes(seen: Sequence[Architecture], workshop: Workshop, progress: Progress | None) -> Probes:
    """A few of the architectures under two initialisations; those that overflow under the second are left out."""
    retest = workshop.initialised(workshop.bank.key.init_seed + 1)
    chosen = seen[:: max(1, len(seen) // PROBE_COUNT)][:PROBE_COUNT]
    bad = overflowing(chosen, retest, progress)
    chosen = [architecture for architecture in chosen if architecture.id not in bad]
    return Probes(branch_table(chosen, workshop), branch_table(chosen, retest))
