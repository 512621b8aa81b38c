"""Structure of our own layouts: a header with the metric, then a record per architecture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.benchmarks.benchmark import MAX_FILE, BadBenchmark, Benchmark, choose_metric, finish, place
from models.benchmarks.layouts.fields import written_out
from models.spaces import SPACES
from storage.datum import Datum, is_number, is_whole
from storage.files import BadFile, decoded, digest_of, read_limited

__all__ = ["MAX_RECORDS", "Table", "positive", "read_lines", "training_tokens"]

MAX_RECORDS = 50_000
OURS = {"tokens", "sd"}  # numbers of a record that are no metric


def read_lines(path: Path, what: str) -> tuple[bytes, list[tuple[int, str]]]:
    """The bytes of a file, and its lines with their numbers, without empty ones."""
    content = read_limited(path, MAX_FILE, what)
    try:
        text = decoded(content, str(path), what)
    except BadFile as error:
        raise BadBenchmark(str(error)) from None
    if (breaks := content.count(b"\n")) > MAX_RECORDS:  # counted before a list of them takes memory
        raise BadBenchmark(f"{path}: got {breaks:,} lines, wanted at most {MAX_RECORDS:,}; give the right file")
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    return content, lines


@dataclass(frozen=True)
class Table:
    """A file in one of our own layouts: `header` has space, metric and higher_is_better; a record has id, config and
    measured values."""

    path: Path
    content: bytes
    header: Mapping[str, Any]
    where: str

    def benchmark(self, records: Sequence[Mapping[str, Any]], name: str, metric: str | None) -> Benchmark:
        """The checked benchmark; `metric` None is that of the header."""
        header = Datum(self.where, self.header, BadBenchmark)
        space = header["space"].text()
        if space not in SPACES:
            raise header["space"].refuse(f"one of {', '.join(SPACES)}")
        default, higher = header["metric"].text(), header["higher_is_better"].flag()
        _check_ceiling(header)
        tokens, sd = training_tokens(header), list[float]()
        amounts = list[float | None]()
        numeric = sorted(
            {key for record in records for key, value in record.items() if is_number(value)} - OURS | {default}
        )
        metric = choose_metric(metric, default, numeric, name)
        rows = []
        for i, record in enumerate(records):
            where = place(name, i, record.get("id"))
            config = Datum(f"{where}: config", record.get("config"), BadBenchmark).mapping()
            rows.append((record.get("id"), written_out(space, config, where), record.get(metric)))
            entry = Datum(where, record, BadBenchmark)
            amounts.append(positive(entry["tokens"]) if record.get("tokens") is not None else tokens)
            sd.append(positive(entry["sd"]) if record.get("sd") is not None else math.nan)
        digest = digest_of([(self.path.name, self.content)])
        return finish(name, space, metric, higher, rows, digest, self.header, amounts, sd)


def training_tokens(header: Datum) -> float | None:
    """The training tokens of every record that does not say its own: `tokens`, or those of the `budget` of a benchmark
    that this toolkit trained; None where the header says neither."""
    fields = header.mapping()
    if fields.get("tokens") is not None:
        return positive(header["tokens"])
    budget = fields.get("budget")
    known = [budget.get(name) for name in ("steps", "batch", "length")] if isinstance(budget, dict) else []
    counts = [float(count) for count in known if is_whole(count) and 0 < count < 1e9]
    return math.prod(counts) if known and len(counts) == len(known) else None


def positive(value: Datum) -> float:
    """A number of training tokens, or of noise."""
    if not 0 < (number := value.number()) < 1e18:
        raise value.refuse("a number above 0")
    return number


def _check_ceiling(header: Datum) -> None:
    """Check the optional noise ceiling: two correlations."""
    if header.mapping().get("noise_ceiling") is None:
        return
    for name in ("spearman", "kendall"):
        if not -1 <= (value := header["noise_ceiling"][name]).number() <= 1:
            raise value.refuse("a number from -1 to 1")
