"""The scatter of a report: points, texts, columns and the views that a reader may choose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fitness.protocol import Split
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark
from models.spaces import SPACES
from report.hall import Landscape
from report.pages.scatter import scatter


@pytest.fixture(scope="module")
def benchmark() -> Benchmark:
    whole = load_benchmark("gpt2-mini")
    return replace(whole, architectures=whole.architectures[::100], ground_truth=whole.ground_truth[::100])


SCORES = np.array([3.0, 1.0, np.nan, 2.0, 5.0])


def test_points_say_whose_they_are(benchmark: Benchmark) -> None:
    chart = scatter(Landscape("x", 1, SCORES, benchmark, Split((0, 3), (1, 4))), "tau")
    held, searched = chart.figure.data
    assert (held.name, searched.name) == ("held-out", "search split") and chart.alternative.endswith("tau")
    assert list(held.x) == [1.0, 5.0] and list(searched.x) == [3.0, 2.0]
    assert list(held.y) == benchmark.ground_truth[[1, 4]].tolist()
    assert (held.marker.size, searched.marker.size) == (7, 9) and held.marker.symbol != searched.marker.symbol
    shapes = [SPACES["gpt2"].shape(a) for a in benchmark.architectures]
    assert list(held.marker.color) == [shapes[1][0], shapes[4][0]]
    a, (depth, width) = benchmark.architectures[1], shapes[1]
    truth = f"{benchmark.ground_truth[1]:.5g}"
    assert held.hovertext[0] == f"{a.id}<br>depth {depth}, width {width}<br>{benchmark.metric} {truth}<br>score 1"
    assert chart.numbers.columns == ("architecture", "part", "depth", "width", "score", benchmark.metric)
    rows = list(chart.numbers.rows)
    assert [row[:2] for row in rows] == [(benchmark.architectures[i].id, name) for i, name in
                                         ((1, "held-out"), (4, "held-out"), (0, "search split"), (3, "search split"))]  # fmt: skip
    assert [row[2:4] for row in rows] == [shapes[i] for i in (1, 4, 0, 3)] and rows[0][5] == benchmark.ground_truth[1]


def test_axes_and_colours_can_be_chosen(benchmark: Benchmark) -> None:
    chart = scatter(Landscape("x", 1, SCORES, benchmark), "tau")
    (points,) = chart.figure.data
    assert points.name == "all" and len(points.x) == 5 and points.marker.size == 7
    assert chart.figure.layout.height == 540 and chart.figure.layout.xaxis.title.text == "score of the formula"
    assert chart.figure.layout.yaxis.title.text == f"{benchmark.metric} (lower is better)"
    horizontal, colour = chart.choices
    assert (horizontal.title, colour.title) == ("horizontal", "colour") and list(horizontal.views) == [
        "score",
        "place by score",
    ]
    moved, layout = horizontal.views["place by score"]
    assert moved["x"] == [[3.0, 1.0, None, 2.0, 4.0]] and layout == {
        "xaxis.title.text": "place by the score, 1 is the lowest"
    }
    assert horizontal.views["score"][0]["x"] == [[3.0, 1.0, None, 2.0, 5.0]]
    shapes = [SPACES["gpt2"].shape(a) for a in benchmark.architectures]
    for place, label in enumerate(("depth", "width")):
        changed, named = colour.views[label]
        assert changed["marker.color"] == [[shape[place] for shape in shapes]]
        assert named == {"coloraxis.colorbar.title.text": label}
    better = scatter(Landscape("x", 1, SCORES, replace(benchmark, higher_is_better=True)), "tau")
    assert better.figure.layout.yaxis.title.text.endswith("(higher is better)")
