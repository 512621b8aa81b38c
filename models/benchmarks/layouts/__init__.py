"""The layouts a benchmark is read from; a path is recognised by the files it holds."""

from __future__ import annotations

from pathlib import Path

from models.benchmarks.benchmark import BadBenchmark, Benchmark
from models.benchmarks.layouts.glue import GLUE_FILE, load_glue_json
from models.benchmarks.layouts.jsonl import load_jsonl
from models.benchmarks.layouts.perplexity import SUMMARY, load_perplexity_folder

__all__ = ["read_benchmark"]


def read_benchmark(path: Path, name: str | None = None, metric: str | None = None) -> Benchmark:
    """Read a folder of a published layout, a `.json` file of the GLUE layout, or a `.jsonl` file of our own."""
    name = name or path.stem
    if path.is_file() and path.suffix == ".jsonl":
        return load_jsonl(path, name, metric)
    if path.is_file() and path.suffix == ".json":
        return load_glue_json(path, name, metric)
    if (path / SUMMARY).is_file():
        return load_perplexity_folder(path, name, metric)
    if (path / GLUE_FILE).is_file():
        return load_glue_json(path, name, metric)
    if path.is_dir() and (tables := sorted(path.glob("*.jsonl"))):
        return load_jsonl(tables[0], name, metric)
    raise BadBenchmark(
        f"{path}: no benchmark here, wanted a folder with {SUMMARY} or {GLUE_FILE}, or a .json or .jsonl file"
    )
