"""Figure of the transfer study: tau-b on each benchmark left out, one panel per setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from report.documents import FIGURES, check
from report.style import BAND, SERIES, blank, legend_below, style

__all__ = ["TRANSFER", "draw_transfer"]

TRANSFER = {
    "study": str,
    "title": str,
    "benchmarks": [{"name": str}],
    "trials": [{"seed": (int,)}],
    "summary": [{"setting": str, "who": str, "by": {...: FIGURES}, "mean": FIGURES, "worst": FIGURES}],
}

Line = Mapping[str, Any]


def draw_transfer(document: Mapping[str, Any]) -> Figure:
    """tau-b of every ranking on each benchmark left out, and the mean over these, with 95% intervals over seeds."""
    check(document, TRANSFER, "study")
    names = [one["name"] for one in document["benchmarks"]]
    settings = list(dict.fromkeys(row["setting"] for row in document["summary"]))
    with style():
        figure = blank(1.2 + 3.1 * max(1, len(settings)))
        panels = figure.subplots(max(1, len(settings)), 1, squeeze=False)[:, 0]
        for axis, setting in zip(panels, settings, strict=False):
            _panel(axis, names, [row for row in document["summary"] if row["setting"] == setting])
            axis.set_title(setting)
        legend_below(figure, panels[:1], 4)
        seeds = len({trial["seed"] for trial in document["trials"]})
        figure.suptitle(f"{document['title']} (mean and 95% interval over {seeds} seeds)", fontsize=9.5)
    return figure


def _panel(axis: Any, names: Sequence[str], rows: Sequence[Line]) -> None:
    """Benchmarks from left to right, the rankings of each side by side."""
    step = 0.8 / max(1, len(rows))
    for place, row in enumerate(rows):
        ink = SERIES[place % len(SERIES)]
        marker = ink.marker if place < len(SERIES) else "_"
        label, empty = row["who"], dict.fromkeys(("mean", "low", "high"))
        for x, figures in enumerate([*(row["by"].get(name, empty) for name in names), row["mean"]]):
            mean, low, high = (figures[part] for part in ("mean", "low", "high"))
            if mean is None:
                continue
            reach = None if low is None or high is None else [[max(mean - low, 0)], [max(high - mean, 0)]]
            look = {"color": ink.color, "markerfacecolor": ink.face, "markersize": 5.5, **BAND}
            axis.errorbar(x - 0.4 + (place + 0.5) * step, mean, yerr=reach, fmt=marker, label=label, **look)
            label = None
    axis.axhline(0, color="0.6", linewidth=0.8)
    axis.set_xticks(range(len(names) + 1), [*names, "mean"], fontsize=8)
    axis.set_ylabel("tau-b on the one left out")
    axis.grid(axis="y", color="0.93")
