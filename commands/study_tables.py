"""The tables of studies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from commands.output import between_words, emit, page_width
from commands.tables import Interval, Row

__all__ = ["show"]


def show(document: Mapping[str, Any], form: str, title: str) -> None:
    """A study on stdout; `title` says whose it is."""
    if form == "json":
        print(json.dumps(document, sort_keys=True, allow_nan=False))
        return
    if document["study"] == "transfer":
        rows = _transfers(document)
        emit(
            rows, form, f"{document['title']}: tau-b, mean over {document['summary'][0]['seeds']} seeds, 95% intervals"
        )
        return
    if form == "csv":
        emit([_wide(row) for row in document["summary"]], form, "")
        return
    seeds = document["summary"][0]["seeds"]
    heading = f"{title}; study {document['study']}: {document['title']}; mean and 95% interval over {seeds} seeds"
    emit([_cells(row) for row in document["summary"]], form, heading)
    note = f"difference: to {document['reference']}, seed by seed; wins: share of seeds, pairs: of comparisons"
    print(between_words(note, page_width()))
    if document["study"] in ("search", "pps"):
        print()
        rows = [_level(row) for row in document["levels"]]
        emit(rows, form, "to reach a share of the best fitness that any setting found with the same seed (medians)")
    if document["study"] == "pps":
        print()
        emit(_rules(document["rejections"]), form, "rejections by rule, mean of a search")


def _cells(row: Mapping[str, Any]) -> Row:
    """One line of the table."""
    cells: dict[str, Any] = {"setting": row["setting"]}
    for key, label in (
        ("best", "best fitness"),
        ("difference_best", "best, difference"),
        ("holdout_spearman", "held-out rho"),
        ("difference_holdout_spearman", "held-out rho, difference"),
        ("holdout_kendall", "held-out tau"),
    ):
        figures = row[key] or {"mean": None, "low": None}
        cells[label] = figures["mean"]
        cells[f"{label} ci95"] = None if figures["low"] is None else Interval(figures["low"], figures["high"])
    cells |= {"wins best": row["wins_search"]["best"], "wins held-out": row["wins_holdout"]["best"]}
    cells |= {"pairs held-out": row["wins_holdout"]["pairs"], "valid": f"{row['holdout_spearman']['n']}/{row['seeds']}"}
    return cells | {"evaluations": round(row["evaluations"]), "cpu s": row["seconds"]["mean"]}


def _wide(row: Mapping[str, Any]) -> Row:
    """The whole row with a column per number, for machines."""
    cells: dict[str, Any] = {}
    for name, value in row.items():
        if value is None and name.startswith("difference_"):
            value = dict.fromkeys(("n", "mean", "low", "high"))
        if isinstance(value, Mapping):
            cells |= {f"{name} {part}": number for part, number in value.items()}
        else:
            cells[name] = value
    return cells


def _level(row: Mapping[str, Any]) -> Row:
    return {
        "share": f"{row['level']:.0%}",
        "setting": row["setting"],
        "reached": f"{row['reached']}/{row['seeds']}",
        "evaluations": None if row["evaluations"] is None else round(row["evaluations"]),
        "cpu s": row["seconds"],
    }


def _rules(counts: Mapping[str, Mapping[str, float]]) -> list[Row]:
    return [
        {"setting": setting, "rule": rule, "count": f"{count:.1f}"}
        for setting, rules in counts.items()
        for rule, count in rules.items()
    ]


def _transfers(document: Mapping[str, Any]) -> list[Row]:
    """A line per setting and ranking: tau-b on each benchmark left out, over all of them, and what it is ahead of the
    best fixed count."""
    names = [one["name"] for one in document["benchmarks"]]
    return [_transfer(row, names) for row in document["summary"]]


def _transfer(row: Mapping[str, Any], names: list[str]) -> Row:
    cells: Row = {"setting": row["setting"], "ranked by": row["who"]}
    cells |= {name: row["by"][name]["mean"] for name in names}
    for key, label in (("mean", "mean"), ("difference", "ahead of the count"), ("worst", "worst")):
        figures = row[key] or {"mean": None, "low": None}
        cells[label] = figures["mean"]
        if key != "worst":
            ends = figures["low"] is not None
            cells[f"{label} ci95"] = Interval(figures["low"], figures["high"]) if ends else None
    return cells
