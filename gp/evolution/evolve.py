"""The evolution: `ask` gives the formulas to evaluate next, `tell` takes what they are worth, `evolve` repeats both.

It knows nothing of networks or benchmarks: `evaluate` takes a batch of formulas and gives their evaluations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any

from deap import base, tools

from fitness.evaluation import Evaluate, Evaluation
from gp.config import SearchConfig
from gp.evolution.algorithms import ALGORITHMS
from gp.evolution.breeder import Breeder, Population, Sweep
from gp.evolution.individual import Individual, worth
from gp.evolution.primitive_set import ProxySet, primitive_set
from gp.evolution.state import SearchState
from gp.evolution.variation import MUTATIONS, Exhausted, Guard, Predict, make_toolbox
from gp.hall_of_fame import HallOfFame
from gp.lineage import Birth
from primitives.grammar import parse
from primitives.proxy import Proxy

__all__ = [
    "Evolution",
    "SearchResult",
    "Step",
    "Stop",
    "check_registered",
    "evolve",
    "population_statistics",
    "starters",
]


class Stop(StrEnum):
    """Why a search ended."""

    FINISHED = "all iterations are done"
    ASKED = "stopped on request"
    EXHAUSTED = "the rules leave no new formula in this space"
    TIME = "the time budget is used up"
    PATIENCE = "no better champion for as long as patience lasts"
    TARGET = "the target is reached"
    CALLBACK = "a callback ended it"


@dataclass(frozen=True)
class Step:
    """State of a search after a step.

    `best_*` is None until something valid was found; `statistics` are those of the population; `state` is the live
    state, to be written down (`to_dict`) and not to be changed.
    """

    iteration: int
    evaluations: int
    best_fitness: float | None
    best_text: str | None
    best_found_at: int | None
    rejections: dict[str, int]
    statistics: dict[str, Any]
    state: SearchState = field(repr=False, compare=False)

    def record(self) -> dict[str, Any]:
        """Plain data: a line of generations.jsonl, an entry of a logbook."""
        plain = {name: value for name, value in vars(self).items() if name not in ("state", "statistics")}
        return plain | self.statistics


@dataclass(frozen=True)
class SearchResult:
    """Result of a search; `state` continues it."""

    state: SearchState
    stop: Stop

    @property
    def hall(self) -> HallOfFame:
        """The best formulas."""
        return self.state.hall

    @property
    def champion(self) -> Evaluation | None:
        """The best formula, if any was valid."""
        return self.state.hall.best


def population_statistics() -> tools.Statistics:
    """DEAP's statistics over the members of a population: their mean fitness, None where none is valid."""
    statistics = tools.Statistics(key=worth)
    statistics.register("mean_fitness", _mean_of_valid)
    return statistics


def _mean_of_valid(fitnesses: Sequence[float]) -> float | None:
    valid = [f for f in fitnesses if math.isfinite(f)]
    return math.fsum(valid) / len(valid) if valid else None


def check_registered(config: SearchConfig) -> None:
    """BadConfig for an algorithm or a mutation that is not registered."""
    config.check_choice("algorithm", ALGORITHMS)
    config.check_names("mutations", MUTATIONS)


def starters(config: SearchConfig, pset: ProxySet) -> list[Individual]:
    """The formulas that a search starts from, as individuals. Raises Misfit if the settings cannot spell one."""
    found = [Individual.from_proxy(parse(text).without_constants(), pset) for text in config.start]
    for individual in found:
        individual.birth = Birth("start")
    return found


