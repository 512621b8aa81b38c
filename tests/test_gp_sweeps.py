"""Sweeps against brute force: every neighbour spelt out and scored alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fitness.evaluation import Evaluation, ranking_key
from fitness.features.bank import sketch_features
from fitness.features.collect import collect
from fitness.objectives import evaluate_scores
from fitness.ranking import RankTarget
from fitness.tables.branches import BranchTable
from fitness.tables.chains import chains_of
from fitness.tables.probes import Probes
from gp.additions import Additions
from gp.benchmark_search import PreparedSearch
from gp.config import SearchConfig
from gp.problem import SearchProblem, is_coarse
from gp.sweeps import LOOKED_AT, Interrupted, Singles, Sweeper, number_joins
from models.architecture import Architecture
from models.spaces import SPACES
from models.tokens import TokenBatch
from primitives.grammar import parse
from primitives.invalid import Invalid
from primitives.pps import violation
from primitives.proxy import Branch, Proxy

SMALL = SearchConfig(n_unary=1, inputs=("A", "W"), aggregates=("mean", "last"))
TEXTS = [
    "last[ exp(A) ]", "sum( mean[ abs(A) ], last[ pow2(W) ] )", "mean[ product( abs(A), pow2(W) ) ]",
    "difference( product( mean[ exp(A) ], last[ W ] ), mean[ to_std(A) ] )", "mean[ matmul( abs(W), exp(W) ) ]",
]  # fmt: skip


@pytest.fixture(scope="module")
def sweeper(problem: SearchProblem) -> Sweeper:
    return Sweeper.create(problem, SMALL)


def spelt_out(config: SearchConfig = SMALL) -> list[Proxy]:
    """Every aggregated branch of the space that the rules allow."""
    branches = [Branch(name, chain) for name in config.inputs for chain in chains_of(1)]
    singles = [Proxy(aggregate, branch) for branch in branches for aggregate in config.aggregates]
    return [single for single in singles if violation(single) is None]


def neighbours(proxy: Proxy | None, hole: int) -> list[Proxy]:
    """Every formula with another branch in that place, built by hand."""
    if proxy is None:
        return spelt_out()
    parts: list[tuple[str, Proxy]] = [("", Proxy(proxy.aggregate, proxy.left))]
    if proxy.right is not None:
        join = "product" if proxy.binary == "matmul" else str(proxy.binary)
        parts.append((join, Proxy(proxy.right_aggregate or proxy.aggregate, proxy.right)))
    parts += [(e.binary, Proxy(e.aggregate, e.branch)) for e in proxy.extensions]
    made = []
    for single in spelt_out():
        for join in number_joins() if hole else ("",):
            (_, first), *rest = [*parts[:hole], (join, single), *parts[hole + 1 :]]
            for binary, part in rest:
                first = first.extended(binary, part.aggregate, part.left)
            made.append(first.canonical())
    return made


def alone(problem: SearchProblem, proxy: Proxy) -> Evaluation:
    """One formula, scored by itself."""
    return evaluate_scores([proxy], problem.table.score(proxy)[None], problem.target, problem.objective)[0]


def test_the_single_branches_are_all_that_rank_differently(problem: SearchProblem) -> None:
    singles = Singles.of(problem.table, SMALL)
    every = {proxy: problem.table.score(proxy) for proxy in spelt_out()}
    usable = {proxy: ranking_key(row) for proxy, row in every.items() if np.isfinite(row).all() and np.ptp(row) > 0}
    assert len(singles.proxies) == len(set(usable.values())) == len({usable[proxy] for proxy in singles.proxies})
    for proxy, row in zip(singles.proxies, singles.values, strict=True):
        assert np.array_equal(row, problem.table.value(proxy))
        alike = [other for other, key in usable.items() if key == usable[proxy]]
        assert proxy.complexity == min(other.complexity for other in alike)


def test_without_rules_more_branches_are_tried_and_three_operators_are_not(problem: SearchProblem) -> None:
    assert len(Singles.of(problem.table, replace(SMALL, pps=False)).proxies) > len(
        Singles.of(problem.table, SMALL).proxies
    )
    one_input = replace(SMALL, inputs=("W",), aggregates=("mean",), n_unary=3)
    assert max(len(p.left.chain) for p in Singles.of(problem.table, one_input).proxies) == 2


HOLES = [(None, 0)] + [(text, hole) for text in TEXTS for hole in range(min(3, len(parse(text).branches) + 1))]


@pytest.mark.parametrize(("text", "hole"), HOLES)
def test_the_best_of_a_sweep_is_the_best_of_all_neighbours(
    text: str | None, hole: int, problem: SearchProblem, sweeper: Sweeper
) -> None:
    proxy = parse(text).canonical() if text else None
    found, compared = sweeper(proxy, hole)
    best = problem.evaluate(list(found))
    every = [e for one in dict.fromkeys(neighbours(proxy, hole)) if (e := alone(problem, one)).invalid is None]
    # Branches that rank alike are tried once, so the best of all may be a little better than the best one tried.
    assert max(e.fitness for e in every) - 0.02 <= best[0].fitness <= max(e.fitness for e in every)
    if proxy is None:
        assert best[0].fitness == max(e.fitness for e in every)
    assert all(e.proxy == e.proxy.canonical() and e.proxy in {one.proxy for one in every} for e in best)
    joins = 1 if hole == 0 else len(number_joins())
    assert len(best) <= compared <= joins * len(sweeper.singles.proxies)


@pytest.mark.parametrize(("text", "hole"), HOLES)
def test_results_of_a_sweep_are_sorted_and_no_two_rank_alike(
    text: str | None, hole: int, problem: SearchProblem, sweeper: Sweeper
) -> None:
    found = problem.evaluate(list(sweeper(parse(text).canonical() if text else None, hole)[0]))
    assert all(e.invalid is None for e in found) and len({e.ranking for e in found}) == len(found)
    fitness = [e.fitness for e in found]
    assert fitness == sorted(fitness, reverse=True)
    assert len(found) <= LOOKED_AT * len(number_joins())


def test_the_price_of_a_sweep_is_the_number_that_has_a_fitness(problem: SearchProblem, sweeper: Sweeper) -> None:
    first = parse("last[ exp(A) ]")
    _, compared = sweeper(first, 1)
    every = [first.extended(join, s.aggregate, s.left) for join in number_joins() for s in sweeper.singles.proxies]
    scores = np.stack([problem.table.score(proxy) for proxy in every])
    assert compared == (np.isfinite(scores).all(-1) & (scores.max(-1) > scores.min(-1))).sum() < len(every)


def test_the_sweeper_of_a_part_knows_no_other_architecture(problem: SearchProblem, sweeper: Sweeper) -> None:
    places = np.array([0, 2, 3, 5, 7, 8, 9, 12, 13])
    part = problem.only(places)
    (best, *_), _ = sweeper.only(part)(None, 0)
    worth = {single: part.evaluate([single])[0].fitness for single in sweeper.singles.proxies}
    assert worth[best] == max(worth.values())
    shuffled = replace(part, target=RankTarget.create(part.target.values[::-1].copy()))
    assert [p.text for p in sweeper.only(shuffled)(None, 0)[0]] != [p.text for p in sweeper.only(part)(None, 0)[0]]


def test_threads_and_repetition_find_the_same(problem: SearchProblem, sweeper: Sweeper) -> None:
    again = Sweeper.create(replace(problem, jobs=2), SMALL)
    assert again.singles.proxies == sweeper.singles.proxies
    assert np.array_equal(again.singles.values, sweeper.singles.values)
    for text, hole in HOLES[:4]:
        proxy = parse(text).canonical() if text else None
        (one, price), (two, other) = sweeper(proxy, hole), again(proxy, hole)
        assert list(one) == list(two) and price == other


def test_of_coarse_formulas_only_coarse_neighbours_are_found(problem: SearchProblem) -> None:
    config = replace(SMALL, inputs=("A", "W.attn"), n_unary=2, coarse=0.1)
    coarse = Sweeper.create(problem, config).only(problem.of_kind("coarse", config))
    found, compared = coarse(None, 0)
    proxies = list(found)
    assert proxies and is_coarse(problem.scores(proxies), 0.1).all()
    assert compared == is_coarse(problem.scores(coarse.singles.proxies), 0.1).sum() < len(coarse.singles.proxies)
    fine = Sweeper.create(problem, config)(None, 0)[1]
    assert fine == len(coarse.singles.proxies)


@pytest.mark.parametrize("times", [0, 1])
def test_a_stop_between_two_inputs_ends_it(problem: SearchProblem, times: int) -> None:
    answers: Iterator[bool] = iter([False] * times + [True])
    with pytest.raises(Interrupted):
        Sweeper.create(problem, SMALL, lambda: next(answers))


@pytest.mark.parametrize(
    ("scores", "share", "coarse"),
    [
        ([1, 1, 2, 2, 3, 3], 1 / 3, True), ([1, 1, 2, 2, 2, 3], 1 / 3, False), ([1, 1, 1, 1, 1, 1], 0.1, False),
        ([1, 2, 3, 4, 5, 6], 0.1, False), ([1, 1, 1, 1 + 3e-5, 1 + 3e-5, 2, 2], 0.1, False),
        ([1, 1, 1, 2, 2, 2, 2, 2], 0.5, False), ([1, 1, 1, 1 + 7e-5, 1 + 7e-5, 2, 2], 0.1, True),
        ([-2, -2, 0, 0, 0, 0, 0], 0.1, True),
    ],
)  # fmt: skip
def test_what_is_coarse(scores: list[float], share: float, coarse: bool) -> None:
    assert is_coarse(np.array([scores], dtype=float), share).tolist() == [coarse]


def test_a_problem_of_coarse_formulas_refuses_the_fine_ones_by_name() -> None:
    problem = SearchProblem(None, RankTarget.create(np.arange(6.0)), coarse=1 / 3)  # type: ignore[arg-type]
    rows = np.array([[1, 1, 2, 2, 3, 3], [1, 1, 2, 2, 2, 3], [1] * 6, [1, 1, 2, 2, np.nan, 3]], dtype=float)
    found = problem.judge([parse(f"mean[ {x} ]") for x in "AWJG"], rows)
    assert [e.invalid for e in found] == [None, Invalid.FINE, Invalid.CONSTANT, Invalid.NON_FINITE]
    assert problem.usable(rows).tolist() == [True, False, False, False]
    assert replace(problem, coarse=0.0).usable(rows).tolist() == [True, True, False, False]


def test_batches_of_formulas_are_worth_what_each_is_worth_alone(problem: SearchProblem) -> None:
    proxies = [parse(text) for text in TEXTS]
    random.Random(0).shuffle(proxies)
    assert problem.evaluate(proxies) == [problem.evaluate([proxy])[0] for proxy in proxies]


def test_a_search_joins_branches_by_the_operators_it_may_use(problem: SearchProblem) -> None:
    config = SearchConfig(iterations=60, population=16, brood=12, n_unary=1, inputs=("A", "W"), operators=("product",))
    prepared = PreparedSearch.of(problem, config)
    assert prepared.sweeper is not None
    best, _ = prepared.sweeper(parse("last[ exp(A) ]"), 1)
    assert {proxy.base.binary for proxy in best} == {"product"}
    found = prepared.evolve().state.population
    joins = [join for member in found for join in ("sum(", "difference(", "product(") if join in member.canonical.text]
    assert set(joins) == {"product("}


@pytest.mark.parametrize("parts", [0, 1, 2])
@pytest.mark.parametrize("shrinkage", [0.001, 0.1, 0.9])
def test_the_best_addition_explains_most_of_what_the_parts_leave(parts: int, shrinkage: float) -> None:
    """Against ridge regressions that are written out one by one."""
    rng = np.random.default_rng(3)
    values, quality = rng.normal(size=(6, 12)), rng.permutation(12).astype(float)
    values[4], values[5, 2] = 2.0, np.inf  # constant, and not finite: of no use
    rest = rng.normal(size=(parts, 12))

    def unit(row: np.ndarray) -> np.ndarray:
        return (row - row.mean()) / np.linalg.norm(row - row.mean())

    target = unit(quality)
    basis = np.array([unit(row) for row in rest]).reshape(parts, 12)
    slopes = np.linalg.inv(basis @ basis.T + shrinkage * np.eye(parts)) @ basis @ target if parts else np.zeros(0)
    left, gains = target - slopes @ basis, []
    for row in values[:4]:
        new = unit(row)
        inside = basis.T @ np.linalg.lstsq(basis.T, new, rcond=None)[0] if parts else np.zeros(12)
        gains.append((new @ left) ** 2 / (1 - inside @ inside + shrinkage))
    additions = Additions.of(values, quality, shrinkage)
    assert additions.best(rest, 6).tolist() == [*np.argsort(-np.array(gains), kind="stable").tolist(), 4, 5]
    assert additions.best(rest, 2).tolist() == np.argsort(-np.array(gains), kind="stable")[:2].tolist()
    factor = rng.uniform(0.1, 3, 12)
    assert additions.times(values[:4], factor).units == pytest.approx(np.array([unit(v * factor) for v in values[:4]]))
    assert (additions.units[4:] == 0).all() and additions.target == pytest.approx(target)


def test_levels_are_counted_in_each_benchmark_and_scores_without_order_have_no_fitness() -> None:
    slices = [slice(0, 4), slice(4, 8)]
    coarse: Any = SimpleNamespace(coarse=0.3, target=SimpleNamespace(slices=slices))
    fine: Any = SimpleNamespace(coarse=0.0, target=SimpleNamespace(slices=slices))
    scores = np.array(
        [
            [1, 1, 2, 2, 3, 3, 4, 4],  # two levels in each benchmark, four in both
            [1, 1, 2, 2, 3, 3, 4, 5], [1, 2, 2, 2, 3, 3, 4, 4], [1, 1, 1, 1, 1, 1, 1, 1],
            [1, 1, 2, 2, 3, 3, 4, np.nan], [1, 1, 2, 2, 3, 3, 4, np.inf],
        ]
    )  # fmt: skip
    assert SearchProblem.usable(coarse, scores).tolist() == [True, False, False, False, False, False]
    assert SearchProblem.usable(fine, scores).tolist() == [True, True, True, False, False, False]


def test_every_branch_is_known_in_the_probes_before_a_formula_is_tried(
    problem: SearchProblem, tiny_architectures: list[Architecture], batch: TokenBatch
) -> None:
    entries = [sketch_features(collect(SPACES["gpt2"].build(a, 1), batch)) for a in tiny_architectures[:3]]
    probes = Probes(BranchTable(entries), BranchTable(entries))
    Sweeper.create(replace(problem, probes=[probes]), SMALL)
    allowed = {(proxy.left.input, proxy.left.chain) for proxy in spelt_out()}
    for table in (probes.first, probes.second):
        assert allowed <= {(name, chain) for name, chains in table.known().items() for chain in chains}
