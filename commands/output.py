"""Output of commands: data on stdout as a table, JSON, CSV or Markdown; messages on stderr."""

from __future__ import annotations

import csv
import io
import json
import logging
import shlex
import shutil
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.text import Text

from commands.tables import Cell, Formula, Interval, Row, is_number, literal, names_of, plain, table
from storage.plugins import loaded_plugins
from storage.program import program_name

if TYPE_CHECKING:
    from models.benchmarks.benchmark import Benchmark

talk = Console(stderr=True, highlight=False)
WIDTH = 100  # characters of a line where nothing tells the width of the page
PARTS = (("search", "search"), ("holdout", "held-out"), ("all", "all"))
STATISTICS = (("spearman", "rho"), ("kendall", "tau"))


def say(text: str, copied: bool = False) -> None:
    """Talk to the user on stderr: a line, which a terminal shows broken between words, unless it is to be `copied`."""
    if since := _clock.get("start"):
        text = f"[{time.monotonic() - since:.1f} s] {text}"
    line = literal(text)
    talk.print(Text(line if copied or not talk.is_terminal else between_words(line, talk.width)), soft_wrap=True)


def between_words(line: str, width: int) -> str:
    """The line, broken between words for a page, its further lines indented as its beginning."""
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.fill(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    )


_clock: dict[str, float] = {}


@contextmanager
def loudness(quiet: bool, verbose: bool) -> Iterator[None]:
    """A block in which a quiet command says nothing but errors, and a verbose one the seconds before every line."""
    talk.quiet = quiet
    _clock.update({"start": time.monotonic()} if verbose else {})
    try:
        yield
    finally:
        talk.quiet = False
        _clock.clear()


def say_once(text: str) -> None:
    """Talk to the user unless the running command has said the same already."""
    said = click.get_current_context().meta.setdefault("zcp.said", set())
    if text not in said:
        said.add(text)
        say(text)


class Warnings(logging.Handler):
    """Log handler that prints each warning of the library once, as a line on stderr."""

    def __init__(self) -> None:
        super().__init__()
        self._said = set[str]()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self._said:
            self._said.add(text)
            say(f"warning: {text}")


@contextmanager
def warnings_said() -> Iterator[None]:
    """The library is silent by itself; inside the block its warnings reach the user."""
    handler, log = Warnings(), logging.getLogger("zcp")
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


def say_next(*words: object, keep: Sequence[str] = (), label: str = "next") -> None:
    """The next command to type, quoted for a shell, with those options named in `keep` that were given to this one."""
    parts = [str(word) for word in words]
    context = click.get_current_context()
    for parameter in context.command.params:
        if parameter.name in keep and was_given(str(parameter.name)):
            parts += given_options(parameter)
    parts += [word for path in loaded_plugins() for word in ("--plugin", str(path))]
    say(f"{label}: {program_name()} {shlex.join(parts)}", copied=True)


def given_options(parameter: click.Parameter) -> list[str]:
    """An option of the running command as words, as often as it was given."""
    value = click.get_current_context().params[str(parameter.name)]
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return [parameter.opts[0]] if value else list(parameter.secondary_opts[:1])
    return [word for one in (value if isinstance(value, tuple) else (value,)) for word in (parameter.opts[0], str(one))]


def was_given(name: str) -> bool:
    """True if the user gave an option of the running command, there or in the file of --config, instead of leaving it
    at its default."""
    given = click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.DEFAULT_MAP
    return click.get_current_context().get_parameter_source(name) in given


def ceiling_of(benchmark: Benchmark) -> str | None:
    """The noise ceiling as text; None if the benchmark has not measured its noise."""
    ceiling = benchmark.header.get("noise_ceiling")
    if not ceiling:
        return None
    return f"noise ceiling (a perfect oracle): rho {ceiling['spearman']:.3f}, tau {ceiling['kendall']:.3f}"


def say_ceiling(benchmark: Benchmark) -> None:
    """Print the noise ceiling on stderr."""
    if text := ceiling_of(benchmark):
        say(text)


def say_intervals(held_out: int) -> None:
    """Warn of wide intervals if few architectures are held out."""
    from fitness.protocol import interval_note

    if note := interval_note(held_out):
        say(note)


def direction(benchmark: Benchmark) -> str:
    """The target of all correlations: the metric, turned so that more is better."""
    return f"{'' if benchmark.higher_is_better else '-'}{benchmark.metric}"


def columns_of(record: Mapping[str, Any]) -> dict[str, Cell]:
    """Search rho, held-out rho and tau with intervals, all rho and tau, as far as the record has them."""
    columns: dict[str, Cell] = {}
    for part, label in PARTS:
        for statistic, letter in STATISTICS[: 1 if part == "search" else 2]:
            if record.get(part):
                columns[f"{label} {letter}"] = record[part][statistic]
                if part == "holdout":
                    columns[f"{label} {letter} ci95"] = Interval.of(record[part].get(f"ci95_{statistic}"))
    return columns


def emit(rows: Sequence[Row], form: str, title: str) -> None:
    """Rows as a table, as JSON, CSV or Markdown, on stdout."""
    print(rendered(rows, form, title), end="")


def rendered(rows: Sequence[Row], form: str, title: str) -> str:
    """The text that `emit` prints; a table is as wide as the terminal."""
    if form == "json":
        return json.dumps(flat(rows), indent=2, allow_nan=False) + "\n"
    if form == "csv":
        return _csv(rows)
    if form == "markdown":
        return _markdown(rows, title)
    return table(rows, title, page_width())


def page_width() -> int:
    """Number of characters that a line on stdout may have."""
    return shutil.get_terminal_size((WIDTH, 0)).columns


def flat(rows: Sequence[Row]) -> list[Row]:
    """The rows for machines: no two columns of one name, an interval as its two ends, a formula as text and sign."""
    intervals = {name for row in rows for name, cell in row.items() if isinstance(cell, Interval)}
    records = []
    for row in rows:
        record: Row = {}
        for name, cell in row.items():
            if name in intervals:
                low, high = cell if isinstance(cell, Interval) else (None, None)
                record |= {f"{name} low": low, f"{name} high": high}
            elif isinstance(cell, Formula):
                record |= {name: cell.text, "sign": cell.sign}
            elif not isinstance(cell, Interval):
                record[name] = cell
        records.append(record)
    return records


def _csv(rows: Sequence[Row]) -> str:
    records = flat(rows)
    sink = io.StringIO()
    writer = csv.DictWriter(sink, names_of(records), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: literal(v) if isinstance(v, str) else v for k, v in record.items()} for record in records)
    return sink.getvalue()


def _markdown(rows: Sequence[Row], title: str) -> str:
    names = names_of(rows)
    rules = ["---:" if is_number(rows, name) else "---" for name in names]
    lines = [names, rules, *([plain(row.get(name)).replace("|", r"\|") for name in names] for row in rows)]
    return f"{literal(title)}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)
