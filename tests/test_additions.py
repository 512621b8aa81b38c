"""Sweeps of distilled formulas: what is compared in the place of a branch, and the signs of what is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gp import sweeps
from gp.additions import Additions
from gp.config import SearchConfig
from gp.problem import SearchProblem
from gp.sweeps import Singles, Sweeper, _parts, _signed
from primitives.grammar import parse

CONFIG = SearchConfig(n_unary=1, inputs=("A", "W"), aggregates=("mean", "sum"))
A, W, H = "mean[ abs(A) ]", "sum[ exp(W) ]", "mean[ pow2(H) ]"


@pytest.fixture
def sweeper(problem: SearchProblem) -> Sweeper:
    distils = replace(problem, price=1e-4, constants=True)
    return Sweeper(distils, Singles.of(problem.table, CONFIG), ("sum", "difference", "product"))


@pytest.mark.parametrize(
    ("text", "hole", "kept", "factor", "products"),
    [
        (f"difference( {A}, {W} )", 2, ["A", "W"], "", 2),
        (f"difference( product( {A}, {W} ), {H} )", 2, ["AW"], "", 2),
        (f"product( sum( {A}, {W} ), {H} )", 1, ["AH"], "H", 2),
        (f"sum( product( {A}, {W} ), {H} )", 0, ["H"], "W", 1),
        (f"product( product( {W}, {A} ), {H} )", 0, [], "AH", 1),
        (f"sum( product( {A}, {W} ), {H} )", 1, ["A", "H"], "", 2),
        (f"product( difference( {A}, {W} ), {H} )", 3, ["AH", "WH"], "", 2),
        (f"sum( sum( {A}, {W} ), {H} )", 1, ["A", "H"], "", 2),
    ],
)  # fmt: skip
def test_branches_are_compared_as_what_they_add_in_their_place(
    text: str, hole: int, kept: list[str], factor: str, products: int, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, values = sweeper.problem.table, sweeper.singles.values
    rows = {name: table.value(parse(part)) for name, part in (("A", A), ("W", W), ("H", H))}

    def product(names: str) -> np.ndarray:
        return np.prod([rows[name] for name in names], axis=0) if names else np.ones(table.count)

    rests, stacks, units, best, slopes = [], [], [], Additions.best, sweeps.ridge_slopes

    def looked(self: Additions, rest: np.ndarray, count: int) -> np.ndarray:
        rests.append(rest.copy())
        units.append(self.units)
        assert count == 40
        return best(self, rest, count)

    def sloped(parts: np.ndarray, quality: np.ndarray, shrinkage: float) -> np.ndarray:
        if len(parts) and not stacks:
            stacks.append(parts.copy())
            assert shrinkage == sweeper.problem.shrinkage and quality is sweeper.problem.target.values
        return slopes(parts, quality, shrinkage)

    monkeypatch.setattr(Additions, "best", looked)
    monkeypatch.setattr(sweeps, "ridge_slopes", sloped)
    monkeypatch.setattr(SearchProblem, "fitted", lambda self, proxies: list(proxies))
    found, compared = sweeper(parse(text), hole)
    assert list(found) and compared == products * len(values)
    assert rests[0] == pytest.approx(np.array([product(names) for names in kept]).reshape(-1, table.count))
    assert len(rests) == products and (products == 1 or rests[1].shape == (0, table.count))
    moved = values * product(factor)
    centred = moved - moved.mean(-1, keepdims=True)
    assert units[0] == pytest.approx(centred / np.linalg.norm(centred, axis=-1, keepdims=True))
    assert stacks[0][0, :-1] == pytest.approx(rests[0]) and len(stacks[0]) == min(40, len(values))
    assert all(min(np.abs(moved - row[-1]).max(-1)) < 1e-9 * np.abs(row[-1]).max() for row in stacks[0])


def test_a_sweep_without_a_formula_compares_single_branches(sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sweeper, "_distilled", lambda *given: pytest.fail("distilled"))
    found, compared = sweeper(None, 0)
    assert {len(proxy.branches) for proxy in found} == {1} and compared == len(sweeper.singles.proxies)


def test_without_products_only_what_adds_is_compared(sweeper: Sweeper) -> None:
    found, compared = replace(sweeper, joins=("sum", "difference"))(parse(A), 1)
    assert compared == len(sweeper.singles.proxies) and {proxy.binary for proxy in found} <= {"sum", "difference"}


@pytest.mark.parametrize(
    ("signs", "text"),
    [
        ((1, 1, 1), f"sum( product( sum( {A}, {W} ), {A} ), {H} )"), ((1, -1, 1), f"sum( product( difference( {A}, {W} ), {A} ), {H} )"),
        ((-1, -1, 1), f"difference( product( sum( {A}, {W} ), {A} ), {H} )"), ((1, 0, -1), f"difference( product( sum( {A}, {W} ), {A} ), {H} )"),
        ((0, -1, 1), f"sum( product( sum( {A}, {W} ), {A} ), {H} )"),
    ],
)  # fmt: skip
def test_parts_are_added_or_taken_off_beside_the_first(signs: tuple[int, ...], text: str) -> None:
    parts: Any = [
        ("", "mean", parse(A).left, signs[0]), ("sum", "0.5*sum", parse(W).left, signs[1]), ("product", "mean", parse(A).left, -1),
        ("sum", "mean", parse(H).left, signs[2]),
    ]  # fmt: skip
    assert _signed(parts) == parse(text).canonical()


def test_the_parts_of_a_formula_are_its_branches_with_what_joins_them() -> None:
    text = f"difference( matmul( {A}, {W} ), 0.5*{H} )"
    a, w, h = (parse(part).left for part in (A, W, H))
    assert _parts(parse(text)) == [("", "mean", a), ("product", "sum", w), ("difference", "0.5*mean", h)]
