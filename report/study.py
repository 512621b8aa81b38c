"""Figures of studies: curves over evaluations (LPZero, figures 6 and 7) or one interval per setting (table 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from scipy import stats

from report.documents import FIGURES, NUMBER, NUMBER_OR_NONE, check
from report.style import BAND, SERIES, blank, legend_below, style
from report.transfer import draw_transfer

__all__ = ["STUDY", "draw_study"]

_POINT = {
    "evaluations": NUMBER,
    "seconds": NUMBER,
    "fitness": NUMBER,
    "holdout_spearman": NUMBER_OR_NONE,
    "holdout_kendall": NUMBER_OR_NONE,
}
_WINS = {"best": NUMBER, "pairs": NUMBER}
STUDY = {
    "study": str,
    "title": str,
    "benchmark": {"name": str, "metric": str},
    "trials": [{"label": str, "seed": NUMBER, "evaluations": NUMBER, "seconds": NUMBER, "curve": [_POINT]}],
    "summary": [
        {"setting": str, "best": FIGURES, "holdout_spearman": FIGURES, "wins_search": _WINS, "wins_holdout": _WINS}
    ],
    "levels": [{"level": NUMBER, "setting": str, "evaluations": NUMBER_OR_NONE, "seconds": NUMBER_OR_NONE}],
    "rejections": {...: {...: NUMBER}},
}

Trial = Mapping[str, Any]
Values = Callable[[Trial, np.ndarray], np.ndarray]


def draw_study(document: Mapping[str, Any]) -> Figure:
    """Draw the figure for the kind of study: curves, cost saved by pruning, or settings side by side."""
    if document.get("study") == "transfer":
        return draw_transfer(document)
    check(document, STUDY, "study")
    kinds = {"search": _curves, "population": _curves, "pps": _savings}
    with style():
        figure = kinds.get(document["study"], _settings)(document)
        seeds = len({trial["seed"] for trial in document["trials"]})
        figure.suptitle(
            f"{document['benchmark']['name']}: {document['title']} (mean and 95% interval over {seeds} seeds)",
            fontsize=9.5,
        )
    return figure


def _curves(document: Mapping[str, Any]) -> Figure:
    figure = blank(4.3)
    panels = figure.subplots(1, 2)
    _over(panels[0], document, "evaluations", "fitness")
    _over(panels[1], document, "evaluations", "holdout_spearman")
    legend_below(figure, panels[:1], 2 if len(document["summary"]) == 4 else 3)
    return figure


def _savings(document: Mapping[str, Any]) -> Figure:
    figure = blank(7.4)
    panels = figure.subplots(2, 2)
    _over(panels[0, 0], document, "evaluations", "fitness")
    _over(panels[0, 1], document, "seconds", "fitness")
    _levels(panels[1, 0], document)
    _rules(panels[1, 1], document)
    legend_below(figure, panels[0, :1], 2)
    return figure


_AXES = {
    "evaluations": "evaluations (formulas, initial population included)",
    "seconds": "processor time of the search (s)",
    "fitness": "best fitness on the search split",
    "holdout_spearman": "held-out rho of the champion so far",
}


def _over(axis: Any, document: Mapping[str, Any], across: str, name: str) -> None:
    """Mean curves of all settings, with intervals at a few places that differ from setting to setting."""
    groups = _groups(document)
    longest = max((t[across] for group in groups.values() for t in group), default=1)
    first = min(10, longest / 10) if across == "evaluations" else longest / 200
    for place, (label, group) in enumerate(groups.items()):
        ink = SERIES[place % len(SERIES)]
        end = float(np.mean([t[across] for t in group]))
        grid = np.geomspace(first, max(end, first * 1.01), 121)
        middle, half = _mean_and_half(np.stack([_steps(t["curve"], across, name, grid) for t in group]))
        look = {"color": ink.color, "linewidth": 1.4}
        axis.plot(
            grid,
            middle,
            linestyle=ink.line,
            label=label,
            marker=ink.marker,
            markersize=5,
            markerfacecolor=ink.face,
            markevery=(10 + 4 * place, 22),
            **look,
        )
        some = slice(10 + 4 * place, None, 22)
        reach = [np.minimum(half, 1 + middle)[some], np.minimum(half, 1 - middle)[some]]  # no correlation is beyond 1
        axis.errorbar(grid[some], middle[some], yerr=reach, fmt="none", ecolor=ink.color, **BAND)
    axis.set_xscale("log")
    ticks = [t for e in range(-3, 7) for t in (10.0**e, 3 * 10.0**e) if first * 0.99 <= t <= longest * 1.01]
    axis.xaxis.set_major_locator(FixedLocator(ticks))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticklabels([f"{t:g}" for t in ticks])
    axis.set(xlabel=_AXES[across], ylabel=_AXES[name])
    axis.grid(color="0.93")


def _steps(curve: Sequence[Trial], across: str, name: str, grid: np.ndarray) -> np.ndarray:
    """The value of the last point at or before each place of the grid; nan before the first."""
    at = np.searchsorted([point[across] for point in curve], grid, side="right") - 1
    return np.array([np.nan if point[name] is None else point[name] for point in curve] + [np.nan])[at]


def _mean_and_half(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over seeds and half of its 95% interval, where every seed has a value; (S, K) -> (K,), (K,)."""
    count = len(values)
    if count < 2:
        return values.mean(0), np.zeros(values.shape[1])
    return values.mean(0), stats.t.ppf(0.975, count - 1) * values.std(0, ddof=1) / np.sqrt(count)


