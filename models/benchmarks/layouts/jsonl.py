"""Our own layout: one JSON object a line, the header first; lines that begin with # are comments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.benchmarks.benchmark import BadBenchmark, Benchmark, as_mapping
from models.benchmarks.layouts.table import Table, read_lines
from storage.files import parse_json

__all__ = ["check_schema", "is_record", "load_jsonl", "one_object"]

HEADER = '{"schema": 1, "space": "gpt2", "metric": "loss", "higher_is_better": false} (its own values)'


def load_jsonl(path: Path, name: str, metric: str | None) -> Benchmark:
    """Our own layout: a header line {schema, space, metric, higher_is_better, ...}, then one record a line
    {id, config, <metric>: number, ...}."""
    content, objects = _read_objects(path, "a benchmark in JSON lines")
    if not objects:
        raise BadBenchmark(f"{path}: holds no record, wanted one JSON object a line, the header first")
    (where, header), *rest = objects
    if is_record(header):
        raise BadBenchmark(f"{where}: got a record, wanted the header before the records; add a first line {HEADER}")
    check_schema(path, header)
    return Table(path, content, header, where).benchmark([record for _, record in rest], name, metric)


def check_schema(path: Path, header: Mapping[str, Any]) -> None:
    """Refuse a header without a version, or of another one."""
    if "schema" not in header:
        raise BadBenchmark(f"{path}: the header has no schema, wanted {HEADER}")
    if header["schema"] != 1:
        raise BadBenchmark(f"{path}: schema {header['schema']!r}, this version reads schema 1; update the toolkit")


def is_record(found: Mapping[str, Any]) -> bool:
    """True if a line describes an architecture, so that it is no header."""
    return "schema" not in found and ("config" in found or "id" in found)


def _read_objects(path: Path, what: str) -> tuple[bytes, list[tuple[str, dict[str, Any]]]]:
    """The bytes of a file, and the object of every line that is no comment, with its place."""
    content, lines = read_lines(path, what)
    found = [(f"{path}, line {number}", line) for number, line in lines if not line.startswith("#")]
    return content, [(where, one_object(where, line)) for where, line in found]


def one_object(where: str, line: str) -> dict[str, Any]:
    """The object of a line."""
    return dict(as_mapping(parse_json(line.encode(), where, "one JSON object a line"), where))
