"""Rank statistics against scipy; evaluations, splits, intervals."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from fitness import ranking
from fitness.evaluation import dense_ranks, ranking_key, split_groups
from fitness.objectives import agreement, evaluate_scores, ranking_identities
from fitness.ranking import (
    RankTarget,
    bootstrap_interval,
    kendall,
    narrowest,
    paired_p_value,
    rarest,
    row_by_row,
    spearman,
)  # fmt: skip
from primitives.grammar import parse
from primitives.invalid import Invalid
from primitives.scoring import resolved

vectors = arrays(np.float64, 15, elements=st.integers(-4, 4).map(float))


@settings(max_examples=200, deadline=None)
@given(vectors, vectors)
def test_batched_statistics_equal_scipy_with_ties(x: np.ndarray, y: np.ndarray) -> None:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return
    target = RankTarget.create(y)
    assert target.spearman(x[None])[0] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert target.kendall(x[None])[0] == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-6)
    assert spearman(x, y) == pytest.approx(-spearman(-x, y)) and kendall(x, y) == pytest.approx(-kendall(-x, y))


@given(arrays(float, st.tuples(st.integers(0, 4), st.integers(1, 9)), elements=st.sampled_from([0.0, -0.0, 1.5, 7.0])))
def test_dense_ranks_are_those_of_scipy_from_0(scores: np.ndarray) -> None:
    found = dense_ranks(scores)
    assert found.shape == scores.shape and found.dtype == np.int32
    assert found.tolist() == [(stats.rankdata(row, method="dense") - 1).tolist() for row in scores]


@given(st.lists(st.tuples(vectors, vectors), min_size=1, max_size=4))
def test_rho_of_rows_with_rows_is_that_of_scipy(pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    known = [(x, y) for x, y in pairs if np.ptp(x) and np.ptp(y)]
    if known:
        x, y = map(np.stack, zip(*known, strict=True))
        assert row_by_row(x, y) == pytest.approx([stats.spearmanr(a, b).statistic for a, b in known], abs=1e-11)


@given(arrays(float, st.tuples(st.integers(0, 4), st.integers(1, 9)), elements=st.sampled_from([0.0, 1.5, 2.0, 3.0])))
def test_how_many_share_the_rarest_value(scores: np.ndarray) -> None:
    assert rarest(scores).tolist() == [np.unique(row, return_counts=True)[1].min() for row in scores]


@given(arrays(float, st.tuples(st.integers(0, 4), st.integers(1, 9)), elements=st.sampled_from([-4.0, 0.0, 1.5, 2.0])))
def test_the_narrowest_step(scores: np.ndarray) -> None:
    for row, step in zip(scores, narrowest(scores), strict=True):
        levels = np.unique(row).tolist()
        assert step == min(((b - a) / max(abs(a), abs(b)) for a, b in pairwise(levels)), default=np.inf)


def test_tau_a_counts_ties_as_neither() -> None:
    x, y = np.array([1.0, 1, 2, 3]), np.array([1.0, 2, 3, 4])
    assert kendall(x, y, "a") == pytest.approx(5 / 6) and kendall(x, y) == pytest.approx(5 / np.sqrt(30))


def test_failures_are_named_and_signs_are_fixed() -> None:
    y = np.arange(12.0)
    rows = np.stack([y, -y, np.ones(12), np.where(y == 3, np.inf, y), np.where(y == 3, np.nan, y)])
    proxies = [parse(f"sum[ {'abs(' * i}W{')' * i} ]") for i in range(5)]
    up, down, constant, infinite, missing = evaluate_scores(proxies, rows, RankTarget.create(y))
    assert (up.fitness, up.sign, down.fitness, down.sign) == (pytest.approx(1), 1, pytest.approx(1), -1)
    assert up.ranking == down.ranking
    assert constant.invalid is Invalid.CONSTANT and infinite.invalid is missing.invalid is Invalid.NON_FINITE
    assert constant.fitness == infinite.fitness == -np.inf


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.lists(st.integers(0, 30), min_size=30, max_size=80))
def test_no_group_is_on_both_sides_of_a_split(seed: int, groups: list[int]) -> None:
    labels = np.array(groups)
    split = split_groups(labels, 12, seed)
    assert sorted(split.search + split.holdout) == list(range(len(groups)))
    assert not set(labels[list(split.search)]) & set(labels[list(split.holdout)])
    assert len(split.search) <= 12 and split == split_groups(labels, 12, seed)


@pytest.mark.parametrize("statistic", ["spearman", "kendall"])
def test_resampled_statistics_equal_scipy_on_each_resample(statistic: str) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=40).round(1), rng.normal(size=40).round(1)
    measure = stats.spearmanr if statistic == "spearman" else stats.kendalltau
    chosen = np.random.default_rng(7).integers(0, 40, (25, 40))
    wanted = [measure(x[row], y[row]).statistic for row in chosen]
    low, high = np.nanpercentile(wanted, [2.5, 97.5])
    assert bootstrap_interval(x, y, statistic, 25, seed=7) == pytest.approx((low, high))


def test_an_interval_covers_and_a_better_ranking_is_significant() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=80)
    good, poor = y + 0.3 * rng.normal(size=80), y + 1.5 * rng.normal(size=80)
    for name, measure in (("spearman", spearman), ("kendall", kendall)):
        low, high = bootstrap_interval(good, y, name, 200)
        assert low < measure(good, y) < high
    assert paired_p_value(good, poor, y, resamples=300) < 0.05 < paired_p_value(poor, good, y, resamples=300)


@pytest.mark.parametrize("statistic", ["spearman", "kendall"])
def test_a_draw_is_no_win_so_a_ranking_never_beats_itself(statistic: str) -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=30), rng.normal(size=30)
    assert paired_p_value(x, x, y, statistic, resamples=200) == 1.0
    assert paired_p_value(2 * x + 1, x, y, statistic, resamples=200) == 1.0


def test_a_p_value_is_never_below_one_resample() -> None:
    y = np.arange(30.0)
    assert paired_p_value(y, -y, y, resamples=250) == 1 / 250


@pytest.mark.parametrize("levels", [None, 4])
def test_many_rows_at_once_equal_scipy_one_by_one(levels: int | None) -> None:
    """With ties in some rows and none in others."""
    rng = np.random.default_rng(5)
    y = rng.normal(size=20)
    rows = rng.normal(size=(6, 20))
    if levels:
        rows[::2] = rng.integers(0, levels, (3, 20))
    target = RankTarget.create(y)
    assert target.spearman(rows) == pytest.approx([stats.spearmanr(row, y).statistic for row in rows], abs=1e-12)
    assert target.kendall(rows) == pytest.approx([stats.kendalltau(row, y).statistic for row in rows], abs=1e-6)
    assert np.isnan(target.spearman(np.ones((1, 20)))).all() and np.isnan(target.kendall(np.ones((1, 20)))).all()


@pytest.mark.parametrize(("at_once", "parts"), [(1 << 24, [7]), (30, [2, 2, 2, 1]), (29, [1] * 7), (1, [1] * 7)])
def test_more_rows_than_fit_in_memory_at_once_are_taken_in_parts(
    at_once: int, parts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ranking._AT_ONCE == 16_777_216
    target, rows = RankTarget.create(np.arange(6.0)), np.random.default_rng(6).normal(size=(7, 6))  # 15 pairs
    seen: list[int] = []
    monkeypatch.setattr(ranking, "_AT_ONCE", at_once)
    sign = np.sign
    monkeypatch.setattr(ranking.np, "sign", lambda x: seen.append(len(x)) or sign(x))
    wanted = [stats.kendalltau(row, target.values).statistic for row in rows]
    assert target.pairs_of_one_size(rows) == pytest.approx(wanted, abs=1e-6) and seen == parts


def test_pairs_of_one_size_hold_those_at_the_bound() -> None:
    rows, quality = np.array([[3.0, 2.0, 9.0]]), np.array([1.0, 2.0, 3.0])
    for sizes, tau in (([90, 100, 500], -1.0), ([89.9, 100, 500], 0.0), ([90, 100, 112], -1.0), ([90, 100, 110], 0.0)):
        assert RankTarget.create(quality, np.array(sizes)).pairs_of_one_size(rows).tolist() == [tau]
    some = RankTarget.create(quality, np.array([90.0, 100.0, 500.0])).only(np.array([0, 1]))
    assert some.sizes is not None and some.sizes.tolist() == [90, 100] and some.slices == (slice(0, 2),)


def test_a_single_benchmark_is_taken_as_it_is() -> None:
    target, places, scores = RankTarget.create(np.arange(4.0)), np.array([2, 0, 3]), np.ones((2, 4))
    assert target.enough(places) is places and target.within(scores) is scores and target.slices == (slice(0, 4),)
    assert target.agreement(lambda given, rows: (given, rows), scores) == (target, scores)  # type: ignore[arg-type, return-value, comparison-overlap]


def test_resampling_is_seeded_and_its_defaults_are_1000_and_2000_resamples_of_seed_0() -> None:
    rng = np.random.default_rng(7)
    x, rival, y = rng.normal(size=(3, 25))
    assert bootstrap_interval(x, y) == bootstrap_interval(x, y, "spearman", 1000, 0) != bootstrap_interval(x, y, seed=1)
    p = paired_p_value(x, rival, y)
    assert p == paired_p_value(x, rival, y, "spearman", 2000, 0) != paired_p_value(x, rival, y, seed=1)
    assert bootstrap_interval(x, y) == pytest.approx((-0.359517, 0.415220), abs=1e-6) and p == 0.151


@given(
    arrays(np.float64, (4, 9), elements=st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 1e-300, -1e300, 3.0, 1 / 3])),
    st.booleans(),
)
def test_rho_of_rounded_scores_equals_scipy(scores: np.ndarray, rounded: bool) -> None:
    scores = resolved(scores) if rounded else scores
    scores = scores[scores.max(-1) > scores.min(-1)]
    truth = np.arange(9.0)
    found = RankTarget.create(truth).spearman(scores)
    assert found == pytest.approx([stats.spearmanr(row, truth).statistic for row in scores], abs=1e-12)


def test_an_objective_is_rounded_to_twelve_digits_and_rankings_are_those_inside_each_benchmark() -> None:
    scores = np.array([[2.0, 1.0, 4.0], [1.0, 3.0, 2.0]])
    target: Any = SimpleNamespace(
        agreement=lambda measure, rows: np.array([1 / 3, -2 / 3]), within=lambda rows: -rows[:, ::-1]
    )
    assert agreement("both", target, scores).tolist() == [0.333333333333, -0.666666666667]
    assert ranking_identities(target, scores) == [ranking_key(row) for row in -scores[:, ::-1]]
