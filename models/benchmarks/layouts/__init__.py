"""The layouts a benchmark is read from; a path is recognised by the files it holds."""

from __future__ import annotations

from pathlib import Path

from models.benchmarks.benchmark import BadBenchmark, Benchmark
from models.benchmarks.layouts.columns import load_columns
from models.benchmarks.layouts.frame import load_parquet
from models.benchmarks.layouts.glue import GLUE_FILE, load_glue_json
from models.benchmarks.layouts.grid import GRID_FILE, load_grid
from models.benchmarks.layouts.jsonl import load_jsonl
from models.benchmarks.layouts.perplexity import SUMMARY, load_perplexity_folder

__all__ = ["read_benchmark"]


READERS = {".jsonl": load_jsonl, ".json": load_glue_json, ".csv": load_columns, ".parquet": load_parquet}


def read_benchmark(path: Path, name: str | None = None, metric: str | None = None) -> Benchmark:
    """Read a folder or a `.json` file of a published layout, or a `.jsonl`, `.csv` or `.parquet` file of our own."""
    name = name or path.stem
    if path.name == GRID_FILE or (path / GRID_FILE).is_file():
        return load_grid(path, name, metric)
    if path.is_file() and path.suffix in READERS:
        return READERS[path.suffix](path, name, metric)
    if (path / SUMMARY).is_file():
        return load_perplexity_folder(path, name, metric)
    if (path / GLUE_FILE).is_file():
        return load_glue_json(path, name, metric)
    if path.is_dir() and (tables := sorted(path.glob("*.jsonl")) + sorted(path.glob("*.csv"))):
        return read_benchmark(tables[0], name, metric)
    raise BadBenchmark(
        f"{path}: no benchmark here, wanted a folder with {SUMMARY}, {GLUE_FILE} or {GRID_FILE}, or a .json, .jsonl, "
        ".csv or .parquet file"
    )
