"""Leaderboards: the JSON document with all scores, and the figure with a bar per proxy beside the number of parameters
(LPZero, figure 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fitness.evaluation import Split
from fitness.features.bank import FeatureKey
from gp.runs.files import environment
from models.benchmarks.benchmark import Benchmark
from report.documents import check
from report.style import blank, style

__all__ = ["BOARD", "board_document", "draw_board"]

BOARD = {
    "benchmark": str,
    "metric": str,
    "split": {"search": list, "holdout": list},
    "rows": [{"name": str, "kind": str}],
}
_FIGURES = {"kendall": (int, float), "ci95_kendall": [(int, float)]}
_KINDS = {"evolved": ("0.15", ""), "fitted": ("0.55", ""), "hand-made": ("0.85", ""), "naive": ("0.97", "////")}
REFERENCE = "#params"


def board_document(
    rows: Sequence[Mapping[str, Any]], benchmark: Benchmark, split: Split, key: FeatureKey
) -> dict[str, Any]:
    """The leaderboard as plain data, with the scores of every architecture."""
    return {
        "environment": environment(),
        "noise_ceiling": benchmark.header.get("noise_ceiling"),
        "benchmark": benchmark.name,
        "digest": benchmark.digest,
        "metric": benchmark.metric,
        "feature_key": key.digest,
        "build": key.build,
        "architectures": [a.id for a in benchmark.architectures],
        "quality": benchmark.quality.tolist(),
        "split": {part: list(getattr(split, part)) for part in ("search", "holdout")},
        "rows": list(rows),
    }


def draw_board(document: Mapping[str, Any]) -> Figure:
    """Draw held-out tau-b with 95% intervals as bars, best on top; proxies without a value are listed at the bottom."""
    check(document, BOARD, "leaderboard")
    rows = document["rows"]
    for row in rows:
        if (row.get("holdout") or {}).get("kendall") is not None:
            check(row["holdout"], _FIGURES, f"leaderboard: {row['name']}: holdout")
    with style():
        figure = blank(1.5 + 0.19 * len(rows))
        axis = figure.subplots()
        for place, row in enumerate(rows):
            _bar(axis, place, row)
        reference = next((r for r in rows if r["name"] == REFERENCE and r.get("holdout")), None)
        if reference is not None:
            axis.axvline(reference["holdout"]["kendall"], color="#b2473e", linestyle="--", linewidth=1.2, zorder=3)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8.5)
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.margins(x=0.02)
        axis.grid(axis="x", color="0.9")
        held = len(document["split"]["holdout"])
        axis.set_xlabel(f"Kendall's tau-b with measured quality ({document['metric']}), {held} held-out architectures")
        axis.set_title(f"{document['benchmark']}: proxies and naive baselines, 95% bootstrap intervals", loc="left")
        _legend(figure, axis, rows, reference is not None)
    return figure


def _bar(axis: Any, place: int, row: Mapping[str, Any]) -> None:
    held = row.get("holdout") or {}
    if held.get("kendall") is None:
        axis.text(0.005, place, " no value", va="center", fontsize=8, style="italic")
        return
    face, hatch = _KINDS.get(row["kind"], ("0.6", ""))
    low, high = held["ci95_kendall"]
    reach = [[max(0.0, held["kendall"] - low)], [max(0.0, high - held["kendall"])]]
    axis.barh(place, held["kendall"], height=0.72, color=face, hatch=hatch, edgecolor="black", linewidth=0.6)
    dark = row["kind"] == "evolved"
    axis.errorbar(held["kendall"], place, xerr=reach, color="#c08a00" if dark else "black", elinewidth=1.3, capsize=2)


def _legend(figure: Figure, axis: Any, rows: Any, reference: bool) -> None:
    present = [kind for kind in _KINDS if any(row["kind"] == kind for row in rows)]
    handles: list[Any] = [
        Patch(facecolor=_KINDS[kind][0], hatch=_KINDS[kind][1], edgecolor="black", linewidth=0.6, label=kind)
        for kind in present
    ]
    if reference:
        handles.append(axis.plot([], [], color="#b2473e", linestyle="--", linewidth=1.2, label=REFERENCE)[0])
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, handlelength=2.6)
