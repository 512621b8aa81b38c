"""The chart of measured quality against the score of a formula; its axes and colours can be chosen in the browser."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from scipy.stats import rankdata

from models.spaces import SPACES
from report.hall import Landscape
from report.pages.charts import GREY, SYMBOLS, plain, plain_number, styled
from report.pages.page import Chart, Choice, PageTable, chart_text, shown

__all__ = ["scatter"]


def scatter(landscape: Landscape, what: str) -> Chart:
    """Measured quality against the score; shape tells search split from held-out, colour shows depth or width."""
    benchmark, scores = landscape.benchmark, landscape.scores
    shapes = np.array([SPACES[a.space].shape(a) for a in benchmark.architectures])
    ranks = np.full(len(scores), np.nan)
    ranks[np.isfinite(scores)] = rankdata(scores[np.isfinite(scores)])
    split = landscape.split
    parts = {"all": range(len(scores))} if split is None else {"held-out": split.holdout, "search split": split.search}
    chosen = {name: np.array(part, dtype=int) for name, part in parts.items()}
    names = [shown(a.id) for a in benchmark.architectures]
    texts = [
        f"{chart_text(name)}<br>depth {depth}, width {width}<br>{chart_text(benchmark.metric)} {truth:.5g}"
        f"<br>score {score:.5g}"
        for name, (depth, width), truth, score in zip(names, shapes, benchmark.ground_truth, scores, strict=True)
    ]
    figure = go.Figure()
    for place, (name, part) in enumerate(chosen.items()):
        figure.add_scatter(
            x=scores[part],
            y=benchmark.ground_truth[part],
            mode="markers",
            name=name,
            hovertext=[texts[i] for i in part],
            hoverinfo="text",
            marker={
                "color": shapes[part, 0],
                "coloraxis": "coloraxis",
                "symbol": SYMBOLS[place],
                "size": 9 if place else 7,
                "line": {"width": 1, "color": GREY},
            },
        )
    better = "higher" if benchmark.higher_is_better else "lower"
    bar = {"orientation": "h", "y": -0.18, "yanchor": "top", "thickness": 12, "title": {"text": "depth", "side": "top"}}
    styled(
        figure,
        540,
        coloraxis={"colorscale": "Viridis", "colorbar": bar},
        xaxis={"title": {"text": "score of the formula"}},
        yaxis={"title": {"text": f"{chart_text(benchmark.metric)} ({better} is better)"}},
    )
    columns = ("architecture", "part", "depth", "width", "score", shown(benchmark.metric))
    rows = [
        (
            names[i],
            name,
            int(shapes[i, 0]),
            int(shapes[i, 1]),
            plain_number(scores[i]),
            float(benchmark.ground_truth[i]),
        )
        for name, part in chosen.items()
        for i in part
    ]
    groups = list(chosen.values())
    return Chart(
        "scatter",
        figure,
        f"Each point is an architecture: {what}",
        PageTable("Scores and measured values", columns, rows),
        (
            Choice(
                "horizontal",
                {
                    "score": ({"x": [plain(scores[g]) for g in groups]}, {"xaxis.title.text": "score of the formula"}),
                    "place by score": (
                        {"x": [plain(ranks[g]) for g in groups]},
                        {"xaxis.title.text": "place by the score, 1 is the lowest"},
                    ),
                },
            ),
            Choice(
                "colour",
                {
                    label: (
                        {"marker.color": [shapes[g, place].tolist() for g in groups]},
                        {"coloraxis.colorbar.title.text": label},
                    )
                    for place, label in enumerate(("depth", "width"))
                },
            ),
        ),
    )
