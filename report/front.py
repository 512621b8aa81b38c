"""Pareto front of a selection: score against cost for every architecture tried, and the best score at every cost."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from fitness.candidates import Candidate
from report.style import SERIES, blank, legend_below, style

__all__ = ["draw_front"]

LABELS = {
    "params": "#params",
    "decoder_params": "decoder params",
    "flops": "FLOPs a sequence",
    "memory": "bytes of a training step",
}


def draw_front(front: Sequence[Candidate], scored: Sequence[Candidate], cost: str, title: str) -> Figure:
    """Draw all scored architectures as dots and the Pareto front as a step line; `cost` names a field of Costs."""
    with style():
        figure = blank(4.2)
        axis = figure.subplots()
        for candidates, ink, size, line, label in (
            (scored, SERIES[3], 3.0, "", f"scored ({len(scored)})"),
            (front, SERIES[1], 5.0, "--", f"front ({len(front)})"),
        ):
            points = sorted((getattr(c.costs, cost), c.score) for c in candidates if c.score is not None)
            axis.plot(
                [x for x, _ in points],
                [y for _, y in points],
                color=ink.color,
                linestyle=line,
                marker=ink.marker,
                markersize=size,
                markerfacecolor=ink.face,
                drawstyle="steps-post",
                label=label,
            )
        axis.set_xlabel(LABELS.get(cost, cost))
        axis.set_ylabel("score, higher is better")
        axis.set_title(title, wrap=True)
        legend_below(figure, [axis], 2)
    return figure