def _levels(axis: Any, document: Mapping[str, Any]) -> None:
    """Evaluations until a level was reached, side by side; a level that half of the seeds missed says so."""
    shares = sorted({row["level"] for row in document["levels"]})
    labels = list(_groups(document))
    width = 0.8 / max(1, len(labels))
    top = max((r["evaluations"] or 0 for r in document["levels"]), default=1)
    for row in document["levels"]:
        place = labels.index(row["setting"])
        x = shares.index(row["level"]) + (place - (len(labels) - 1) / 2) * width
        ink = SERIES[place % len(SERIES)]
        if row["evaluations"] is None:
            axis.text(x, 0.01 * top, "not reached", ha="center", va="bottom", fontsize=7, color=ink.color, rotation=90)
            continue
        face = "0.25" if place == 0 else "white"
        axis.bar(x, row["evaluations"], width * 0.92, facecolor=face, edgecolor=ink.color, hatch=ink.hatch)
        seconds = f"{row['seconds']:.1f} s"
        axis.annotate(
            seconds,
            (x, row["evaluations"]),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=7,
            rotation=90,
        )
    axis.set_xticks(range(len(shares)), [f"{share:.0%}" for share in shares])
    axis.set_xlim(-0.6, len(shares) - 0.4)
    axis.set_ylim(0, top * 1.25)
    axis.set_xlabel("share of the best fitness found, to be reached")
    axis.set_ylabel("median evaluations, and processor time (s)")


def _rules(axis: Any, document: Mapping[str, Any]) -> None:
    counts = next((dict(rules) for rules in document["rejections"].values() if rules), {})
    names = sorted(counts, key=lambda rule: counts[rule])
    axis.barh(range(len(names)), [counts[name] for name in names], color="0.8", edgecolor="black", linewidth=0.6)
    for place, name in enumerate(names):
        axis.annotate(
            f"{counts[name]:.0f}",
            (counts[name], place),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
        )
    axis.set_yticks(range(len(names)), names)
    axis.margins(x=0.15)
    axis.set_xlabel("formulas refused in a search, by rule")


def _settings(document: Mapping[str, Any]) -> Figure:
    """Best and held-out value of each setting with the seeds behind them, and how often it wins."""
    figure = blank(4.3)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    rows = document["summary"]
    for shift, key, label, ink in (
        (-0.14, "best", "fitness on the search split", SERIES[0]),
        (0.14, "holdout_spearman", "held-out rho", SERIES[1]),
    ):
        for place, row in enumerate(rows):
            named = "one seed" if place == 0 and key == "holdout_spearman" else None
            _dots(left, place + shift, document, row["setting"], "fitness" if key == "best" else key, named)
            mean, low, high = (row[key][part] for part in ("mean", "low", "high"))
            if mean is not None:
                reach = None if low is None else [[mean - max(low, -1)], [min(high, 1) - mean]]
                look = {"color": ink.color, "markerfacecolor": ink.face, "markersize": 6.5, "zorder": 3, **BAND}
                named = label if place == 0 else None
                left.errorbar(place + shift, mean, yerr=reach, fmt=ink.marker, label=named, **look)
    for shift, key, part, label, fill in (
        (-0.2, "wins_holdout", "best", "best of its seed", {"facecolor": "0.25"}),
        (0.2, "wins_holdout", "pairs", "pairs won", {"facecolor": "white", "hatch": "///"}),
    ):
        values = [100 * row[key][part] for row in rows]
        right.bar(np.arange(len(rows)) + shift, values, 0.38, edgecolor="black", label=label, **fill)
    names = [row["setting"].replace(" ", "\n", 1) for row in rows]
    for axis in (left, right):
        axis.set_xticks(range(len(rows)), names, fontsize=8 if len(rows) < 5 else 7.5)
        axis.grid(axis="y", color="0.93")
    left.set_ylabel("fitness or held-out rho of the champion")
    right.set_ylabel("wins by held-out rho (% of seeds or pairs)")
    right.set_ylim(0, 100)
    legend_below(figure, (left, right), 5)
    return figure


def _dots(axis: Any, x: float, document: Mapping[str, Any], setting: str, name: str, label: str | None) -> None:
    """The single seeds."""
    finals = [t["curve"][-1][name] for t in _groups(document).get(setting, ()) if t["curve"]]
    known = [value for value in finals if value is not None]
    axis.plot(np.full(len(known), x + 0.09), known, linestyle="", marker="_", color="0.5", markersize=6, label=label)


def _groups(document: Mapping[str, Any]) -> dict[str, list[Trial]]:
    """Trials by setting, in the order of the summary."""
    return {
        row["setting"]: [t for t in document["trials"] if t["label"] == row["setting"]] for row in document["summary"]
    }
