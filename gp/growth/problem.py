"""Ground: what a search walks on, from the features of its split; how it grows there and who wins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from engine.crew import one_thread
from fitness.evaluation import Evaluate, Evaluation, Split, evaluate_scores
from fitness.features.bank import FeatureBank, FeatureKey
from fitness.features.soundness import overflowing
from fitness.features.workshop import Progress as Extracting
from fitness.features.workshop import Workshop
from fitness.ranking import RankTarget
from fitness.replay import branch_table
from fitness.tables.branches import BranchTable
from fitness.tables.probes import Probes
from gp.config import SearchConfig
from gp.growth.choice import grow, is_coarse
from gp.hall_of_fame import HallOfFame
from models.architecture import Architecture
from models.benchmarks.benchmark import Benchmark
from primitives.proxy import Proxy

__all__ = ["Finalists", "Ground", "prepare"]

FINALISTS = 3  # times the size of the hall of fame
PROBE_COUNT = 8  # architectures of the search split that are initialised twice


@dataclass(frozen=True)
class Finalists:
    """Formulas of which exact scores make the hall of fame, how many were compared to find them, and whether coarse
    ones were preferred."""

    hall: HallOfFame
    evaluations: int
    coarse: bool = False


@dataclass(frozen=True)
class Ground:
    """What a search walks on: the architectures of its split, their branches and ground truth, the evaluation by
    them, and the probe rules (None without PPS)."""

    workshop: Workshop
    seen: Sequence[Architecture]
    table: BranchTable
    target: RankTarget
    evaluate: Evaluate
    predict: Callable[[Proxy], str | None] | None

    def grow(
        self, config: SearchConfig, hall: HallOfFame, evaluations: int, jobs: int = 1,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Finalists:  # fmt: skip
        """`hall` and what grows from it, or the coarse formulas that take its place; `hall` itself if nothing may
        grow. `evaluations` is the number of formulas that were compared before."""
        if not config.grows:
            return Finalists(hall, evaluations)
        seeds = [champion.proxy for champion in hall.champions]
        with one_thread():
            growth = grow(self.table, self.target, self.evaluate, config, seeds, self.predict, jobs, should_stop)
        grown = HallOfFame(FINALISTS * config.hall_size)
        for champion in () if growth.coarse else hall.champions:
            grown.keep(champion)
        for evaluation in growth.evaluations:
            grown.offer(evaluation, evaluations + growth.compared)
        return Finalists(grown, evaluations + growth.compared, growth.coarse)

    def judge(self, finalists: Finalists, config: SearchConfig, progress: Extracting | None = None) -> HallOfFame:
        """The hall of fame: the best finalists by their exact scores on the search split, which have the last word.
        Of coarse ones only those that are coarse by these too, if there are any."""
        champions = finalists.hall.champions
        proxies = [champion.proxy for champion in champions]
        scores = self.workshop.exact_scores(proxies, self.seen, progress)
        kept = is_coarse(scores, config) if finalists.coarse else np.ones(len(champions), dtype=bool)
        hall = HallOfFame(config.hall_size)
        evaluations = evaluate_scores(proxies, scores, self.target, config.objective)
        for champion, evaluation, keep in zip(champions, evaluations, kept | ~kept.any(), strict=True):
            if keep:
                hall.offer(evaluation, champion.found_at)
        return hall


def prepare(
    benchmark: Benchmark, workshop: Workshop, split: Split, config: SearchConfig,
    progress: Extracting | None = None, jobs: int = 1,
) -> Ground:  # fmt: skip
    """Extract the search split, and its probes a second time; the held-out part is not touched."""
    seen = [benchmark.architectures[i] for i in split.search]
    table = branch_table(seen, workshop, progress)
    target = RankTarget.create(benchmark.quality[list(split.search)])

    def evaluate(proxies: Sequence[Proxy]) -> list[Evaluation]:
        return evaluate_scores(proxies, table.scores(proxies, jobs), target, config.objective)

    if not config.pps:
        return Ground(workshop, seen, table, target, evaluate, None)
    key = workshop.bank.key
    second = FeatureKey(**{**key.__dict__, "init_seed": key.init_seed + 1})
    retest = Workshop(FeatureBank(workshop.bank.folder, second), workshop.batch, workshop.devices)
    chosen = seen[:: max(1, len(seen) // PROBE_COUNT)][:PROBE_COUNT]
    bad = overflowing(chosen, retest, progress)
    chosen = [architecture for architecture in chosen if architecture.id not in bad]
    probes = Probes(branch_table(chosen, workshop), branch_table(chosen, retest))
    return Ground(workshop, seen, table, target, evaluate, probes.violation)
