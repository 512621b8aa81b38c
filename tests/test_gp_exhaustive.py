"""The enumeration against brute force: every tree spelt out, scored alone and counted."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from fitness.features.bank import sketch_features
from fitness.features.collect import collect
from fitness.objectives import evaluate_scores
from fitness.ranking import RankTarget
from fitness.tables.branches import BranchTable
from gp.exhaustive import Survey, exhaust, trees_in
from models.architecture import Architecture
from models.spaces import SPACES
from models.tokens import TokenBatch
from primitives.operators import BINARY, UNARY
from primitives.proxy import Branch, Proxy

INPUTS = ("W", "G", "J")


@pytest.fixture(scope="module")
def ground(tiny_architectures: list[Architecture], batch: TokenBatch) -> tuple[BranchTable, RankTarget]:
    chosen = tiny_architectures[:14]
    entries = [sketch_features(collect(SPACES["gpt2"].build(a, 0), batch)) for a in chosen]
    quality = np.array([SPACES["gpt2"].parameters(a).decoder for a in chosen]) ** 0.5
    noise = np.random.default_rng(3).normal(0, 60, len(chosen))
    return BranchTable(entries), RankTarget.create(quality + noise)


@pytest.fixture(scope="module", params=["mean", "sum"])
def survey(request: pytest.FixtureRequest, ground: tuple[BranchTable, RankTarget]) -> tuple[str, Survey]:
    marks = [0.0, 0.5, 0.8, 0.99]
    return request.param, exhaust(*ground, 1, request.param, INPUTS, top=10, marks=marks, jobs=2)


def every_tree(aggregate: str) -> list[Proxy]:
    return [
        Proxy(aggregate, Branch(left, (first,)), operator, Branch(right, (second,)))
        for left, right in combinations(INPUTS, 2)
        for first, second, operator in product(UNARY, UNARY, BINARY)
    ]


def test_every_tree_is_counted_once(survey: tuple[str, Survey], ground: tuple[BranchTable, RankTarget]) -> None:
    aggregate, found = survey
    trees = every_tree(aggregate)
    usable = [t for t in trees if not all(b.pruned for b in t.branches)]
    table, target = ground
    evaluations = evaluate_scores(usable, table.scores(usable), target)
    fitness = np.array([e.fitness for e in evaluations])
    assert found.trees == len(trees) == trees_in(1, INPUTS)
    assert found.invalid["both branches pruned"] == len(trees) - len(usable)
    assert found.valid == np.isfinite(fitness).sum()
    # A fitness within rounding of a mark may fall on either side of it.
    for mark, above in zip(found.marks, found.above, strict=True):
        assert abs(above - (fitness > mark + 1e-9).sum()) <= (np.abs(fitness - mark) < 1e-6).sum()
    assert found.top[0].fitness == pytest.approx(fitness.max(), abs=1e-9)
    for share in (0.1, 0.5, 0.99):
        expected = np.sort(fitness[np.isfinite(fitness)])[int(np.ceil(share * found.valid)) - 1]
        assert found.quantile(share) == pytest.approx(expected, abs=1e-4)


def test_the_top_is_sorted_and_no_two_rank_alike(
    survey: tuple[str, Survey], ground: tuple[BranchTable, RankTarget]
) -> None:
    _, found = survey
    table, target = ground
    scores = table.scores([e.proxy for e in found.top])
    again = evaluate_scores([e.proxy for e in found.top], scores, target)
    assert [e.fitness for e in found.top] == sorted((e.fitness for e in found.top), reverse=True)
    assert len({e.ranking for e in again}) == len(found.top) == 10
    for entry, evaluation in zip(found.top, again, strict=True):
        assert (entry.fitness, entry.sign) == (pytest.approx(evaluation.fitness, abs=1e-9), evaluation.sign)


def test_the_published_space_has_the_published_size() -> None:
    assert trees_in(1) == 26_460 and trees_in(2) == 11_668_860


def test_threads_and_repetition_change_nothing(ground: tuple[BranchTable, RankTarget]) -> None:
    runs = [exhaust(*ground, 1, "sum", INPUTS, top=5, jobs=jobs) for jobs in (1, 2, 1)]
    assert len({tuple((e.proxy.text, e.fitness, e.sign) for e in run.top) for run in runs}) == 1
    assert all(np.array_equal(run.histogram, runs[0].histogram) for run in runs)
