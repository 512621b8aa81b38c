"""Operon's trees read back as formulas, and a search by it, with a stand-in for the library and, where it is installed,
with itself."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from gp.benchmark_search import PreparedSearch, search
from gp.config import BadConfig, SearchConfig
from gp.evolution.algorithms.operon import Operon
from gp.problem import SearchProblem
from gp.regression import MissingOperon, OperonRuns, multiplied_out
from gp.sweeps import Singles
from primitives.proxy import Proxy

CONFIG = SearchConfig(
    algorithm="operon", n_unary=1, inputs=("A", "W"), aggregates=("mean", "last"), iterations=60, population=20, folds=0,
    teacher="none",
)  # fmt: skip
TREES = [
    "((-0.1) + (2.0 * (((3.0 * X1) - (0.5 * X3)) + ((-4.0) * X2))))",
    "(X1 * (X2 + (2.0 - X3)))",
    "((X2 * X2) * X1) + (1e-3 * X4)",
]


class Stub:
    """Finds the same trees in every run; notes what it is given."""

    calls: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, **settings: Any) -> None:
        self.calls.append(settings)
        self.stats_ = {"evaluation_count": 70.0}
        self.pareto_front_ = [{"tree": tree} for tree in TREES]

    def fit(self, columns: np.ndarray, target: np.ndarray) -> Stub:
        self.calls[-1] |= {"columns": columns, "target": target}
        return self

    def get_model_string(self, tree: str, precision: int = 3) -> str:
        self.calls[-1]["precision"] = precision
        return tree


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> type[Stub]:
    package, inside = ModuleType("pyoperon"), ModuleType("pyoperon.sklearn")
    inside.SymbolicRegressor = Stub  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyoperon", package)
    monkeypatch.setitem(sys.modules, "pyoperon.sklearn", inside)
    monkeypatch.setattr(Stub, "calls", [])
    return Stub


def test_a_tree_is_multiplied_out() -> None:
    assert multiplied_out(TREES[0]) == {(0,): 6.0, (2,): -1.0, (1,): -8.0}
    assert multiplied_out(TREES[1]) == {(0, 1): 1.0, (0,): 2.0, (0, 2): -1.0}
    assert multiplied_out(TREES[2]) == {(3,): 1e-3}


def test_the_largest_products_stand_first_and_64_of_them_stay() -> None:
    assert list(multiplied_out("(X2 + X3) * (X1 + X4)")) == [(0, 1), (0, 2), (1, 3), (2, 3)]
    assert list(multiplied_out("((0.5 * X1) - (3.0 * X2)) * (X3)")) == [(1, 2), (0, 2)]
    several = "(" + " + ".join(f"({i} * X{i})" for i in range(1, 10)) + ")"
    found = multiplied_out(f"{several} * (X10 + {several.replace('X', 'X1')})")
    assert len(found) == 64 and min(found.values()) > 4 and (18, 8) not in found
    assert found[8, 18] == 81.0 and multiplied_out("X1 - X1") == {}


def test_a_polynomial_has_the_values_of_its_tree() -> None:
    rng, x = random.Random(4), np.random.default_rng(4).normal(size=(5, 9))

    def leaf() -> tuple[str, np.ndarray]:
        factor, column = round(rng.uniform(-2, 2), 3), rng.randint(1, 9)
        return f"({factor} * X{column})", factor * x[:, column - 1]

    def tree(depth: int) -> tuple[str, np.ndarray]:
        if depth == 0:
            return leaf()
        (left, value), (right, other) = tree(depth - 1), leaf()
        column = rng.randint(1, 9)
        if rng.random() < 0.5:
            return f"({left} + ((0.25) + (X{column} * {right})))", value + 0.25 + x[:, column - 1] * other
        return f"(-({left}) - (X{column} - {right}))", -value - x[:, column - 1] + other

    for _ in range(50):
        text, wanted = tree(rng.randint(0, 4))
        found = sum(c * np.prod(x[:, list(term)], axis=1) for term, c in multiplied_out(text).items())
        assert np.allclose(found - found.mean(), wanted - wanted.mean())


@pytest.mark.parametrize("text", ["sin(X1)", "X1 / X2", "Y1", "X1 ** 2", "__import__('os')", "True and X1", "'a'"])
def test_anything_else_is_refused_and_never_run(text: str) -> None:
    with pytest.raises(ValueError, match="wanted sums, differences and products"):
        multiplied_out(text)


def test_runs_regress_ranks_on_branches_in_units_of_their_deviation(problem: SearchProblem, stub: type[Stub]) -> None:
    singles = Singles.of(problem.table, CONFIG)
    runs = OperonRuns.create(problem, singles, CONFIG)
    found, compared = runs(None, 3)
    given = stub.calls[0]
    assert compared == 70 and sorted(given["target"]) == list(range(1, 15))
    assert np.allclose(given["columns"].std(0), 1) and given["columns"].shape == (14, len(singles.proxies))
    wanted = {
        "allowed_symbols": "add,sub,mul,constant,variable", "max_length": 11, "population_size": 500,
        "generations": 1_000_000_000, "max_evaluations": 20_000, "optimizer_iterations": 1, "n_threads": 1,
        "random_state": 42_000_129, "precision": 9,
    }  # fmt: skip
    assert {name: value for name, value in given.items() if name not in ("columns", "target")} == wanted
    OperonRuns.create(problem, singles, replace(CONFIG, seed=3000, branches=2))(None, 3)
    assert (stub.calls[1]["random_state"], stub.calls.pop(1)["max_length"]) == (852_525_355, 7)
    seeds = {given["random_state"]}
    runs(None, 4)
    OperonRuns.create(problem, singles, replace(CONFIG, seed=43))(None, 3)
    states = [call["random_state"] for call in stub.calls]
    assert len(seeds | set(states)) == 3 and all(type(state) is int for state in states)
    a, b, c, d = singles.proxies[:4]
    sums = Proxy(b.aggregate, b.left, "difference", a.left, a.aggregate).extended("sum", c.aggregate, c.left)
    behind = Proxy(a.aggregate, a.left, "product", b.left, b.aggregate).extended("sum", a.aggregate, a.left)
    assert list(found) == [sums, Proxy(a.aggregate, a.left), behind, Proxy(d.aggregate, d.left)]


def test_a_column_that_is_constant_is_no_column(problem: SearchProblem, stub: type[Stub]) -> None:
    singles = Singles.of(problem.table, CONFIG)
    values = singles.values.copy()
    values[0] = 7.0
    found, _ = OperonRuns.create(problem, Singles(singles.proxies, values), CONFIG)(None, 0)
    assert stub.calls[0]["columns"].shape[1] == len(values) - 1
    assert singles.proxies[0] not in {Proxy(p.aggregate, p.left) for p in found}


def test_a_search_by_operon_ends_as_it_began_and_is_the_same_twice(problem: SearchProblem, stub: type[Stub]) -> None:
    runs = [PreparedSearch.of(problem, CONFIG).evolve() for _ in range(2)]
    texts = [[champion.proxy.text for champion in run.hall.champions] for run in runs]
    assert texts[0] == texts[1] and len(texts[0]) > 3
    assert runs[0].state.iteration == CONFIG.iterations
    assert len({call["random_state"] for call in stub.calls}) > 1


def test_without_the_library_a_line_says_what_to_install(
    problem: SearchProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyoperon", None)
    with pytest.raises(MissingOperon, match=r"pyoperon is not installed; pip install -r requirements-operon\.txt"):
        PreparedSearch.of(problem, CONFIG)


def test_the_library_itself_finds_a_formula(problem: SearchProblem) -> None:
    pytest.importorskip("pyoperon", reason="pyoperon is not installed: pip install -r requirements-operon.txt")
    found = PreparedSearch.of(problem, replace(CONFIG, iterations=10, population=5)).evolve()
    again = PreparedSearch.of(problem, replace(CONFIG, iterations=10, population=5)).evolve()
    assert found.champion is not None and found.champion.fitness > 0.5
    assert [c.proxy for c in found.hall.champions] == [c.proxy for c in again.hall.champions]
    assert found.state.evaluations > 1000


@pytest.mark.parametrize(("found", "newborn"), [(3, [5]), (8, [])])
def test_newborn_formulas_fill_a_step(found: int, newborn: list[int]) -> None:
    asked: list[int] = []
    breeder: Any = SimpleNamespace(
        swept=("0", "1"), newborn=None, config=SimpleNamespace(population=8),
        neighbours=lambda parent, hole, most: [(parent, hole, most)] * found,
        brood=lambda make, count: asked.append(count) or ["new"] * count,
    )  # fmt: skip
    step = Operon().first(breeder)
    assert len(step) == 8 and asked == newborn and step[0] == (None, 2, 8)
    assert len(Operon().offspring(breeder, [], 8)) == 8


def test_a_later_step_takes_at_most_forty() -> None:
    asked: list[int] = []
    breeder: Any = SimpleNamespace(
        swept=(), newborn=None, neighbours=lambda parent, hole, most: [hole], brood=lambda make, count: asked.append(count) or [0] * count,
    )  # fmt: skip
    assert len(Operon().offspring(breeder, [], 100)) == 40 and asked == [39]


def test_a_search_with_a_mutation_of_nobody_ends_before_any_network() -> None:
    config = replace(SearchConfig(), mutations=("nobody",))
    with pytest.raises(BadConfig, match="nobody"):
        search((), config)
