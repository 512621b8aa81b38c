"""Charts of reports, drawn in the browser by plotly.js without network access, in colours for light and dark pages.
Text from files goes through `chart_text`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from report.pages.evidence import Ancestor, Portrait
from report.pages.page import Chart, PageTable, chart_text, shown

__all__ = ["bars", "blocks_chart", "evolution_chart", "front_chart", "growth_chart", "plain", "plain_number", "styled"]

SERIES = ("#2f7fd1", "#d9622b", "#2c9a6b", "#a05fc0")
GREY, PALE = "#8a939c", "rgba(128, 136, 144, 0.5)"
SYMBOLS = ("circle", "triangle-up", "diamond", "square")


def styled(figure: go.Figure, height: int = 420, **layout: Any) -> go.Figure:
    """Apply the common style: page background, automatic margins, legend below."""
    figure.update_layout(
        template="none",
        height=height,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13, "color": "#808890"},
        margin={"l": 10, "r": 10, "t": 44, "b": 10},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": GREY},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        hovermode="closest",
        hoverlabel={"bgcolor": "#20262d", "bordercolor": "#8a939c", "font": {"color": "#ffffff"}, "align": "left"},
        **layout,
    )
    figure.update_xaxes(automargin=True, showline=True, linecolor=GREY, gridcolor="#d5dbe1", zeroline=False)
    figure.update_yaxes(automargin=True, showline=True, linecolor=GREY, gridcolor="#d5dbe1", zeroline=False)
    return figure


def front_chart(points: Sequence[tuple[str, int, float]], front: Sequence[int], pick: int | None, what: str) -> Chart:
    """Fitness against complexity of (text, complexity, fitness): every formula, the front as steps, the pick marked."""
    figure = go.Figure()
    texts = [f"{place + 1}: {chart_text(text)}" for place, (text, _, _) in enumerate(points)]
    xs, ys = [p[1] for p in points], [p[2] for p in points]
    figure.add_scatter(
        x=[xs[i] for i in front],
        y=[ys[i] for i in front],
        mode="lines",
        name="front",
        hoverinfo="skip",
        line={"shape": "hv", "color": SERIES[1], "dash": "dash"},
    )
    figure.add_scatter(
        x=xs,
        y=ys,
        mode="markers",
        name="formula",
        hovertext=texts,
        hoverinfo="text",
        marker={"color": SERIES[0], "size": 9, "line": {"width": 1, "color": GREY}},
    )
    if pick is not None:
        figure.add_scatter(
            x=[xs[pick]],
            y=[ys[pick]],
            mode="markers",
            name="recommended",
            hoverinfo="skip",
            marker={"symbol": "circle-open", "size": 18, "color": SERIES[1], "line": {"width": 3}},
        )
    styled(
        figure,
        400,
        xaxis={"title": {"text": "complexity: inputs and operators"}, "dtick": 1},
        yaxis={"title": {"text": "fitness on the search split"}},
    )
    rows = [(place + 1, x, y) for place, (x, y) in enumerate(zip(xs, ys, strict=True))]
    return Chart(
        "front", figure, what, PageTable("Fitness against complexity", ("formula", "complexity", "fitness"), rows)
    )


def blocks_chart(portraits: Sequence[Portrait], what: str) -> Chart:
    """One panel per part of a formula: the contribution of every block in a good, a median and a bad architecture."""
    parts = list(portraits[0].parts)
    figure = make_subplots(
        rows=len(parts), cols=1, subplot_titles=[chart_text(p) for p in parts], vertical_spacing=0.12
    )
    rows = []
    for row, part in enumerate(parts, start=1):
        for place, portrait in enumerate(portraits):
            values, name = portrait.parts[part], f"{portrait.kind}: {chart_text(portrait.architecture.id)}"
            blocks = list(range(1, len(values) + 1))
            figure.add_scatter(
                x=blocks,
                y=plain(values),
                mode="lines+markers",
                name=name,
                legendgroup=portrait.kind,
                showlegend=row == 1,
                line={"color": SERIES[place], "dash": ("solid", "dash", "dot")[place]},
                marker={"symbol": SYMBOLS[place], "size": 8},
                hoverinfo="text",
                hovertext=[f"{name}<br>block {b}: {v:.5g}" for b, v in zip(blocks, values, strict=True)],
                row=row,
                col=1,
            )
            rows += [
                (portrait.kind, shown(portrait.architecture.id), part, b, plain_number(v))
                for b, v in zip(blocks, values, strict=True)
            ]
    styled(figure, 120 + 230 * len(parts))
    figure.update_annotations(font={"size": 12}, x=0, xanchor="left")
    figure.update_yaxes(title_text="adds")
    deepest = max(len(portrait.parts[part]) for portrait in portraits for part in parts)
    figure.update_xaxes(dtick=max(1, deepest // 8))
    figure.update_xaxes(title_text="block", row=len(parts), col=1)
    figure.update_layout(legend={"y": -90 / (120 + 230 * len(parts)), "yanchor": "top"})
    columns = ("kind", "architecture", "part", "block", "adds")
    return Chart("blocks", figure, what, PageTable("What each block adds to each part", columns, rows))


def evolution_chart(generations: Sequence[Mapping[str, Any]], what: str) -> Chart:
    """Best and mean fitness over the number of formulas compared."""
    kept = generations[:: max(1, len(generations) // 1000)]
    evaluations = [line["evaluations"] for line in kept]
    figure = go.Figure()
    for place, (field, label) in enumerate(
        (("best_fitness", "best so far"), ("mean_fitness", "mean of the population"))
    ):
        values = [line[field] for line in kept]
        figure.add_scatter(
            x=evaluations,
            y=values,
            mode="lines",
            name=label,
            hoverinfo="text",
            line={"color": SERIES[place], "dash": ("solid", "dash")[place]},
            hovertext=[
                f"{label}<br>{x:,} formulas: {'-' if y is None else format(y, '.4f')}"
                for x, y in zip(evaluations, values, strict=True)
            ],
        )
    styled(
        figure,
        400,
        xaxis={"title": {"text": "formulas compared"}},
        yaxis={"title": {"text": "fitness on the search split"}},
    )
    few = kept[:: max(1, len(kept) // 50)]
    rows = [(line["evaluations"], line["best_fitness"], line["mean_fitness"]) for line in few]
    numbers = PageTable("The evolution, at most 100 of its steps", ("formulas compared", "best", "mean"), rows)
    return Chart("evolution", figure, what, numbers)


def growth_chart(ancestors: Sequence[Ancestor], what: str) -> Chart:
    """Search and held-out tau-b of each ancestor of the champion, the champion last."""
    figure = go.Figure()
    steps = list(range(1, len(ancestors) + 1))
    for place, (part, label) in enumerate((("search", "search split"), ("holdout", "held-out"))):
        values = [(a.figures.get(part) or {}).get("kendall") for a in ancestors]
        figure.add_scatter(
            x=steps,
            y=values,
            mode="lines+markers",
            name=label,
            hoverinfo="text",
            line={"color": SERIES[place], "dash": ("solid", "dash")[place]},
            marker={"symbol": SYMBOLS[place], "size": 9},
            hovertext=[
                f"{step}, {chart_text(a.operator)}: {chart_text(a.text)}<br>{label} tau-b {_figure(value)}"
                for step, a, value in zip(steps, ancestors, values, strict=True)
            ],
        )
    styled(
        figure,
        380,
        xaxis={"title": {"text": "ancestor, the champion last"}, "dtick": 1},
        yaxis={"title": {"text": "tau-b"}},
    )
    rows = [
        (step, a.operator, a.text, *((a.figures.get(part) or {}).get("kendall") for part in ("search", "holdout")))
        for step, a in zip(steps, ancestors, strict=True)
    ]
    numbers = PageTable(
        "From the first ancestor", ("step", "made by", "formula", "search tau-b", "held-out tau-b"), rows
    )
    return Chart("growth", figure, what, numbers)


def bars(
    name: str,
    entries: Sequence[tuple[str, float, tuple[float, float] | None]],
    axis: str,
    what: str,
    unit: str = "",
    marked: Collection[str] = (),
) -> Chart:
    """Horizontal bars of (label, value, interval), the first on top; beside `marked` ones all others are pale."""
    colors = [SERIES[0] if e[0] in marked or not marked else PALE for e in entries]
    labels, values = [chart_text(e[0]) for e in entries], [e[1] for e in entries]
    ends = [e[2] or (e[1], e[1]) for e in entries]
    figure = go.Figure()
    figure.add_bar(
        x=values,
        y=[f"{label} " for label in labels],
        orientation="h",
        marker={"color": colors},
        hoverinfo="text",
        hovertext=[
            f"{label}: {_figure(v)}{unit}" + (f" ({low:.3f} to {high:.3f})" if low < high else "")
            for label, v, (low, high) in zip(labels, values, ends, strict=True)
        ],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [high - v for v, (_, high) in zip(values, ends, strict=True)],
            "arrayminus": [v - low for v, (low, _) in zip(values, ends, strict=True)],
            "color": SERIES[1],
            "visible": any(e[2] for e in entries),
        },
    )
    styled(figure, 110 + 24 * len(entries), xaxis={"title": {"text": axis}}, showlegend=False)
    figure.update_yaxes(autorange="reversed", type="category", tickfont={"size": 12})
    rows = [(shown(label), value, *(ends or (None, None))) for label, value, ends in entries]
    return Chart(name, figure, what, PageTable(axis, ("name", "value", "low", "high"), rows))


def plain(values: Sequence[float] | np.ndarray) -> list[float | None]:
    """The numbers, with None for those that are not finite, which JSON lacks."""
    return [plain_number(value) for value in values]


def plain_number(value: float) -> float | None:
    """The number, or None for one that is not finite."""
    return float(value) if np.isfinite(value) else None


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
