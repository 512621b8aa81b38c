"""The scatter of a leaderboard's page: axes, groups, and a view for each ranking; and how halls are named in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import cli
from report.pages import board_page as pages

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT: dict[str, Any] = {
    "architectures": ["a", "b", "c", "d"],
    "quality": [0.25, 0.75, 0.5, 1.0],
    "split": {"holdout": [0, 3], "search": [1, 2]},
    "metric": "loss",
}
ROWS = [
    {"name": "evolved", "scores": [4.0, 1.0, 2.0, 3.0], "sign": 1},
    {"name": "#params", "scores": [1.0, 2.0, 3.0, 4.0], "sign": -1},
]


def test_the_scatter_says_what_its_axes_are() -> None:
    chart = pages._scatter(ROWS, DOCUMENT)
    layout = chart.figure.layout
    assert layout.xaxis.title.text == "place by the score, 1 is the lowest" and layout.height == 460
    assert layout.yaxis.title.text == "quality by loss, more is better"
    assert [trace.name for trace in chart.figure.data] == ["held-out", "search split"]
    assert [list(trace.y) for trace in chart.figure.data] == [[0.25, 1.0], [0.75, 0.5]]
    assert list(chart.figure.data[0].hovertext) == ["a<br>quality 0.25", "d<br>quality 1"]
    assert list(chart.numbers.rows) == [("a", 0.25), ("b", 0.75), ("c", 0.5), ("d", 1.0)]
    assert list(chart.choices[0].views) == ["1. evolved", "2. #params"] and chart.choices[0].title == "ranking"


def test_several_halls_are_numbered_from_one(
    tiny_benchmark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fitness.predictors.rivals import RIVALS

    for name in list(RIVALS):
        monkeypatch.delitem(RIVALS, name)
    hall = ROOT / "proxies" / "gpt2-mini.json"
    asked = ["leaderboard", "--benchmark", tiny_benchmark, "--search-size", 20, "--bank", tmp_path / "bank"]
    for halls, wanted in ((1, ["evolved"]), (2, ["evolved 1", "evolved 2"])):
        words = [str(x) for x in (*asked, *["--hall", hall] * halls, "--devices", "cpu", "--format", "json")]
        assert cli.main(words) == 0
        names = [row["name"] for row in json.loads(capsys.readouterr().out)["rows"]]
        assert sorted(name for name in names if name.startswith("evolved")) == wanted
