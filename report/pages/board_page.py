"""HTML report of a leaderboard: all proxies on the same networks with the same statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from scipy.stats import rankdata

from report.board import BOARD
from report.documents import NUMBER, NUMBER_OR_NONE, check
from report.pages.charts import SERIES, SYMBOLS, bars, styled
from report.pages.page import Chart, Choice, PageTable, ReportPage, Section, chart_text, shown
from storage.datum import Datum
from storage.files import BadFile

__all__ = ["board_page"]

_FIGURES = {"kendall": NUMBER, "spearman": NUMBER, "ci95_kendall": [NUMBER], "ci95_spearman": [NUMBER]}
COLUMNS = (
    "proxy",
    "kind",
    "formula",
    "held-out tau-b",
    "95% interval",
    "held-out rho",
    "95% interval of rho",
    "p against the best count",
    "s per architecture",
)


def board_page(document: Mapping[str, Any], environment: Mapping[str, Any]) -> ReportPage:
    """Build the report from the output of `leaderboard --format json`; BadFile names a field that was altered."""
    _check(document)
    rows, metric = document["rows"], shown(document["metric"])
    ranked = [row for row in rows if (row.get("holdout") or {}).get("kendall") is not None]
    held = len(document["split"]["holdout"])
    answer = [f"None of {len(rows)} rankings has figures."]
    if ranked:
        top = ranked[0]
        low, high = top["holdout"]["ci95_kendall"]
        answer = [
            f"Of {len(rows)} rankings, {shown(top['name'])} ({shown(top['kind'])}) orders the {held} held-out "
            f"architectures best: tau-b {top['holdout']['kendall']:.3f} ({low:.3f} to {high:.3f})."
        ]
        answer += _others(ranked)
    parts: list[Chart | PageTable] = [_bars(ranked), PageTable("All rankings", COLUMNS, [_cells(row) for row in rows])]
    scored = [row for row in ranked if row.get("scores")]
    more = [Section("Every architecture", (), (_scatter(scored, document),))] if scored else []
    facts = {name: document.get(name) for name in ("benchmark", "metric", "digest", "feature_key", "build")}
    found = document.get("environment")
    versions = found if isinstance(found, dict) else environment
    tables = [
        PageTable(title, ("name", "value"), [(shown(k), shown(v)) for k, v in given.items()])
        for title, given in (("Identity", facts), ("Versions", versions))
    ]
    return ReportPage(
        f"{shown(document['benchmark'])}: proxies, counts and regressions",
        answer,
        (
            Section("How good they are", (f"Correlations with {metric}, turned so that more is better.",), parts),
            *more,
            Section(
                "How to repeat it",
                ("The split is that of the first hall, or drawn with --seed (42 by default).",),
                tables,
                (_command(document),),
            ),
        ),
    )


def _check(document: Mapping[str, Any]) -> None:
    check(document, BOARD, "leaderboard")
    ids, quality = document.get("architectures"), document.get("quality")
    check({"architectures": ids, "quality": quality}, {"architectures": list, "quality": [NUMBER]}, "leaderboard")
    if len(ids or ()) != len(quality or ()):
        raise BadFile("leaderboard: got other numbers of architectures and of measured values; give a file as written")
    for part in document["split"].values():
        for item in part:
            Datum("leaderboard: split", item, BadFile).integer(0, len(quality or ()) - 1)
    for row in document["rows"]:
        where = f"leaderboard: {shown(row['name'])}"
        check(row, {"p_value": NUMBER_OR_NONE, "seconds": NUMBER_OR_NONE}, where)
        if (row.get("holdout") or {}).get("kendall") is not None:
            check(row["holdout"], _FIGURES, f"{where}: holdout")
        if row.get("scores") is not None:
            check(row["scores"], [NUMBER_OR_NONE], f"{where}: scores")


def _others(ranked: Sequence[Mapping[str, Any]]) -> list[str]:
    firsts = {kind: row for row in reversed(ranked) if (kind := row["kind"]) != ranked[0]["kind"]}
    words = [f"{shown(kind)}: {shown(row['name'])}, {row['holdout']['kendall']:.3f}" for kind, row in firsts.items()]
    return [f"The best of the other kinds: {'; '.join(sorted(words))}."] if words else []


def _bars(ranked: Sequence[Mapping[str, Any]]) -> Chart:
    entries = [
        (row["name"], float(row["holdout"]["kendall"]), (*map(float, row["holdout"]["ci95_kendall"]),)[:2])
        for row in ranked
    ]
    what = f"Held-out tau-b of {len(entries)} rankings with 95% bootstrap intervals, best on top."
    evolved = [row["name"] for row in ranked if row["kind"] == "evolved"]
    return bars("board", entries, "held-out tau-b", what, marked=evolved)  # type: ignore[arg-type]


def _cells(row: Mapping[str, Any]) -> tuple[str | float | None, ...]:
    held = row.get("holdout") or {}
    spans = [
        f"{i[0]:.3f} to {i[1]:.3f}" if (i := held.get(f"ci95_{name}")) else None for name in ("kendall", "spearman")
    ]
    words = [shown(row.get(name) or "") for name in ("name", "kind", "formula")]
    return (*words, held.get("kendall"), spans[0], held.get("spearman"), spans[1], row["p_value"], row["seconds"])


def _scatter(scored: Sequence[Mapping[str, Any]], document: Mapping[str, Any]) -> Chart:
    """Measured quality against the score of the ranking that the reader chooses."""
    ids, quality = [chart_text(id) for id in document["architectures"]], document["quality"]
    groups = [document["split"][part] for part in ("holdout", "search")]
    views = {f"{place}. {shown(row['name'])}": _view(row, groups, quality) for place, row in enumerate(scored, start=1)}
    figure = go.Figure()
    for place, (name, group) in enumerate(zip(("held-out", "search split"), groups, strict=True)):
        figure.add_scatter(
            x=_view(scored[0], groups, quality)[0]["x"][place],
            y=[quality[i] for i in group],
            mode="markers",
            name=name,
            hovertext=[f"{ids[i]}<br>quality {quality[i]:.5g}" for i in group],
            hoverinfo="text",
            marker={"color": SERIES[place], "symbol": SYMBOLS[place], "size": 7},
        )
    styled(
        figure,
        460,
        xaxis={"title": {"text": "place by the score, 1 is the lowest"}},
        yaxis={"title": {"text": f"quality by {chart_text(document['metric'])}, more is better"}},
    )
    rows = [(shown(id), float(q)) for id, q in zip(document["architectures"], quality, strict=False)]
    what = "Each point is an architecture: measured quality against its place by the score of the chosen ranking."
    return Chart(
        "scatter",
        figure,
        what,
        PageTable("Measured quality", ("architecture", "quality"), rows),
        (Choice("ranking", views),),
    )


def _view(
    row: Mapping[str, Any], groups: Sequence[Sequence[int]], quality: Sequence[float]
) -> tuple[dict[str, Any], dict[str, Any]]:
    found = [np.nan if value is None else float(value) for value in row["scores"]]
    values = np.array((found + [np.nan] * len(quality))[: len(quality)])
    ranks = rankdata(values * (-1 if row.get("sign") == -1 else 1), nan_policy="omit")
    return {"x": [[None if np.isnan(ranks[i]) else float(ranks[i]) for i in group] for group in groups]}, {}


def _command(document: Mapping[str, Any]) -> str:
    return f"python cli.py leaderboard --benchmark {shown(document['benchmark'])} --format json --out leaderboard.json"
