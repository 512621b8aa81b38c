"""Our own layout: one JSON object a line, the header first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.benchmarks.benchmark import MAX_FILE, BadBenchmark, Benchmark, as_mapping, choose_metric, finish
from models.spaces import SPACES
from storage.files import digest_of, parse_json, read_limited

__all__ = ["load_jsonl"]

MAX_RECORDS = 50_000


def load_jsonl(path: Path, name: str, metric: str | None) -> Benchmark:
    """Our own layout: a header line {schema, space, metric, higher_is_better, ...}, then one record a line
    {id, config, <metric>: number, ...}."""
    content = read_limited(path, MAX_FILE, "a benchmark in JSON lines")
    lines = content.splitlines()
    if len(lines) > MAX_RECORDS:
        raise BadBenchmark(f"{path}: got {len(lines):,} lines, wanted at most {MAX_RECORDS:,}; give the right file")
    what = "one JSON object a line"
    header = as_mapping(parse_json(lines[0] if lines else b"", f"{path}, line 1", what), f"{path}, line 1")
    if header.get("schema") != 1:
        raise BadBenchmark(f"{path}: schema {header.get('schema')!r}, this version reads schema 1; update the toolkit")
    space, default, higher = header.get("space"), header.get("metric"), header.get("higher_is_better")
    if space not in SPACES:
        raise BadBenchmark(f"{path}, line 1: space: got {space!r}, wanted one of {', '.join(SPACES)}")
    if not isinstance(default, str) or not isinstance(higher, bool):
        raise BadBenchmark(f"{path}, line 1: wanted metric (a text) and higher_is_better (true or false)")
    _check_ceiling(header.get("noise_ceiling"), f"{path}, line 1: noise_ceiling")
    records = [
        as_mapping(parse_json(line, f"{path}, line {i}", what), f"{path}, line {i}")
        for i, line in enumerate(lines[1:], start=2)
        if line.strip()
    ]
    numeric = sorted({k for r in records for k, v in r.items() if isinstance(v, float | int)} | {default})
    metric = choose_metric(metric, default, numeric, name)
    rows = [
        (str(r.get("id")), as_mapping(r.get("config"), f"{name}: record {i}"), r.get(metric))
        for i, r in enumerate(records)
    ]
    return finish(name, space, metric, higher, rows, digest_of([(path.name, content)]), header)


def _check_ceiling(ceiling: Any, where: str) -> None:
    """What a perfect oracle would reach is optional; if it is there, it is two correlations."""
    if ceiling is None:
        return
    for name in ("spearman", "kendall"):
        value = as_mapping(ceiling, where).get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not -1 <= value <= 1:
            raise BadBenchmark(f"{where}: {name}: wanted a number from -1 to 1; correct or remove it")
