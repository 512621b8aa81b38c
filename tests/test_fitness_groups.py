"""Figures inside groups of like depth or width, and on pairs of like size, on benchmarks made to tell them apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fitness.evaluation import Split
from fitness.near_pairs import pairs_of_one_size
from fitness.protocol import baselines, correlation, inside_groups, near_pairs, report, within_budgets
from fitness.ranking import bootstrap_interval
from fitness.zoo.naive import NAIVE, naive_scores
from models.benchmarks.benchmark import Benchmark
from models.spaces import SPACES

GPT2 = {"d_embed": 16, "div_val": 1, "n_token": 300, "tgt_len": 64, "cutoffs": []}


def benchmark(shapes: list[tuple[int, int]], quality: list[float]) -> Benchmark:
    """Architectures of these (depth, width), no two alike."""
    space = SPACES["gpt2"]
    rows = [
        space.architecture(str(i), GPT2 | {"n_layer": L, "d_model": D, "n_head": [1] * L, "d_inner": [50 + i] * L})
        for i, (L, D) in enumerate(shapes)
    ]
    return Benchmark("made", "gpt2", "worth", True, tuple(rows), np.array(quality, dtype=float), "0" * 64)


def test_a_group_holds_at_least_ten_and_never_everybody() -> None:
    shapes = [(1, 16)] * 10 + [(2, 16)] * 9
    found = inside_groups(np.arange(19.0), benchmark(shapes, list(range(19))))
    assert set(found) == {"depth 1"} and found["depth 1"]["n"] == 10  # nine are too few, width 16 is everybody


def test_a_group_compares_its_own_members_only_and_without_intervals() -> None:
    shapes = [(1, 16)] * 10 + [(1, 32)] * 11
    quality = [*range(10), *range(100, 89, -1)]
    found = inside_groups(np.arange(21.0), benchmark(shapes, quality))
    assert {name: group["spearman"] for name, group in found.items()} == {"width 16": 1.0, "width 32": -1.0}
    assert not any(key.startswith("ci95") for group in found.values() for key in group)


def sized(*inner: int) -> Benchmark:
    space, rest = SPACES["gpt2"], GPT2 | {"n_layer": 1, "d_model": 16, "n_head": [1]}
    rows = tuple(space.architecture(str(i), rest | {"d_inner": [width]}) for i, width in enumerate(inner))
    return Benchmark("made", "gpt2", "worth", True, rows, np.arange(float(len(inner))), "0" * 64)


def test_pairs_of_like_size_differ_by_at_most_the_share_of_the_larger() -> None:
    data = sized(100, 200, 10_000, 10_500)
    sizes = [SPACES["gpt2"].parameters(a).total for a in data.architectures]
    assert (sizes[3] - sizes[2]) < 0.1 * sizes[3] and (sizes[1] - sizes[0]) > 0.1 * sizes[1]
    assert near_pairs(np.array([4.0, 3, 2, 1]), data) == {"pairs": 1, "kendall": -1.0, "error": 0.0}
    exact = (sizes[1] - sizes[0]) / sizes[1]
    assert near_pairs(np.arange(4.0), data, share=exact)["pairs"] == 2
    assert near_pairs(np.arange(4.0), data, share=exact * 0.999)["pairs"] == 1
    assert near_pairs(np.arange(4.0), data, share=0.0) == {"pairs": 0, "kendall": None}


def test_pairs_are_counted_among_the_chosen_and_where_there_is_a_score_and_a_difference() -> None:
    data = sized(100, 101, 102, 103)
    assert near_pairs(np.array([0.0, 1, 2, 3]), data)["pairs"] == 6
    assert near_pairs(np.array([0.0, 1, 2, 3]), data, [0, 2, 3]) == {"pairs": 3, "kendall": 1.0, "error": 0.0}
    assert near_pairs(np.array([0.0, np.nan, 2, np.inf]), data) == {"pairs": 1, "kendall": 1.0, "error": None}
    found = near_pairs(np.array([0.0, 0, 1, 1]), data)
    # Without one of the four, two of the three pairs that are left are in order, so nothing varies.
    assert found == {"pairs": 6, "kendall": pytest.approx(4 / 6, abs=1e-6), "error": pytest.approx(0, abs=1e-6)}
    tied = Benchmark("made", "gpt2", "worth", True, data.architectures, np.array([1.0, 1, 2, 2]), "0" * 64)
    assert near_pairs(np.arange(4.0), tied) == {"pairs": 4, "kendall": 1.0, "error": 0.0}


def test_three_networks_make_a_ranking_and_two_do_not() -> None:
    assert correlation(np.arange(3.0), np.arange(3.0), intervals=False)["spearman"] == 1.0
    assert correlation(np.arange(2.0), np.arange(2.0))["spearman"] is None
    assert correlation(np.arange(9.0), np.ones(9))["kendall"] is None


def test_intervals_hold_both_ends_of_both_statistics() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=60)
    found = correlation(y + rng.normal(size=60), y)
    for name in ("spearman", "kendall"):
        low, high = found[f"ci95_{name}"]
        assert low < found[name] < high and found[name] == round(found[name], 6)


def test_intervals_are_those_of_400_resamples_and_no_ranking_has_no_figure_at_all() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 40))
    found = correlation(x, y)
    for name in ("spearman", "kendall"):
        assert found[f"ci95_{name}"] == [round(end, 6) for end in bootstrap_interval(x, y, name, 400)]
    assert correlation(np.ones(9), np.arange(9.0)) == {
        "n": 9, "invalid": 0, "spearman": None, "kendall": None, "kendall_a": None,
    }  # fmt: skip


def test_every_naive_baseline_is_reported_like_a_champion_and_in_detail_on_demand() -> None:
    data = benchmark(
        [(1 + i % 3, (16, 32)[i % 2]) for i in range(36)], np.random.default_rng(3).normal(size=36).tolist()
    )
    split = Split(tuple(range(12)), tuple(range(12, 36)))
    plain, full = baselines(data, split), baselines(data, split, detail=True)
    assert [record["name"] for record in plain] == list(NAIVE)
    for record, detailed in zip(plain, full, strict=True):
        scores = naive_scores(record["name"], data.architectures, None)
        assert record == {"name": record["name"], **report(scores, data, split)}
        assert detailed == record | {"inside": inside_groups(scores, data), "near_pairs": near_pairs(scores, data)}
    assert set(plain[0]) == {"name", "all", "search", "holdout"} and set(baselines(data, None)[0]) == {"name", "all"}


def several_budgets(tokens: list[float | None], per_parameter: bool = False) -> Benchmark:
    """Two sizes of network, each at every budget; the ground truth falls with the row."""
    data = sized(100, 10_000)
    counts = [SPACES["gpt2"].parameters(a).decoder if per_parameter else 1 for a in data.architectures]
    rows = [
        replace(a, id=f"{a.id}@{t}", tokens=None if t is None else t * n)
        for t in tokens
        for a, n in zip(data.architectures, counts, strict=True)
    ]
    return replace(data, architectures=tuple(rows), ground_truth=-np.arange(float(len(rows))))


def test_rows_are_of_one_budget_by_tokens_or_by_tokens_per_parameter() -> None:
    assert several_budgets([None, None]).budgets.tolist() == [0, 0, 0, 0]
    assert several_budgets([1e9, 4e9]).budgets.tolist() == [0, 0, 1, 1]
    assert several_budgets([4e9, 1e9, 1.001e9]).budgets.tolist() == [1, 1, 0, 0, 0, 0]
    assert several_budgets([5.0, 20.0], per_parameter=True).budgets.tolist() == [0, 0, 1, 1]
    assert several_budgets([None, 1e9]).budgets.tolist() == [0, 0, 1, 1]
    assert [part.tolist() for part in several_budgets([1e9, 4e9]).of_budgets([3, 0])] == [[0], [3]]


def test_rankings_are_compared_within_a_budget_and_then_averaged() -> None:
    data = sized(*range(100, 106))
    rows = tuple(replace(a, id=f"{a.id}@{t}", tokens=t) for t in (1e6, 4e6) for a in data.architectures)
    truth = np.concatenate([np.arange(6.0), 100 - np.arange(6.0)])  # the order turns with the budget
    turning = replace(data, architectures=rows, ground_truth=truth)
    for scores, tau in ((np.tile(np.arange(6.0), 2), 0.0), (truth, 1.0), (-truth, -1.0)):
        found = report(scores, turning, None)["all"]
        assert (found["kendall"], found["spearman"], found["n"], found["budgets"]) == (tau, tau, 12, 2)
        assert near_pairs(scores, turning) | {"error": 0} == {"pairs": 30, "kendall": tau, "error": 0}
    gaps = np.where(np.arange(12) % 6 == 2, np.nan, truth)
    found = report(gaps, turning, None)["all"]
    assert (found["n"], found["invalid"], found["kendall"]) == (10, 2, 1)
    below = np.concatenate([np.arange(6.0), -1 - np.arange(6.0)])  # right within each, wrong between them
    assert report(below, turning, None)["all"]["kendall"] == 1 and correlation(below, truth, False)["kendall"] < 0


def test_the_error_of_near_pairs_leaves_out_whole_architectures() -> None:
    rng = np.random.default_rng(0)
    scores, quality, groups = rng.random(9), rng.random(9), np.array([0, 0, 1, 1, 2, 3, 4, 5, 5])
    budgets, sizes = np.array([0, 1, 0, 1, 0, 1, 0, 0, 1]), np.ones(9)
    found = pairs_of_one_size(scores, quality, sizes, budgets, groups)
    by_hand = []
    for left_out in range(6):
        k = groups != left_out
        by_hand.append(pairs_of_one_size(scores[k], quality[k], sizes[k], budgets[k]).tau)
    assert found.without == pytest.approx(by_hand)
    assert found.error == pytest.approx(np.sqrt(5 / 6 * np.square(np.array(by_hand) - np.mean(by_hand)).sum()))


def test_figures_of_several_budgets_are_the_means_of_those_of_each() -> None:
    rng = np.random.default_rng(5)
    data = sized(*range(100, 112))
    rows = tuple(replace(a, id=f"{a.id}@{t}", tokens=t) for t in (1e6, 4e6) for a in data.architectures)
    some = replace(data, architectures=rows, ground_truth=rng.normal(size=24))
    scores = rng.normal(size=24)
    scores[3] = np.nan
    one, two = (correlation(scores[own], some.quality[own]) for own in (slice(0, 12), slice(12, 24)))
    found = within_budgets(scores, some)
    assert set(found) == {*one, "budgets"} and (found["n"], found["invalid"], found["budgets"]) == (23, 1, 2)
    for name in ("spearman", "kendall", "kendall_a", "ci95_spearman", "ci95_kendall"):
        assert found[name] == pytest.approx((np.array(one[name]) + two[name]) / 2, abs=1e-6)
    assert type(found["kendall"]) is float and type(found["ci95_kendall"]) is list
    assert within_budgets(scores, some, intervals=False).keys() == found.keys() - {"ci95_spearman", "ci95_kendall"}
    flat = within_budgets(np.ones(24), some)
    assert flat == {"n": 24, "invalid": 0, "spearman": None, "kendall": None, "kendall_a": None, "budgets": 0}
    half = np.concatenate([np.ones(12), scores[12:]])
    assert within_budgets(half, some)["budgets"] == 1 and within_budgets(half, some)["kendall"] == two["kendall"]
    none = {"n": 0, "invalid": 0, "spearman": None, "kendall": None, "kendall_a": None}
    assert within_budgets(scores, some, []) == none
    assert within_budgets(scores, some, list(range(12))) == one
