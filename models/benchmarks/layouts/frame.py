"""Data frames (pandas) and Parquet files with a column for each field: benchmarks and candidates.

A cell of a field per block is a list, an array, a number for all blocks, or a text such as [4, 1, 2]. Pandas is an
extra; only Parquet files need it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from models.benchmarks.benchmark import MAX_FILE, BadBenchmark, Benchmark
from models.benchmarks.layouts.columns import field_value
from models.benchmarks.layouts.table import MAX_RECORDS, Table
from models.benchmarks.layouts.unsaid import completed, records_of
from storage.files import read_limited

__all__ = ["DataFrameLike", "frame_benchmark", "frame_rows", "load_parquet", "parquet_rows"]

EXTRA = "wanted pandas with pyarrow: pip install 'pandas>=2' 'pyarrow>=15'; or save it as CSV"


class DataFrameLike(Protocol):
    """A data frame, as pandas has it."""

    columns: Any

    def to_dict(self, orient: Any) -> Any: ...


def frame_rows(frame: DataFrameLike, where: str) -> list[dict[str, Any]]:
    """The rows as plain values, without what is missing."""
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        raise BadBenchmark(f"{where}: got the columns {', '.join(names)[:200]}, wanted distinct ones")
    rows = frame.to_dict("records")
    if len(rows) > MAX_RECORDS:
        raise BadBenchmark(f"{where}: got {len(rows):,} rows, wanted at most {MAX_RECORDS:,}")
    return [{str(name): _plain(value) for name, value in row.items()} for row in rows]


def frame_benchmark(
    frame: DataFrameLike,
    space: str | None,
    metric: str | None,
    higher: bool | None,
    name: str,
    content: bytes | None = None,
) -> Benchmark:
    """A benchmark of a data frame; what is not said is found by the names of its columns."""
    rows = frame_rows(frame, name)
    said = {"space": space, "metric": metric, "higher_is_better": higher}
    header = completed(said, [str(c) for c in frame.columns], metric, name)
    rows = [{key: field_value(key, value, header["space"]) for key, value in row.items()} for row in rows]
    content = content or json.dumps([header, rows], sort_keys=True, default=str).encode()
    return Table(Path(name), content, header, name).benchmark(records_of(rows, header["space"], name), name, metric)


def load_parquet(path: Path, name: str, metric: str | None) -> Benchmark:
    """A Parquet file with a column for each field."""
    content = read_limited(path, MAX_FILE, "a benchmark in Parquet")
    return frame_benchmark(_read(path), None, metric, None, name, content)


def parquet_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a Parquet file."""
    read_limited(path, MAX_FILE, "candidates in Parquet")
    return frame_rows(_read(path), str(path))


def _read(path: Path) -> DataFrameLike:
    try:
        import pandas
        import pyarrow
    except ImportError:
        raise BadBenchmark(f"{path}: got a Parquet file, {EXTRA}") from None
    try:
        return pandas.read_parquet(path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise BadBenchmark(f"{path}: no Parquet file that can be read ({error}); write it again") from None


def _plain(value: Any) -> Any:
    """A value without the types of NumPy."""
    return _plain(value.tolist()) if hasattr(value, "tolist") else value
