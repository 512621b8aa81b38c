"""What a DEAP user plugs in: a toolbox, statistics, ask and tell, and things that one decorator registers."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from deap import base, tools
from deap import gp as deap_gp
from landscape import evaluate, fingerprint, short, sweep

from fitness.objectives import OBJECTIVES, BadObjective, objective
from gp.config import BadConfig
from gp.evolution.algorithms import ALGORITHMS, BadAlgorithm, algorithm
from gp.evolution.evolve import Evolution, SearchResult, Stop, evolve
from gp.evolution.individual import Individual
from gp.evolution.variation import MUTATIONS, BadMutation, mutation

ROOT = Path(__file__).resolve().parent.parent
SHORT = short(iterations=40)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_ask_and_tell_by_hand_is_the_same_search(name: str) -> None:
    config = short(algorithm=name)
    evolution = Evolution(config, sweep=sweep)
    while proxies := evolution.ask():
        evolution.tell(evaluate(proxies))
    assert evolution.finished
    by_hand = SearchResult(evolution.state, Stop.FINISHED)
    assert fingerprint(by_hand) == fingerprint(evolve(config, evaluate, sweep=sweep))


def test_what_is_asked_stays_until_it_is_told_or_forgotten() -> None:
    evolution = Evolution(SHORT)
    first = evolution.ask()
    assert evolution.ask() == first and evolution.state.evaluations == 0
    evolution.forget()
    assert evolution.ask() == first  # the same draws again
    with pytest.raises(ValueError, match="got 1 evaluations, wanted 16"):
        evolution.tell(evaluate(first[:1]))
    evolution.tell(evaluate(first))
    assert evolution.state.evaluations == 16 and evolution.ask() != first


def test_the_operators_of_a_toolbox_are_really_called() -> None:
    calls: Counter[str] = Counter()

    def counted(name: str, operator: object) -> object:
        def call(*arguments: object) -> object:
            calls[name] += 1
            return operator(*arguments)  # type: ignore[operator]

        return call

    toolbox = base.Toolbox()
    toolbox.register("mate", counted("mate", lambda rng, a, b: deap_gp.cxOnePoint(a, b)))  # in place, and a pair
    toolbox.register("mutate", counted("mutate", MUTATIONS["replace"]))
    toolbox.register("select", counted("select", lambda rng, population, k: rng.sample(population, k)))
    result = evolve(SHORT, evaluate, toolbox=toolbox)
    assert set(calls) == {"mate", "mutate", "select"} and calls["select"] == 40
    assert result.state.iteration == 40 and result.champion is not None


def test_parents_are_as_they_were_after_an_operator_that_works_in_place() -> None:
    toolbox = base.Toolbox()

    def spoil(rng: random.Random, first: Individual, second: Individual) -> tuple[Individual, Individual]:
        first[0 : len(first)], second[0 : len(second)] = list(second), list(first)
        return first, second

    toolbox.register("mate", spoil)
    evolution = Evolution(SHORT, toolbox=toolbox)
    evolution.step(evaluate)
    before = [list(individual) for individual in evolution.state.population]
    for _ in range(5):
        first, second = evolution.state.population[:2]
        evolution.toolbox.mate(random.Random(1), first, second)
    assert [list(individual) for individual in evolution.state.population] == before


def test_statistics_of_the_population_fill_a_logbook_and_the_journal() -> None:
    statistics = tools.Statistics(key=lambda individual: individual.canonical.complexity)
    statistics.register("mean", np.mean)
    logbook = tools.Logbook()
    evolve(SHORT, evaluate, on_iteration=lambda step: logbook.record(**step.record()), statistics=statistics)
    assert logbook.select("iteration") == list(range(41)) and min(logbook.select("mean")) > 1


def test_a_registered_mutation_is_used_when_it_is_named() -> None:
    used = []
    try:

        @mutation("test-mutation")
        def again(rng: random.Random, parent: Individual) -> Individual:
            used.append(parent)
            return MUTATIONS["regrow"](rng, parent)

        evolve(SHORT, evaluate)
        assert not used
        evolve(short(iterations=40, mutations=("test-mutation",)), evaluate)
        assert used
        with pytest.raises(BadMutation, match="taken"):
            mutation("test-mutation")(again)
    finally:
        MUTATIONS.pop("test-mutation", None)
    for wrong in ({"mutations": ("test-mutation",)}, {"algorithm": "cma-es"}):
        with pytest.raises(BadConfig, match=f"{next(iter(wrong))}: got .*wanted one of"):
            evolve(short(**wrong), evaluate)


def test_an_algorithm_without_a_method_or_with_a_taken_name_is_refused() -> None:
    with pytest.raises(BadAlgorithm, match="no method first"):
        algorithm("test-algorithm")(object)
    with pytest.raises(BadAlgorithm, match="taken"):
        algorithm("lpzero")(type(ALGORITHMS["lpzero"]))
    assert "test-algorithm" not in ALGORITHMS


def test_an_objective_that_does_not_know_a_ranking_from_its_reverse_is_refused() -> None:
    with pytest.raises(BadObjective, match="reverse"):
        objective("test-objective")(lambda target, scores: np.abs(target.spearman(scores)))
    with pytest.raises(BadObjective, match="taken"):
        objective("both")(OBJECTIVES["both"])
    assert "test-objective" not in OBJECTIVES


def test_the_example_of_an_algorithm_and_an_objective_is_short() -> None:
    """`python -m tests.robustness.guide` runs it."""
    assert "examples/plug_in.py" in (ROOT / "docs" / "guide.md").read_text()
    assert len((ROOT / "examples" / "plug_in.py").read_text().splitlines()) < 40
