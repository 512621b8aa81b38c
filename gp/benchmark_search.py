"""The search on one or several benchmarks: features of the search splits, the kind of formula, evolution, and exact
scores, which have the last word.

search([Case(benchmark, workshop, split)], config) -> Found
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from engine.threads import one_thread
from fitness.evaluation import Evaluation
from fitness.features.whole import PRICES
from fitness.protocol import check_rankable
from gp.case import Case, Nested, nested_of
from gp.choice import chosen_kind, faithful, led_by_consensus
from gp.config import SearchConfig
from gp.evolution.breeder import Sweep
from gp.evolution.evolve import SearchResult, Step, Stop, check_registered, evolve
from gp.evolution.state import SearchState
from gp.hall_of_fame import HallOfFame
from gp.lesson import Lesson
from gp.problem import SearchProblem
from gp.regression import OperonRuns
from gp.reporter import Reporter
from gp.sweeps import Interrupted, Sweeper

__all__ = ["Found", "PreparedSearch", "Reporter", "search"]


NEAR = 0.9  # of the best one's fitness; coarse formulas are so few that the others soon are worth nothing


@dataclass(frozen=True, eq=False)
class PreparedSearch:
    """An evolution that may begin: the problem, the neighbourhoods and the settings of the kind of formula that
    cross-validation chose; no neighbourhoods for algorithms that sweep none."""

    problem: SearchProblem
    sweeper: Sweep | None
    config: SearchConfig

    @classmethod
    def of(
        cls,
        problem: SearchProblem,
        config: SearchConfig,
        should_stop: Callable[[], bool] = lambda: False,
        distilled: Callable[[SearchProblem], SearchProblem] = SearchProblem.distilled,
    ) -> PreparedSearch:
        """The search for the kind of formula that pays; `distilled` extracts the features of a pool where it is needed.
        Raises Interrupted when it should stop."""
        if not config.sweeps_branches:
            return cls(problem, None, config)
        always = config.teacher == "always" and problem.lesson is not None
        with one_thread():
            sweeper = None if always else Sweeper.create(problem, config, should_stop)
            kind = chosen_kind(problem, sweeper, config, should_stop) if sweeper else "distilled"
        if kind == "distilled":
            problem, kind = distilled(problem), "fine"
        problem = problem.of_kind(kind, config)
        if sweeper is None or problem.distils:
            with one_thread():
                sweeper = Sweeper.create(problem, config, should_stop)
        config = config.distilling() if problem.distils else config
        if config.algorithm == "operon":
            config = replace(config, constants=True)
            problem = replace(problem, constants=True)
            return cls(problem, OperonRuns.create(problem, sweeper.only(problem).singles, config), config)
        return cls(problem, sweeper.only(problem), config)

    def evolve(
        self,
        on_iteration: Callable[[Step], None] | None = None,
        state: SearchState | None = None,
        should_stop: Callable[[Step], Stop | bool | None] | None = None,
    ) -> SearchResult:
        """The evolution, from its beginning or from a state of it."""
        problem = self.problem
        with one_thread(), _uncollected():
            return evolve(
                self.config, problem.evaluate, problem.predict, on_iteration, state, should_stop, sweep=self.sweeper
            )

    def judged(self, found: Sequence[Evaluation], scores: np.ndarray) -> HallOfFame:
        """The hall of fame: the best formulas by their exact scores (P, N) on the search split. Of coarse ones only
        those that are coarse by these too, if there are any, and nearly as good as the best one. The first is the
        fittest or that of the consensus."""
        proxies = [champion.proxy for champion in found]
        judged = self.problem.judge(proxies, scores)
        if all(evaluation.invalid for evaluation in judged):
            judged = replace(self.problem, coarse=0.0).judge(proxies, scores)
        least = NEAR * max((e.fitness for e in judged), default=0.0) if self.problem.coarse else 0.0
        hall = HallOfFame(self.config.hall_size)
        for champion, evaluation in zip(found, judged, strict=True):
            if evaluation.fitness >= least:
                hall.offer(evaluation, champion.found_at)
        if self.config.champion == "fittest":
            return hall
        rows = {proxy.canonical().text: row for proxy, row in zip(proxies, scores, strict=True)}
        return led_by_consensus(hall, self.problem, np.array([rows[e.proxy.text] for e in hall.champions]))


@dataclass(frozen=True, eq=False)
class Found:
    """Result of a search: `hall` by exact scores on the search split; if the search was stopped early, `complete` is
    False and the hall has sketch scores.

    `cases` are those of the search without networks that overflow; `evaluations` is the number of formulas that were
    compared; `seconds` are by stage.
    """

    config: SearchConfig
    hall: HallOfFame
    result: SearchResult
    cases: tuple[Case, ...]
    evaluations: int
    seconds: Mapping[str, float]
    complete: bool = True


def search(
    cases: Sequence[Case],
    config: SearchConfig,
    reporter: Reporter | None = None,
    jobs: int = 1,
    on_invalid: str = "fail",
    evolution: Callable[[PreparedSearch], SearchResult] | None = None,
) -> Found:
    """Search for formulas that rank the architectures of the search split of each case; what is held out is not
    touched.

    `on_invalid` says what becomes of networks that overflow: "fail" raises Unsound with their ids, "drop" leaves them
    out. `evolution` replaces the default, which writes nothing down.
    """
    check_registered(config)
    for case in cases:
        check_rankable(case.benchmark, case.split)
    reporter = reporter or Reporter()
    stages = _Stages(reporter)
    count = sum(len(case.split.search) for case in cases)
    beside = " and of nested networks" if config.nested else ""
    with stages.timed("features", f"features of {count} search architectures{beside}"):
        cases = tuple(reporter.sound(case, on_invalid, case.split.search) for case in cases)
        problem = SearchProblem.of(cases, config, reporter.networks, jobs)
    if config.teacher == "always" and problem.lesson is None:
        reporter.stage("no teacher: it wants one benchmark, and networks that can be drawn from its space")

    def distilled(problem: SearchProblem) -> SearchProblem:
        verb = "cross-validation prefers" if config.teacher == "auto" else "as asked:"
        count = len(problem.lesson.pool) if problem.lesson else 0
        reporter.stage(f"{verb} formulas distilled from a teacher on networks without labels; features of {count}")
        return problem.distilled(reporter.networks)

    try:
        with stages.timed("choice", "scores of every single-branch formula; choice of the kind of formula"):
            prepared = PreparedSearch.of(problem, config, reporter.should_stop, distilled)
    except Interrupted:
        state = SearchState.start(config)
        return Found(config, state.hall, SearchResult(state, Stop.ASKED), cases, 0, stages.seconds, complete=False)
    if prepared.problem.coarse:
        reporter.stage("cross-validation prefers coarse formulas to fine ones: few levels, clear of each other")
    with stages.timed("search"):
        result = evolution(prepared) if evolution else prepared.evolve(should_stop=reporter.told)
    found, compared = result.hall.champions, result.state.evaluations
    if result.stop is Stop.ASKED:
        return Found(config, result.hall, result, cases, compared, stages.seconds, complete=False)
    reporter.early(found[: config.hall_size])
    with stages.timed("exact", f"exact scores on the search split, finalists: {len(found)}"):
        parts = [part for case in cases for part in case.by_budget]
        every: list[Case | Nested | Lesson] = [*parts, *(nested_of(cases) if config.nested else [])]
        if prepared.problem.distils and prepared.problem.lesson is not None:
            every = [prepared.problem.lesson]
        scores = np.hstack([each.exact_scores([f.proxy for f in found], reporter.networks) for each in every])
    if any(case.workshop.price != PRICES[0] for case in cases):
        kept = faithful(scores, prepared.problem.scores([f.proxy for f in found]))
        found, scores = tuple(found[place] for place in kept), scores[kept]
    hall = prepared.judged(found, scores)
    return Found(config, hall, result, cases, compared, stages.seconds)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Nobody looks for garbage in circles meanwhile: formulas make none, and with torch loaded a look takes long."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


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
