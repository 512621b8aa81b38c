"""The search on a benchmark: features of the search split, evolution, growth, and exact scores, which decide.

search(benchmark, workshop, split, config) -> Found
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from engine.threads import one_thread
from fitness.evaluation import Evaluation, Split
from fitness.features.soundness import Screened, screen
from fitness.features.workshop import Progress, Workshop
from fitness.objectives import evaluate_scores
from fitness.protocol import check_rankable
from gp.config import SearchConfig
from gp.evolution.evolve import SearchResult, Step, Stop, evolve
from gp.growth.beams import BeamSearch, Interrupted
from gp.growth.choice import grow, is_coarse
from gp.growth.problem import SearchProblem
from gp.hall_of_fame import HallOfFame

if TYPE_CHECKING:
    from models.benchmarks.benchmark import Benchmark

__all__ = ["Finalists", "Found", "Reporter", "finalists", "search"]

FINALISTS = 3  # times the size of the hall of fame
GROWING = (Stop.FINISHED, Stop.EXHAUSTED, Stop.PATIENCE)  # after the others there is no time or no need


@dataclass
class Reporter:
    """Where a search tells how it goes; every field may be left alone."""

    stage: Callable[[str], None] = field(default=lambda text: None)
    networks: Progress | None = None
    iteration: Callable[[Step], None] | None = None
    should_stop: Callable[[], bool] = field(default=lambda: False)
    early: Callable[[Sequence[Evaluation]], None] = field(default=lambda champions: None)  # by sketch scores

    def screened(self, screened: Screened) -> Screened:
        """What is left of a benchmark, after a word on what was dropped."""
        if screened.report:
            self.stage(screened.report)
        return screened


@dataclass(frozen=True, eq=False)
class Finalists:
    """Formulas of which exact scores make the hall of fame, how many were compared to find them, and whether they
    are coarse ones that were preferred to those of the evolution."""

    hall: HallOfFame
    evaluations: int
    coarse: bool = False


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found: `hall` by exact scores on the search split; if it was stopped before its end, `complete`
    is False and the hall is that of the evolution, by sketch scores.

    `screened` holds the benchmark and the split without networks that overflow; `evaluations` is the number of
    formulas that were compared; `seconds` are by stage.
    """

    config: SearchConfig
    hall: HallOfFame
    result: SearchResult
    screened: Screened
    evaluations: int
    seconds: Mapping[str, float]
    complete: bool = True


def search(
    benchmark: Benchmark, workshop: Workshop, split: Split, config: SearchConfig, reporter: Reporter | None = None,
    jobs: int = 1, on_invalid: str = "fail", evolution: Callable[[SearchProblem], SearchResult] | None = None,
) -> Found:  # fmt: skip
    """Search for formulas that rank the architectures of `split.search`; the others are not touched.

    `on_invalid` says what becomes of networks that overflow: "fail" raises Unsound with their ids, "drop" leaves them
    out. `evolution` replaces the default, which is `evolve` with nothing written down.
    """
    check_rankable(benchmark, split)
    reporter = reporter or Reporter()
    stages = _Stages(reporter)
    with stages.timed("features", f"features of {len(split.search)} search architectures"):
        left = reporter.screened(screen(benchmark, workshop, split, on_invalid, reporter.networks, split.search))
        seen = (left.split or split).search
        problem = SearchProblem.open(left.benchmark, seen, workshop, config, reporter.networks, jobs)
    with stages.timed("search"), one_thread():
        result = evolution(problem) if evolution else _evolve(problem, config, reporter)
    stopped = Found(config, result.hall, result, left, result.state.evaluations, stages.seconds, complete=False)
    if result.stop is Stop.ASKED:
        return stopped
    found = Finalists(result.hall, result.state.evaluations)
    if config.grows and result.stop in GROWING:
        try:
            with stages.timed("growth", _growing(config)):
                found = finalists(problem, config, found, reporter.should_stop)
        except Interrupted:
            return stopped
        if found.coarse:
            reporter.stage("cross-validation prefers coarse formulas to fine ones: few levels, clear of each other")
    reporter.early(found.hall.champions[: config.hall_size])
    with stages.timed("exact", f"exact scores on the search split, finalists: {len(found.hall.champions)}"):
        proxies = [champion.proxy for champion in found.hall.champions]
        scores = workshop.exact_scores(proxies, problem.architectures, reporter.networks)
        hall = _judged(found, scores, problem, config)
    return Found(config, hall, result, left, found.evaluations, stages.seconds)


def finalists(
    problem: SearchProblem, config: SearchConfig, evolved: Finalists, should_stop: Callable[[], bool] = lambda: False
) -> Finalists:
    """What the evolution found and what grows from it, or the coarse formulas that take its place; the evolved ones
    themselves if nothing may grow. Raises Interrupted when it should stop."""
    if not config.grows:
        return evolved
    with one_thread():
        beam_search = BeamSearch.create(problem, config, should_stop)
        growth = grow(beam_search, [champion.proxy for champion in evolved.hall.champions])
    grown, compared = HallOfFame(FINALISTS * config.hall_size), evolved.evaluations + growth.compared
    for champion in () if growth.coarse else evolved.hall.champions:
        grown.keep(champion)
    for evaluation in growth.evaluations:
        grown.offer(evaluation, compared)
    return Finalists(grown, compared, growth.coarse)


def _judged(found: Finalists, scores: np.ndarray, problem: SearchProblem, config: SearchConfig) -> HallOfFame:
    """The hall of fame: the best finalists by their exact scores (P, N) on the search split, which have the last word.
    Of coarse ones only those that are coarse by these too, if there are any."""
    champions: tuple[Evaluation, ...] = found.hall.champions
    kept = is_coarse(scores, config) if found.coarse else np.ones(len(champions), dtype=bool)
    hall = HallOfFame(config.hall_size)
    evaluations = evaluate_scores([c.proxy for c in champions], scores, problem.target, config.objective)
    for champion, evaluation, keep in zip(champions, evaluations, kept | ~kept.any(), strict=True):
        if keep:
            hall.offer(evaluation, champion.found_at)
    return hall


def _evolve(problem: SearchProblem, config: SearchConfig, reporter: Reporter) -> SearchResult:
    def should_stop(step: Step) -> bool:
        return reporter.should_stop()

    return evolve(config, problem.evaluate, problem.predict, reporter.iteration, should_stop=should_stop)


def _growing(config: SearchConfig) -> str:
    return f"every branch joined to the best formulas, up to {config.branches} branches each"


class _Stages:
    """The stages of a search, each announced and timed."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, name: str, announced: str = "") -> Iterator[None]:
        """Keep the wall-clock seconds of a stage that comes to its end."""
        start = time.perf_counter()
        if announced:
            self.reporter.stage(announced)
        yield
        self.seconds[name] = time.perf_counter() - start