class Evolution:
    """A search between two batches of formulas.

    `state` holds all that changes and may be one that was restored; the rest stays: settings, rules, the algorithm
    and a DEAP toolbox of individual, mate, mutate and select, each of which `toolbox` may replace (`make_toolbox`).
    """

    def __init__(
        self,
        config: SearchConfig,
        predict: Predict | None = None,
        state: SearchState | None = None,
        toolbox: base.Toolbox | None = None,
        sweep: Sweep | None = None,
    ) -> None:
        check_registered(config)
        self.config = config
        self.state = SearchState.start(config) if state is None else state
        self.algorithm = ALGORITHMS[config.algorithm]
        self.pset, self.sweep = primitive_set(config), sweep
        together = getattr(self.algorithm, "together", False)
        self.guard = Guard(self.pset, config.tries, predict, together) if config.pps else None
        self.toolbox = make_toolbox(self.pset, self.guard, toolbox, config.mutations)
        select = getattr(toolbox, "select", None) or partial(self.algorithm.select, config=config)
        self.toolbox.register("select", select)
        self._asked: Population = []
        self._compared: dict[str, int] = {}
        self._before = self.state.rng.getstate()

    @property
    def finished(self) -> bool:
        """True if all iterations are done."""
        return bool(self.state.population) and self.state.iteration >= self.config.iterations

    def ask(self) -> list[Proxy]:
        """The formulas to evaluate next, the same ones until `tell` or `forget`; none when all iterations are done.

        Raises Exhausted if the rules leave no new formula, or not even two to start with.
        """
        if not self._asked and not self.finished:
            self._before = self.state.rng.getstate()
            try:
                self._asked = self._next()
            except BaseException:
                self._compared = {}
                self.state.rng.setstate(self._before)
                raise
        return [individual.canonical for individual in self._asked]

    def _next(self) -> Population:
        if self.guard is not None:
            self.guard.open(self.state.seen)
        state = self.state
        breeder = Breeder(
            self.config, state.rng, self.toolbox, self.guard, self.pset, self.sweep, state.swept, self._compared
        )
        if state.population:
            return self.algorithm.offspring(breeder, state.population, self.config.iterations - state.iteration)
        newborn = self._started(self.algorithm.first(breeder))
        if len(newborn) < 2:
            raise Exhausted("the rules leave one formula; allow more inputs, operators or aggregations")
        return newborn

    def _started(self, newborn: Population) -> Population:
        """The first population with the formulas that the settings start from in it."""
        given = {individual.canonical.text: individual for individual in starters(self.config, self.pset)}
        others = [individual for individual in newborn if individual.canonical.text not in given]
        return [*given.values(), *others][: max(len(given), len(newborn))]

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Take the evaluations of what was asked, in its order, and let the best survive: done or not done."""
        newborn, state = self._asked, self.state
        if len(evaluations) != len(newborn):
            got, wanted = len(evaluations), len(newborn)
            raise ValueError(f"evaluate: got {got} evaluations, wanted {wanted}, one per formula in order")
        state.evaluations += sum(self._compared.values())
        state.swept.update(dict.fromkeys(self._compared))
        self._asked, self._compared = [], {}
        for individual, evaluation in zip(newborn, evaluations, strict=True):
            state.evaluations += 1
            state.seen.setdefault(individual.canonical.text, individual.birth)  # the first; a later one may be a circle
            individual.ranking = evaluation.ranking
            valid = evaluation.invalid is None and math.isfinite(evaluation.fitness)
            fitness = evaluation.fitness if valid else float("-inf")
            individual.fitness.values = fitness, individual.canonical.complexity
            state.hall.offer(evaluation, state.evaluations)
        state.iteration += len(newborn) if state.population else 0
        state.population = self.algorithm.survivors(state.population, newborn, self.config.population)
        if self.guard is not None:
            state.rejections.update(self.guard.rejections)

    def forget(self) -> None:
        """Take back what was asked: the state is that of before."""
        if self._asked:
            self._asked, self._compared = [], {}
            self.state.rng.setstate(self._before)

    def step(self, evaluate: Evaluate) -> None:
        """Ask, evaluate, tell; an error or interrupt leaves the state as it was before."""
        try:
            self.tell(list(evaluate(self.ask())))
        except BaseException:
            self.forget()
            raise


def evolve(
    config: SearchConfig,
    evaluate: Evaluate,
    predict: Predict | None = None,
    on_iteration: Callable[[Step], None] | None = None,
    state: SearchState | None = None,
    should_stop: Callable[[Step], Stop | bool | None] | None = None,
    toolbox: base.Toolbox | None = None,
    statistics: tools.Statistics | None = None,
    sweep: Sweep | None = None,
) -> SearchResult:
    """Search until the iterations of `config` are done, `should_stop` says so, or the space is exhausted.

    Without `state` it starts anew; with one it continues, and ends as if it had never stopped. `on_iteration`
    is called after the initial population (iteration 0) and after each step: one offspring for lpzero, a
    generation of them for the others. `should_stop` is asked then, and before a search continues; it may name its
    reason, a Stop, and True is Stop.ASKED. An error or interrupt inside `evaluate` leaves `state` as it was before
    the step. `toolbox` replaces operators (`Evolution`), `statistics` those of the population, for `Step.record`;
    `sweep` compares whole neighbourhoods for the algorithms that ask for it. Raises Exhausted if the rules leave not
    even two formulas to start with.
    """
    evolution = Evolution(config, predict, state, toolbox, sweep)
    report = _Report(evolution.state, statistics or population_statistics(), should_stop)
    if not evolution.state.population:
        evolution.step(evaluate)
        stop = report(on_iteration)
    else:
        stop = report(None)
    while not stop and not evolution.finished:
        try:
            evolution.step(evaluate)
        except Exhausted:
            stop = Stop.EXHAUSTED
        else:
            stop = report(on_iteration)
    return SearchResult(evolution.state, stop or Stop.FINISHED)


@dataclass(frozen=True)
class _Report:
    """Report after a step, and the decision whether to stop, with its reason."""

    state: SearchState
    statistics: tools.Statistics
    should_stop: Callable[[Step], Stop | bool | None] | None

    def __call__(self, on_iteration: Callable[[Step], None] | None) -> Stop | None:
        if on_iteration is None and self.should_stop is None:
            return None
        step = self._step()
        if on_iteration is not None:
            on_iteration(step)
        answer = self.should_stop(step) if self.should_stop is not None else None
        return answer if isinstance(answer, Stop) else Stop.ASKED if answer else None

    def _step(self) -> Step:
        state, best = self.state, self.state.hall.best
        return Step(
            iteration=state.iteration,
            evaluations=state.evaluations,
            best_fitness=best.fitness if best else None,
            best_text=best.proxy.text if best else None,
            best_found_at=best.found_at if best else None,
            rejections=dict(sorted(state.rejections.items())),
            statistics=self.statistics.compile(state.population),
            state=state,
        )
