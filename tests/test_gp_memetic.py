"""The memetic search on a made-up landscape: what sweeps bring, what they cost, and where a formula comes from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

import pytest
from landscape import SINGLES, evaluate, search, short, sweep

from gp.evolution.evolve import Evolution, evolve
from gp.evolution.state import BadState, SearchState
from gp.lineage import Birth, ancestry, from_lines, is_crossed, to_lines
from primitives.grammar import parse
from primitives.proxy import Proxy
from storage.datum import Datum
from storage.errors import ZcpError

OPERATORS = {"newborn", "mate", "mutate", "mate_and_mutate", "sweep", "mate_and_sweep"}


@pytest.fixture(scope="module")
def state() -> SearchState:
    """A search whose population is far from full of the best: children and sweeps have room."""
    return search(algorithm="memetic", iterations=400, population=60, brood=30, sweeps=5, seed=2).state


def test_no_two_members_rank_alike_and_the_best_come_first(state: SearchState) -> None:
    rankings = [individual.ranking for individual in state.population if individual.ranking]
    assert len(set(rankings)) == len(rankings) > 40
    fitness = [individual.fitness.values[0] for individual in state.population]
    assert fitness == sorted(fitness, reverse=True)


def test_of_members_that_rank_alike_the_best_and_then_the_simplest_stays() -> None:
    evolution = Evolution(short(algorithm="memetic", population=6), sweep=sweep)
    evolution.step(evaluate)
    first = evolution.state.population[0]
    twin = type(first)(first, first.pset)
    twin.ranking, twin.fitness.values = first.ranking, (first.fitness.values[0] - 0.1, 1)
    survivors = evolution.algorithm.survivors([twin], [first], 6)
    assert survivors == [first] and survivors[0] is first


def test_every_formula_has_a_birth_and_every_lineage_ends_in_births_without_parents(state: SearchState) -> None:
    operators = Counter(birth.operator for birth in state.seen.values() if birth)
    assert set(operators) == OPERATORS and sum(operators.values()) == len(state.seen)
    for text in state.seen:
        lineage = ancestry(state.seen, [text])
        assert list(lineage)[-1] == text and not next(iter(lineage.values())).parents
        place = {ancestor: at for at, ancestor in enumerate(lineage)}
        assert all(place[parent] < place[one] for one, birth in lineage.items() for parent in birth.parents)
        assert all(bool(birth.parents) is (birth.operator != "newborn") or birth == Birth("sweep")
                   for birth in lineage.values())  # fmt: skip


def test_a_lineage_tells_no_more_than_is_known(state: SearchState) -> None:
    births = {"c": Birth("mate", ("a", "b")), "a": Birth("newborn"), "b": None, "d": Birth("mutate", ("c",))}
    assert list(ancestry(births, ["d", "c"])) == ["a", "c", "d"] and not ancestry(births, ["b", "e"])
    assert is_crossed(ancestry(births, ["d"])) and not is_crossed(ancestry(births, ["a"]))


def test_a_lineage_comes_back_from_its_lines(state: SearchState) -> None:
    lineage = ancestry(state.seen, list(state.seen)[-20:])
    lines = json.loads(json.dumps(to_lines(lineage)))
    assert from_lines(Datum("lineage", lines, BadState)) == lineage and is_crossed(lineage)
    for damage in ({"parents": [len(lines)]}, {"parents": [0, 0, 0]}, {"text": "mean[ sqr(W) ]"}, {"operator": 3}):
        with pytest.raises(ZcpError):
            from_lines(Datum("lineage", [{**lines[0], **damage}], BadState))


@pytest.mark.parametrize("pps", [True, False])
def test_parents_are_older_than_their_children(pps: bool) -> None:
    settings = {"inputs": ["W"], "n_unary": 1, "branches": 2, "aggregates": ["mean"], "iterations": 600, "pps": pps}
    seen = search(algorithm="memetic", **settings).state.seen
    place = {text: at for at, text in enumerate(seen)}
    assert all(place[p] < at for at, birth in enumerate(seen.values()) if birth for p in birth.parents)
    assert ancestry(seen, seen).keys() == seen.keys()


def test_births_and_sweeps_come_back_from_json_exactly(state: SearchState) -> None:
    data = json.loads(json.dumps(state.to_dict()))
    config = short(algorithm="memetic", iterations=400, population=60, brood=30, sweeps=5, seed=2)
    again = SearchState.from_dict(data, config)
    assert again.to_dict() == data and again.seen == state.seen and list(again.swept) == list(state.swept)
    assert [i.ranking for i in again.population] == [i.ranking for i in state.population]


def test_a_neighbourhood_is_compared_once_and_its_price_is_what_was_compared() -> None:
    asked, price = Counter[tuple[str, int]](), 0

    def counting(proxy: Proxy | None, hole: int) -> tuple[Iterable[Proxy], int]:
        nonlocal price
        asked[proxy.text if proxy else "", hole] += 1
        found, compared = sweep(proxy, hole)
        price += compared
        return found, compared

    config = short(algorithm="memetic", iterations=400, population=20, brood=10, sweeps=10)
    state = evolve(config, evaluate, sweep=counting).state
    assert set(asked.values()) == {1} and len(asked) == len(state.swept) > 20
    assert state.evaluations == price + 400 + 20
    assert {hole for _, hole in asked} == {0, 1, 2} and asked["", 0] == 1
    assert {f"{hole} {text}".rstrip() for text, hole in asked} == set(state.swept)


def test_the_first_population_is_half_of_the_best_single_branches() -> None:
    state = search(algorithm="memetic", iterations=0, population=16).state
    births = Counter(birth.operator for birth in state.seen.values() if birth)
    assert births == {"sweep": 8, "newborn": 8}
    allowed = [single for single in SINGLES if single.left.chain]  # a rule refuses no_op(no_op(A)), a bare input
    singles = sorted((e for e in evaluate(allowed) if e.invalid is None), key=lambda e: e.order)
    assert list(state.seen)[:8] == [e.proxy.text for e in singles[:8]]


def test_a_sweep_is_found_at_the_number_of_formulas_compared_until_then() -> None:
    state = search(algorithm="memetic", iterations=0, population=16).state
    assert state.evaluations == len(SINGLES) + 16
    assert min(e.found_at for e in state.hall.champions) > len(SINGLES)


@pytest.mark.parametrize(("branches", "holes"), [(2, {0, 1}), (3, {0, 1, 2})])
def test_a_set_of_two_branches_has_no_third_hole(branches: int, holes: set[int]) -> None:
    state = search(algorithm="memetic", iterations=300, branches=branches, brood=5, sweeps=10).state
    assert {int(name[0]) for name in state.swept} == holes
    assert max(len(parse(text).branches) for text in state.seen) == branches


def test_without_sweeps_there_is_an_evolution_alone() -> None:
    assert not evolve(short(algorithm="memetic"), evaluate).state.swept
    none = search(algorithm="memetic", sweeps=0).state
    assert list(none.swept) == ["0"] and none.evaluations == 60 + 16 + len(SINGLES)


def test_the_predictive_rules_are_asked_of_a_brood_at_once() -> None:
    asked: list[list[str]] = []

    def predict(proxies: list[Proxy]) -> list[str | None]:
        asked.append([proxy.text for proxy in proxies])
        return ["probe_noise" if "exp" in proxy.text else None for proxy in proxies]

    result = evolve(short(algorithm="memetic"), evaluate, predict=predict, sweep=sweep)
    every = [text for texts in asked for text in texts]
    assert len(every) == len(set(every)) and max(map(len, asked)) >= 12
    assert not any("exp" in text for text in result.state.seen) and result.state.rejections["probe_noise"] > 5
