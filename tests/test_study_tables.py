"""The tables of studies, cell by cell, from documents written here."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from commands.study_tables import show


def figures(mean: float, n: int = 3) -> dict[str, float | int]:
    return {"n": n, "mean": mean, "low": mean - 0.1, "high": mean + 0.1}


FIRST: dict[str, Any] = {
    "setting": "with PPS",
    "seeds": 3,
    "best": figures(0.81),
    "difference_best": None,
    "holdout_spearman": figures(0.71, n=2),
    "difference_holdout_spearman": None,
    "holdout_kendall": figures(0.52),
    "wins_search": {"best": 0.625, "pairs": 0.5},
    "wins_holdout": {"best": 0.375, "pairs": 0.25},
    "evaluations": 99.6,
    "seconds": figures(12.5),
}
SECOND = FIRST | {
    "setting": "without PPS",
    "difference_best": figures(-0.06),
    "holdout_kendall": {"n": 1, "mean": 0.44, "low": None, "high": None},
    "difference_holdout_spearman": figures(-0.03),
}
LEVELS = [
    {"level": 0.95, "setting": "with PPS", "reached": 2, "seeds": 3, "evaluations": 40.4, "seconds": 1.25},
    {"level": 1.0, "setting": "without PPS", "reached": 0, "seeds": 3, "evaluations": None, "seconds": None},
]


def document(study: str) -> dict[str, Any]:
    return {
        "study": study,
        "title": "what the rules do",
        "reference": "with PPS",
        "summary": [FIRST, SECOND],
        "levels": LEVELS,
        "rejections": {"with PPS": {"not finite": 3.25, "equal": 1.0}},
    }


def shown(capsys: pytest.CaptureFixture[str], of: dict[str, Any], form: str = "table") -> str:
    show(of, form, "tiny")
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")


HEADINGS = [
    "setting", "best fitness", "best fitness ci95", "best, difference", "best, difference ci95", "held-out rho",
    "held-out rho ci95", "held-out rho, difference", "held-out rho, difference ci95", "held-out tau",
    "held-out tau ci95", "wins best", "wins held-out", "pairs held-out", "valid", "evaluations", "cpu s",
]  # fmt: skip


def test_a_study_of_settings_says_each_number_once(capsys: pytest.CaptureFixture[str]) -> None:
    from commands import study_tables

    first, second = (study_tables._cells(row) for row in (FIRST, SECOND))
    assert list(first) == list(second) == HEADINGS
    assert [first[name] for name in HEADINGS] == [
        "with PPS", 0.81, (0.81 - 0.1, 0.81 + 0.1), None, None, 0.71, (0.71 - 0.1, 0.71 + 0.1), None, None, 0.52,
        (0.52 - 0.1, 0.52 + 0.1), 0.625, 0.375, 0.25, "2/3", 100, 12.5,
    ]  # fmt: skip
    assert second["best, difference"] == -0.06 and second["held-out rho, difference"] == -0.03
    assert second["held-out tau"] == 0.44 and second["held-out tau ci95"] is None
    text = shown(capsys, document("memetic"))
    assert text.startswith("tiny; study memetic: what the rules do; mean and 95% interval over 3 seeds\n")
    assert "difference: to with PPS, seed by seed; wins: share of seeds, pairs: of comparisons" in text
    assert "to reach" not in text and "rejections" not in text


@pytest.mark.parametrize("study", ["search", "pps"])
def test_studies_of_effort_say_when_a_level_is_reached(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, document(study))
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("to reach a share of the best fitness"))
    rows = [line.split() for line in lines[start + 1 :] if line.strip().startswith(("95%", "100%"))]
    assert [row[0] for row in rows] == ["95%", "100%"] and "2/3" in rows[0] and "40" in rows[0] and "0/3" in rows[1]
    assert ("rejections by rule, mean of a search" in text) == (study == "pps")
    rules = [line.split() for line in lines if "not finite" in line or "equal" in line]
    assert [row[-1] for row in rules] == (["3.2", "1.0"] if study == "pps" else [])


def test_machines_get_every_number_of_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(shown(capsys, document("search"), "csv"))))
    assert len(rows) == 2 and rows[0]["setting"] == "with PPS"
    assert rows[0]["difference_best mean"] == rows[0]["difference_holdout_spearman high"] == ""
    assert float(rows[1]["difference_best low"]) == pytest.approx(-0.16) and rows[1]["wins_holdout pairs"] == "0.25"
    assert json.loads(shown(capsys, document("pps"), "json")) == document("pps")


def test_a_study_of_transfer_has_a_column_for_each_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"setting": "joint", "who": "champion", "seeds": 5, "by": {"a": figures(0.5), "b": figures(0.25)}}
    row |= {"mean": figures(0.375), "difference": None, "worst": figures(0.125)}
    alone = row | {"mean": {"mean": 0.3, "low": None, "high": None}, "difference": figures(0.0625), "worst": None}
    study = {
        "study": "transfer",
        "title": "left out",
        "benchmarks": [{"name": "a"}, {"name": "b"}],
        "summary": [row, alone],
    }
    found = list(csv.DictReader(io.StringIO(shown(capsys, study, "csv"))))
    assert [(r["setting"], r["ranked by"], float(r["a"]), float(r["b"])) for r in found] == [
        ("joint", "champion", 0.5, 0.25)
    ] * 2
    assert [float(r["mean"]) for r in found] == [0.375, 0.3] and [r["worst"] for r in found] == ["0.125", ""]
    assert [r["ahead of the count"] for r in found] == ["", "0.0625"]
    ends = [name for name in found[0] if "ci95" in name]
    assert len(ends) == 4 and not any("worst" in name for name in ends)
    assert [float(found[0][name]) for name in ends[:2]] == pytest.approx([0.275, 0.475]) and found[1][ends[0]] == ""
    assert shown(capsys, study).startswith("left out: tau-b, mean over 5 seeds, 95% intervals\n")
