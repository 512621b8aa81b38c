"""Our own layout: one JSON object a line, the header first; lines that begin with # are comments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.benchmarks.benchmark import BadBenchmark, Benchmark, as_mapping
from models.benchmarks.layouts.table import Table, read_lines
from storage.files import parse_json

__all__ = ["load_jsonl"]


def load_jsonl(path: Path, name: str, metric: str | None) -> Benchmark:
    """Our own layout: a header line {schema, space, metric, higher_is_better, ...}, then one record a line
    {id, config, <metric>: number, ...}."""
    content, lines = read_lines(path, "a benchmark in JSON lines")
    objects = [(f"{path}, line {number}", line) for number, line in lines if not line.startswith("#")]
    if not objects:
        raise BadBenchmark(f"{path}: holds no record, wanted one JSON object a line, the header first")
    header, *records = [_object(where, line) for where, line in objects]
    if header.get("schema") != 1:
        raise BadBenchmark(f"{path}: schema {header.get('schema')!r}, this version reads schema 1; update the toolkit")
    return Table(path, content, header, objects[0][0]).benchmark(records, name, metric)


def _object(where: str, line: str) -> dict[str, Any]:
    return dict(as_mapping(parse_json(line.encode(), where, "one JSON object a line"), where))
