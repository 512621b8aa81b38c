import copy
import json
import random

import pytest
from landscape import search, short

from gp.evolution.state import BadState, SearchState

CONFIG = short(algorithm="memetic")
DATA = json.loads(json.dumps(search(algorithm="memetic").state.to_dict()))


def changed(path, value):
    data = copy.deepcopy(DATA)
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return data


def test_a_state_comes_back_from_json_exactly():
    assert SearchState.from_dict(DATA, CONFIG).to_dict() == DATA


def test_a_state_before_the_first_step_comes_back():
    data = json.loads(json.dumps(SearchState.start(CONFIG).to_dict()))
    assert SearchState.from_dict(data, CONFIG).to_dict() == data


def test_an_invalid_member_is_stored_as_null():
    state = search(iterations=0, population=200).state
    members = state.to_dict()["population"]
    assert any(member["fitness"] is None for member in members)
    assert "Infinity" not in json.dumps(state.to_dict())


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("schema",), 1, "schema: got 1"),
        (("iteration",), -1, "iteration: got -1"),
        (("evaluations",), "many", "evaluations: got 'many'"),
        (("population",), [], "population: got a list, wanted at least two"),
        (("population",), DATA["population"] * 2, "got 32 entries, wanted at most 16"),
        (("population", 3, "text"), "mean[ __import__('os') ]", "population[3]: text"),
        (("population", 3, "text"), "mean[ product( log(W), log(J) ) ]", "population[3]"),
        (("population", 3, "text"), "mean[ W ]\x1b[2J", "printable"),
        (("population", 3, "fitness"), "0.5", "population[3]: fitness: got '0.5'"),
        (("population", 3, "fitness"), float("nan"), "finite"),
        (("population", 3, "age"), 1, "got the field 'age'"),
        (("rng",), [3], "rng: got a list"),
        (("rng", 0), 2, "rng[0]: got 2"),
        (("rng", 1), [1, 2], "624 words"),
        (("rng", 1, 5), 2**32, "rng[1][5]"),
        (("rng", 1, 624), 625, "624 words and a position"),
        (("rng", 2), 0.5, "the version, the words and null"),
        (("rejections",), [], "rejections: got a list"),
        (("rejections", "twin"), -2, "rejections: twin: got -2"),
        (("hall", 0, "ranking"), "abc", "ranking: got 'abc', wanted a sha256"),
        (("hall", 0, "sign"), 0, "sign: got 0, wanted 1 or -1"),
        (("hall", 1), DATA["hall"][0], "hall[1]"),
        (("hall",), DATA["hall"] * 2, "wanted at most 12"),
        (("seen",), None, "seen: got None"),
        (("seen", 0), 3, "seen[0]: got 3"),
        (("seen",), DATA["seen"][:-1], "births: got a list, wanted 75 births, one for each formula seen"),
        (("births", 0), [], "births[0]: got a list, wanted an operator and the places of the parents"),
        (("births", 0), ["mate", 1, 2, 3], "births[0]"),
        (("births", 9), ["mate", 1, 9], "births[9][2]: got 9"),
        (("births", 9, 0), 5, "births[9][0]: got 5"),
        (("population", 3, "ranking"), "abc", "population[3]: ranking: got 'abc', wanted a sha256"),
        (("swept", 0), None, "swept[0]: got None"),
        (("surprise",), 3, "got the field 'surprise'"),
    ],
)
def test_a_damaged_state_is_refused_with_the_place(path, value, reason):
    with pytest.raises(BadState) as caught:
        SearchState.from_dict(changed(path, value), CONFIG)
    assert reason in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("key", list(DATA))
def test_a_missing_part_is_refused_by_name(key):
    with pytest.raises(BadState, match=f"{key} is missing"):
        SearchState.from_dict({k: v for k, v in DATA.items() if k != key}, CONFIG)


@pytest.mark.parametrize("data", [None, [], 3, "state"])
def test_something_else_is_refused(data):
    with pytest.raises(BadState, match="wanted an object"):
        SearchState.from_dict(data, CONFIG)


@pytest.mark.slow
def test_any_single_part_replaced_by_anything_is_refused_or_harmless():
    rng = random.Random(0)
    values = [None, True, -1, 10**400, 1e308, "", "W", [], {}, [[]], {"a": 1}, "\ud800"]
    for _ in range(1500):
        place = data = copy.deepcopy(DATA)
        while True:
            key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if not isinstance(place[key], dict | list) or not place[key] or rng.random() < 0.2:
                break
            place = place[key]
        place[key] = rng.choice(values)
        try:
            SearchState.from_dict(data, CONFIG)
        except BadState as fault:
            assert "\n" not in str(fault)
