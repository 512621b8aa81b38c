"""Constants: fitted by regression on what is added up, written in two digits, read back, and worth what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from fitness.protocol import ENOUGH
from gp import constants as constants_module
from gp.config import SearchConfig
from gp.constants import SHRINKAGE, fitted, summands, weighed
from gp.evolution.evolve import evolve
from gp.lineage import ancestry
from gp.problem import SearchProblem
from gp.sweeps import Sweeper
from primitives.grammar import parse
from primitives.invalid import Invalid
from primitives.operators import constant_of, times
from primitives.proxy import Proxy
from primitives.rendering import as_latex


def ridge(parts: list[np.ndarray], quality: np.ndarray) -> np.ndarray:
    """The slopes of the parts, by normal equations written out."""
    columns = np.stack([(p - p.mean()) / np.linalg.norm(p - p.mean()) for p in parts], 1)
    ranks = stats.rankdata(quality)
    inner = columns.T @ columns + SHRINKAGE * np.eye(len(parts))
    slopes = np.linalg.inv(inner) @ columns.T @ (ranks - ranks.mean())
    return slopes / [np.linalg.norm(p - p.mean()) for p in parts]


def constants(text: str) -> list[float]:
    proxy = parse(text)
    names = [proxy.right_aggregate, *(extension.aggregate for extension in proxy.extensions)]
    return [constant_of(name)[0] for name in names if name]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("sum( mean[ abs(A) ], last[ pow2(W) ] )", ["mean[ abs(A) ]", "last[ pow2(W) ]"]),
        ("sum[ sum( exp(A), pow2(W) ) ]", ["sum[ exp(A) ]", "sum[ pow2(W) ]"]),
        (
            "sum( sum( mean[ abs(A) ], last[ pow2(W) ] ), first[ to_std(J) ] )",
            ["mean[ abs(A) ]", "last[ pow2(W) ]", "first[ to_std(J) ]"],
        ),
        (
            "sum( product( mean[ abs(A) ], last[ pow2(W) ] ), first[ to_std(J) ] )",
            ["product( mean[ abs(A) ], last[ pow2(W) ] )", "first[ to_std(J) ]"],
        ),
        (
            "product( sum( product( mean[ abs(A) ], last[ pow2(W) ] ), first[ to_std(J) ] ), last[ exp(H) ] )",
            [
                "product( product( mean[ abs(A) ], last[ pow2(W) ] ), last[ exp(H) ] )",
                "product( first[ to_std(J) ], last[ exp(H) ] )",
            ],
        ),
    ],
)
def test_the_constants_are_ratios_of_the_slopes_of_a_ridge_regression(
    problem: SearchProblem, text: str, parts: list[str]
) -> None:
    rows = [problem.table.value(parse(part)) for part in parts]
    truth = np.array([2.0, 0.5, 3.0])[: len(rows)]  # of the same sign, so that each constant is kept
    quality = sum(w * row / row.std() for w, row in zip(truth, rows, strict=True))
    slopes = ridge(rows, quality)
    assert (slopes > 0).all()
    (found,) = fitted([parse(text).canonical()], problem.table, quality, ...)
    wanted = [float(f"{slope / slopes[0]:.2g}") for slope in slopes[1:]]
    assert [c for c in constants(found.text) if c != 1] == [w for w in wanted if w != 1] != []
    assert parse(found.text) == found and found.without_constants() == parse(text).canonical()


def test_constants_are_fitted_to_the_networks_asked_for(problem: SearchProblem) -> None:
    proxy, some = parse("sum( mean[ abs(A) ], last[ pow2(W) ] )"), np.arange(9)
    rows = [problem.table.value(parse(part)) for part in ("mean[ abs(A) ]", "last[ pow2(W) ]")]
    quality = rows[0] / rows[0].std() + 2 * rows[1] / rows[1].std()
    slopes = ridge([row[some] for row in rows], quality[some])
    (found,) = fitted([proxy], problem.table, quality[some], some)
    assert (slopes > 0).all() and constants(found.text) == [float(f"{slopes[1] / slopes[0]:.2g}")]


def test_a_constant_inside_a_product_weighs_what_is_added_up_there(problem: SearchProblem) -> None:
    proxy = parse("product( sum( mean[ abs(A) ], last[ pow2(W) ] ), first[ to_std(J) ] )").canonical()
    a, w, j = (problem.table.value(parse(t)) for t in ("mean[ abs(A) ]", "last[ pow2(W) ]", "first[ to_std(J) ]"))
    first, second = (w, a) if "last[ pow2(W) ]" in proxy.text.split(",")[0] else (a, w)
    quality = first * j / (first * j).std() + 3 * second * j / (second * j).std()
    slopes = ridge([first * j, second * j], quality)
    (found,) = fitted([proxy], problem.table, quality, ...)
    assert constants(found.text) == [float(f"{slopes[1] / slopes[0]:.2g}"), 1.0]


def test_a_part_that_would_turn_its_sign_keeps_constant_1(problem: SearchProblem) -> None:
    a, w = (problem.table.value(parse(t)) for t in ("mean[ abs(A) ]", "last[ to_std(W) ]"))
    quality = a / a.std() - 2 * w / w.std()
    both = [parse(f"{join}( mean[ abs(A) ], last[ to_std(W) ] )").canonical() for join in ("sum", "difference")]
    plus, minus = fitted(both, problem.table, quality, ...)
    assert plus == both[0] and "*" in minus.text


def test_a_constant_within_its_bounds_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    slopes = np.array([[1.0, 1e-12, 1e12, 0.9e-12, 1.1e12, -2.0, np.nan]])
    monkeypatch.setattr(constants_module, "ridge_slopes", lambda *given: slopes)
    found = constants_module._constants(np.empty((1, 7, 3)), np.empty(3), 0.1)
    assert found.tolist() == [[1.0, 1e-12, 1e12, 1.0, 1.0, 1.0, 1.0]]


def test_summands_carry_the_signs_of_their_differences(problem: SearchProblem) -> None:
    text = "sum( difference( difference( mean[ exp(A) ], last[ W ] ), first[ pow2(J) ] ), sum[ exp(H) ] )"
    rows = [problem.table.value(parse(f"{part} ]")) for part in (
        "mean[ exp(A)", "last[ W", "first[ pow2(J)", "sum[ exp(H)"
    )]  # fmt: skip
    assert np.array_equal(summands(parse(text), problem.table), np.array([rows[0], -rows[1], -rows[2], rows[3]]))


def test_formulas_that_add_nothing_up_stay_as_they_are(problem: SearchProblem) -> None:
    proxies = [parse("mean[ abs(A) ]"), parse("product( mean[ abs(A) ], last[ W ] )"), parse("mean[ product( A, A ) ]")]
    assert fitted(proxies, problem.table, problem.target.values, ...) == proxies


def test_the_score_of_a_constant_is_that_multiple_of_its_branch(problem: SearchProblem) -> None:
    value = problem.table.value(parse("difference( mean[ abs(A) ], 0.33*last[ pow2(W) ] )"))
    a, w = (problem.table.value(parse(t)) for t in ("mean[ abs(A) ]", "last[ pow2(W) ]"))
    assert value == pytest.approx(a - 0.33 * w, rel=1e-12)


def test_weighed_rows_have_each_its_own_constant() -> None:
    rng = np.random.default_rng(0)
    rest, parts, quality = rng.normal(size=12), rng.normal(size=(3, 12)), rng.normal(size=12)
    quality = quality + 3 * rest
    for row, part in zip(weighed(rest, parts, quality), parts, strict=True):
        slopes = ridge([rest, part], quality)
        constant = slopes[1] / slopes[0]
        assert row == pytest.approx(rest + (constant if constant > 0 else 1.0) * part)


@pytest.mark.parametrize(("constant", "name"), [(0.333, "0.33*sum"), (1.004, "sum"), (12345, "1.2e+04*sum")])
def test_a_constant_has_two_digits(constant: float, name: str) -> None:
    assert times(constant, "sum") == name and constant_of(name)[1] == "sum"


def test_a_constant_counts_as_complexity_and_stands_in_latex() -> None:
    plain, weighted = parse("sum( last[ J ], mean[ W ] )"), parse("sum( last[ J ], 1.2e-07*mean[ W ] )")
    assert weighted.complexity == plain.complexity + 1
    assert r"1.2 \cdot 10^{-7} \cdot \frac{1}{L}" in as_latex(weighted)


def test_a_search_with_constants_keeps_trees_without_them_and_knows_where_its_champion_comes_from(
    problem: SearchProblem,
) -> None:
    config = SearchConfig(
        n_unary=1, population=40, iterations=120, brood=20, sweeps=4, folds=0, constants=True, pps=False
    )
    some = replace(problem, constants=True, probes=())
    state = evolve(config, some.evaluate, sweep=Sweeper.create(some, config)).state
    texts = [e.proxy.text for e in state.hall.champions]
    assert any("*" in text for text in texts) and not any("*" in text for text in state.seen)
    best = state.hall.champions[0].proxy
    assert best.without_constants().text in ancestry(state.seen, [best.without_constants().text])
    for champion in state.hall.champions:
        assert some.fitted([champion.proxy.without_constants()]) == [champion.proxy]


def test_with_its_constants_a_formula_has_to_pass_the_probes_again(
    problem: SearchProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def predict(proxies: list[Proxy]) -> list[str | None]:
        asked.append([proxy.text for proxy in proxies])
        return ["probe_noise", None][: len(proxies)]

    texts = ("sum[ W ]", "sum( sum[ abs(W) ], last[ abs(A) ] )", "sum( sum[ abs(W) ], mean[ abs(A) ] )")
    proxies = [*map(parse, texts), parse("sum( mean[ abs(A) ], last[ pow2(W) ] )")]
    some = replace(problem, constants=True)
    plain = some.evaluate(proxies)
    monkeypatch.setattr(SearchProblem, "predict", property(lambda self: predict))
    found = some.evaluate(proxies)
    changed = [e.proxy.text for e, proxy in zip(plain, proxies, strict=True) if e.proxy != proxy]
    assert asked == [changed] == [[plain[1].proxy.text, plain[2].proxy.text]]
    assert [e.invalid for e in found] == [None, Invalid.UNREPEATED, None, None]
    assert found[1].proxy == plain[1].proxy and [found[0], *found[2:]] == [plain[0], *plain[2:]]
    assert len(problem.evaluate(proxies)) == 4 and asked == [changed, []]  # nothing is fitted
    assert replace(some, labels=ENOUGH).evaluate(proxies) == plain and len(asked) == 2
