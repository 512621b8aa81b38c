"""Statistics of studies, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gp.studies.summary import levels, mean_interval, rejections, summarise, wins


def record(label: str, seed: int, *points: tuple[int, float, float | None], **rules: int) -> dict:
    """A trial with (evaluations, fitness, held-out) points; a second passes per evaluation."""
    curve = [
        {"evaluations": e, "seconds": float(e), "fitness": f, "holdout_spearman": h, "holdout_kendall": h}
        for e, f, h in points
    ]
    return {"label": label, "seed": seed, "evaluations": 100, "seconds": 2.0, "rejections": rules, "curve": curve}


TRIALS = [
    record("a", 1, (1, 0.5, 0.4), (10, 0.9, 0.8), twin=4, seen=1),
    record("a", 2, (3, 0.8, 0.6), twin=2),
    record("b", 1, (2, 0.85, 0.9)),
    record("b", 2, (2, 0.6, None), (50, 0.8, 0.5)),
]


def test_the_interval_of_a_mean_is_students() -> None:
    found = mean_interval([1.0, 2.0, 3.0, None])
    half = 4.302653 * 1.0 / math.sqrt(3)  # t with two degrees of freedom, standard deviation 1
    assert found["n"] == 3 and found["mean"] == 2.0
    assert found["low"] == pytest.approx(2 - half, abs=1e-5) and found["high"] == pytest.approx(2 + half, abs=1e-5)


def test_one_value_has_no_interval_and_none_has_no_mean() -> None:
    assert mean_interval([0.5]) == {"n": 1, "mean": 0.5, "low": None, "high": None}
    assert mean_interval([None]) == {"n": 0, "mean": None, "low": None, "high": None}


def test_equals_share_a_win_and_no_value_loses() -> None:
    found = wins({"a": [0.9, 0.5], "b": [0.9, None], "c": [0.1, 0.4]})
    assert found["a"] == {"best": 0.75, "pairs": 3.5 / 4}
    assert found["b"] == {"best": 0.25, "pairs": 1.5 / 4}
    assert found["c"] == {"best": 0.0, "pairs": 1 / 4}


def test_shares_of_wins_add_up() -> None:
    values = np.random.default_rng(0).random((4, 9)).round(1)
    found = wins({str(i): row.tolist() for i, row in enumerate(values)})
    assert sum(f["best"] for f in found.values()) == pytest.approx(1)
    assert np.mean([f["pairs"] for f in found.values()]) == pytest.approx(0.5)


def test_a_summary_compares_the_last_champions_seed_by_seed() -> None:
    first, second = summarise(TRIALS, "a")
    assert (first["setting"], second["setting"]) == ("a", "b")
    assert first["best"]["mean"] == pytest.approx(0.85) and second["best"]["mean"] == pytest.approx(0.825)
    assert first["difference_best"] is None
    assert second["difference_best"]["mean"] == pytest.approx((0.85 - 0.9 + 0.8 - 0.8) / 2)
    assert second["difference_holdout_spearman"]["mean"] == pytest.approx((0.1 - 0.1) / 2)
    assert first["wins_search"] == {"best": 0.75, "pairs": 0.75} and first["wins_holdout"]["best"] == 0.5


def test_a_reference_that_was_left_out_gives_no_difference() -> None:
    assert all(row["difference_best"] is None for row in summarise(TRIALS, "elsewhere"))


def test_a_level_counts_from_the_best_of_its_seed() -> None:
    rows = {(row["level"], row["setting"]): row for row in levels(TRIALS)}
    assert rows[0.9, "a"]["reached"] == 2 and rows[0.9, "a"]["evaluations"] == 6.5  # 10 and 3
    assert rows[0.9, "b"]["reached"] == 2 and rows[0.9, "b"]["seconds"] == 26.0  # 2 and 50
    assert rows[1.0, "b"]["reached"] == 1 and rows[1.0, "b"]["evaluations"] is None


def test_rejections_are_means_with_the_most_frequent_rule_first() -> None:
    assert list(rejections(TRIALS)["a"].items()) == [("twin", 3.0), ("seen", 0.5)]
    assert rejections(TRIALS)["b"] == {}


def test_a_search_that_found_nothing_has_no_figures() -> None:
    row = summarise([record("a", 1), record("a", 2)], "a")[0]
    assert row["best"] == {"n": 0, "mean": None, "low": None, "high": None}
    assert all(r["reached"] == 0 for r in levels([record("a", 1), record("a", 2)]))
