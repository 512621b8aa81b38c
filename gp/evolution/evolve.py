"""The search: one iteration is one step from state to state, and `evolve` repeats it.

It knows nothing of networks or benchmarks: `evaluate` takes a batch of formulas and gives their evaluations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from fitness.evaluation import Evaluate, Evaluation
from gp.config import SearchConfig
from gp.evolution.algorithms import ALGORITHMS, Nursery
from gp.evolution.individual import Individual
from gp.evolution.primitive_set import primitive_set
from gp.evolution.state import SearchState
from gp.evolution.variation import Exhausted, Guard, Predict, make_toolbox
from gp.hall_of_fame import Champion, HallOfFame

__all__ = ["Progress", "SearchResult", "Searcher", "Stop", "evolve"]


class Stop(StrEnum):
    """Why a search ended."""

    FINISHED = "all iterations are done"
    ASKED = "stopped on request"
    EXHAUSTED = "the rules leave no new formula in this space"
    TIME = "the time budget is used up"
    PATIENCE = "no better champion for as long as patience lasts"
    TARGET = "the target is reached"


@dataclass(frozen=True)
class Progress:
    """Where a search stands after a step.

    `best_*` is None until something valid was found; `mean_fitness` is over the valid members of the
    population; `state` is the live state, to be written down (`to_dict`) and not to be changed.
    """

    iteration: int
    evaluations: int
    best_fitness: float | None
    best_text: str | None
    best_found_at: int | None
    mean_fitness: float | None
    rejections: dict[str, int]
    state: SearchState = field(repr=False, compare=False)


@dataclass(frozen=True)
class SearchResult:
    """How a search ended; `state` continues it."""

    state: SearchState
    stop: Stop

    @property
    def hall(self) -> HallOfFame:
        """The best formulas."""
        return self.state.hall

    @property
    def champion(self) -> Champion | None:
        """The best formula, if any was valid."""
        return self.state.hall.best


def evolve(
    config: SearchConfig,
    evaluate: Evaluate,
    predict: Predict | None = None,
    on_iteration: Callable[[Progress], None] | None = None,
    state: SearchState | None = None,
    should_stop: Callable[[Progress], Stop | bool | None] | None = None,
) -> SearchResult:
    """Search until the iterations of `config` are done, `should_stop` says so, or the space is exhausted.

    Without `state` it starts anew; with one it continues, and ends as if it had never stopped. `on_iteration`
    is called after the initial population (iteration 0) and after each step: one offspring for lpzero, a
    population of them for random and nsga2. `should_stop` is asked then, and before a search continues; it may
    name its reason, a Stop, and True is Stop.ASKED. An error or interrupt inside `evaluate` leaves `state` as it
    was before the step. Raises Exhausted if the rules leave not even two formulas to start with.
    """
    searcher = Searcher(config, evaluate, predict)
    state = SearchState.start(config) if state is None else state
    if not state.population:
        searcher.begin(state)
        stop = _report(state, on_iteration, should_stop)
    else:
        stop = _report(state, None, should_stop)
    if stop:
        return SearchResult(state, stop)
    while state.iteration < config.iterations:
        try:
            searcher.step(state)
        except Exhausted:
            return SearchResult(state, Stop.EXHAUSTED)
        if stop := _report(state, on_iteration, should_stop):
            return SearchResult(state, stop)
    return SearchResult(state, Stop.FINISHED)


class Searcher:
    """What stays the same from step to step: settings, evaluation, rules and operators."""

    def __init__(self, config: SearchConfig, evaluate: Evaluate, predict: Predict | None = None) -> None:
        self.config, self.evaluate = config, evaluate
        self.algorithm = ALGORITHMS[config.algorithm]
        self.pset = primitive_set(config)
        self.guard = Guard(self.pset, config.tries, predict) if config.pps else None
        self.toolbox = make_toolbox(self.pset, self.guard)

    def begin(self, state: SearchState) -> None:
        """Make and evaluate the initial population, in one batch."""
        with state.undone_on_error():
            nursery = self._nursery(state)
            newborn = nursery.many(nursery.newborn, self.config.population)
            if len(newborn) < 2:
                raise Exhausted("the rules leave one formula; allow more inputs, operators or aggregations")
            evaluations = self._evaluate(newborn)
        self._commit(state, newborn, evaluations)

    def step(self, state: SearchState) -> None:
        """Make the next offspring, evaluate it and let the best survive."""
        left = self.config.iterations - state.iteration
        with state.undone_on_error():
            offspring = self.algorithm.offspring(self._nursery(state), state.population, left)
            evaluations = self._evaluate(offspring)
        self._commit(state, offspring, evaluations)
        state.iteration += len(offspring)

    def _nursery(self, state: SearchState) -> Nursery:
        if self.guard is not None:
            self.guard.open(state.seen)
        return Nursery(self.config, state.rng, self.toolbox, self.guard)

    def _evaluate(self, newborn: list[Individual]) -> list[Evaluation]:
        evaluations = list(self.evaluate([individual.canonical for individual in newborn]))
        if len(evaluations) != len(newborn):
            got, wanted = len(evaluations), len(newborn)
            raise ValueError(f"evaluate: got {got} evaluations, wanted {wanted}, one per formula in order")
        return evaluations

    def _commit(self, state: SearchState, newborn: list[Individual], evaluations: list[Evaluation]) -> None:
        """Nothing here can fail half-way: a step is done or not done."""
        for individual, evaluation in zip(newborn, evaluations, strict=True):
            state.evaluations += 1
            state.seen[individual.canonical.text] = None
            valid = evaluation.invalid is None and math.isfinite(evaluation.fitness)
            fitness = evaluation.fitness if valid else float("-inf")
            individual.fitness.values = fitness, individual.canonical.complexity
            state.hall.offer(evaluation, state.evaluations)
        state.population = self.algorithm.survivors(state.population, newborn, self.config.population)
        if self.guard is not None:
            state.rejections.update(self.guard.rejections)


def _report(
    state: SearchState,
    on_iteration: Callable[[Progress], None] | None,
    should_stop: Callable[[Progress], Stop | bool | None] | None,
) -> Stop | None:
    """Tell how it stands; say whether to stop, and why."""
    if on_iteration is None and should_stop is None:
        return None
    progress = _progress(state)
    if on_iteration is not None:
        on_iteration(progress)
    answer = should_stop(progress) if should_stop is not None else None
    return answer if isinstance(answer, Stop) else Stop.ASKED if answer else None


def _progress(state: SearchState) -> Progress:
    best = state.hall.best
    valid = [f for f in (i.fitness.values[0] for i in state.population) if math.isfinite(f)]
    return Progress(
        iteration=state.iteration,
        evaluations=state.evaluations,
        best_fitness=best.fitness if best else None,
        best_text=best.proxy.text if best else None,
        best_found_at=best.found_at if best else None,
        mean_fitness=math.fsum(valid) / len(valid) if valid else None,
        rejections=dict(sorted(state.rejections.items())),
        state=state,
    )
