"""What a command says: data on stdout as a table, JSON or CSV; talk on stderr."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

talk = Console(stderr=True, highlight=False)
page = Console(highlight=False, width=None if sys.stdout.isatty() else 240)


def say(text: str) -> None:
    """Talk to the user on stderr, unbroken, so that what it shows can be copied."""
    talk.print(text, soft_wrap=True, markup=False)


def say_ceiling(benchmark: Any) -> None:
    """What a perfect oracle would reach, where the benchmark has measured its noise."""
    if text := ceiling_of(benchmark):
        say(text)


def ceiling_of(benchmark: Any) -> str | None:
    """The same as a sentence; None where the noise was not measured."""
    ceiling = benchmark.header.get("noise_ceiling")
    if not ceiling:
        return None
    return f"noise ceiling (a perfect oracle): rho {ceiling['spearman']:.3f}, tau {ceiling['kendall']:.3f}"


def direction(benchmark: Any) -> str:
    return f"{'' if benchmark.higher_is_better else '-'}{benchmark.metric}"


def columns_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Search rho, held-out rho and tau with intervals, all rho and tau, as far as the record has them."""
    columns: dict[str, Any] = {}
    if record.get("search"):
        columns["search rho"] = record["search"]["spearman"]
    for part, label in (("holdout", "held-out"), ("all", "all")):
        if record.get(part):
            columns[f"{label} rho"] = record[part]["spearman"]
            if part == "holdout" and record[part].get("ci95_spearman"):
                columns["95%"] = "{:.3f}..{:.3f}".format(*record[part]["ci95_spearman"])
            columns[f"{label} tau"] = record[part]["kendall"]
            if part == "holdout" and record[part].get("ci95_kendall"):
                columns["95% "] = "{:.3f}..{:.3f}".format(*record[part]["ci95_kendall"])
    return columns


def emit(rows: Sequence[Mapping[str, Any]], form: str, title: str) -> None:
    """Rows as a table, as JSON, CSV or Markdown, on stdout."""
    if form == "json":
        print(json.dumps(list(rows), indent=2, allow_nan=False))
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    if form == "csv":
        sink = io.StringIO()
        writer = csv.DictWriter(sink, names)
        writer.writeheader()
        writer.writerows(rows)
        print(sink.getvalue(), end="")
        return
    numbers = {name for name in names if any(isinstance(row.get(name), float) for row in rows)}
    if form == "markdown":
        print(f"{title}\n\n| {' | '.join(names)} |")
        print(f"|{'|'.join('---:' if name in numbers else '---' for name in names)}|")
        for row in rows:
            print(f"| {' | '.join(_plain(row.get(name)) for name in names)} |")
        return
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in names:
        numeric = name in numbers
        table.add_column(
            name.strip(),
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=numeric or not page.is_terminal,
        )
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in names))
    page.print(table)


def _cell(value: Any) -> str:
    return _plain(value).replace("[", "\\[")


def _plain(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
