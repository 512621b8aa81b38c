"""Early ends: the time, patience and target of a search, and that two of them depend on its state alone."""

from __future__ import annotations

from itertools import pairwise

import pytest
from landscape import evaluate, short

from gp.config import BadConfig
from gp.evolution.evolve import Step, Stop, evolve
from gp.evolution.state import SearchState
from gp.runs.limits import Limits, idle_iterations

CONFIG = short(iterations=300, aggregates=("mean", "sum"))


def test_the_target_ends_a_search_where_it_is_reached() -> None:
    result = evolve(CONFIG, evaluate, should_stop=Limits(target=0.97).reached)
    assert result.stop is Stop.TARGET and result.champion is not None and result.champion.fitness >= 0.97
    assert result.champion.found_at == result.state.evaluations


def test_patience_counts_iterations_without_a_better_champion() -> None:
    idle: list[int] = []
    result = evolve(
        CONFIG, evaluate, None, lambda p: idle.append(idle_iterations(p)), None, Limits(patience=40).reached
    )
    assert result.stop is Stop.PATIENCE and idle[-1] == 40 and max(idle[:-1]) < 40
    for before, after in pairwise(idle):
        assert after in (before + 1, 0)


@pytest.mark.parametrize("cut", [5, 33, 60])
def test_a_continued_search_stops_where_an_uninterrupted_one_does(cut: int) -> None:
    limits = Limits(patience=40)
    whole = evolve(CONFIG, evaluate, should_stop=limits.reached)
    part = evolve(CONFIG, evaluate, should_stop=lambda p: p.iteration >= cut)
    state = SearchState.from_dict(part.state.to_dict(), CONFIG)
    rest = evolve(CONFIG, evaluate, state=state, should_stop=limits.reached)
    assert rest.state.to_dict() == whole.state.to_dict() and rest.stop is whole.stop
    again = evolve(CONFIG, evaluate, state=rest.state, should_stop=limits.reached)
    assert again.state.iteration == whole.state.iteration


def test_the_time_is_that_since_the_limits_were_made() -> None:
    now = [100.0]
    limits = Limits(seconds=5, clock=lambda: now[0])
    steps: list[int] = []

    def on_iteration(progress: Step) -> None:
        steps.append(progress.iteration)
        now[0] += 1

    assert evolve(CONFIG, evaluate, None, on_iteration, None, limits.reached).stop is Stop.TIME
    assert steps == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "bad", [{"seconds": 0}, {"seconds": float("inf")}, {"patience": 0}, {"target": 1.5}, {"target": float("nan")}]
)
def test_a_limit_that_makes_no_sense_is_refused(bad: dict) -> None:
    with pytest.raises(BadConfig, match="wanted"):
        Limits(**bad)
