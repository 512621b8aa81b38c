"""The published layout of FlexiBERT results: `BERT_benchmark.json`, a list of records with scores and hparams
(Serianni and Kalita, ACL 2023, arXiv 2306.00288, data CC BY 4.0)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.benchmarks.benchmark import MAX_FILE, BadBenchmark, Benchmark, choose_metric, finish, place
from storage.files import BadFile, digest_of, parse_json, read_limited

__all__ = ["GLUE_FILE", "glue_configs", "load_glue_json"]

GLUE_FILE = "BERT_benchmark.json"
WHAT = "a list of FlexiBERT records"
REMEDY = "correct or remove the record"

# Our spelling of the published operation_type and operation_parameter.
OPERATIONS: dict[tuple[Any, Any], str] = {
    ("SA", "SDP"): "SDP",
    ("SA", "WMA"): "WMA",
    ("LT", "DFT"): "DFT",
    ("LT", "DCT"): "DCT",
    ("DSC", 5): "DSC5",
    ("DSC", 9): "DSC9",
}


def load_glue_json(path: Path, name: str | None = None, metric: str | None = None) -> Benchmark:
    """Read a `BERT_benchmark.json`, or the folder that holds it; every metric is better when higher.

    `metric` is "glue" (the mean, the default) or one task of the file, in points of 0 to 100. BadBenchmark
    names a bad record by index and id; BadFile names a file that cannot be read.
    """
    name = name or path.stem
    file = path / GLUE_FILE if path.is_dir() else path
    content = read_limited(file, MAX_FILE, WHAT)
    records = _records(content, file, name)
    metric = choose_metric(metric, "glue", _metrics(records), name)
    rows: list[tuple[Any, Mapping[str, Any], Any]] = []
    for i, record in enumerate(records):
        where = _where(name, i, record)
        rows.append((_field(record, "id", where), _config(record, where), _field(record, f"scores.{metric}", where)))
    return finish(name, "flexibert", metric, True, rows, digest_of([(GLUE_FILE, content)]))


def glue_configs(path: Path) -> list[tuple[Any, Mapping[str, Any]]]:
    """(id, configuration) of every record of a file, or of the folder that holds it; what was measured is not read."""
    file = path / GLUE_FILE if path.is_dir() else path
    records = _records(read_limited(file, MAX_FILE, WHAT), file, path.stem)
    places = [_where(path.stem, i, record) for i, record in enumerate(records)]
    return [(_field(r, "id", where), _config(r, where)) for r, where in zip(records, places, strict=True)]


def _records(content: bytes, file: Path, name: str) -> list[Any]:
    try:
        records = parse_json(content, str(file), WHAT)
    except BadFile as error:
        if "is not a JSON number" in str(error) and (where := _not_finite(content, name)) is not None:
            raise BadBenchmark(f"{where}: got NaN or Infinity, wanted finite numbers; {REMEDY}") from error
        raise
    if not isinstance(records, list):
        raise BadBenchmark(f"{file}: got {type(records).__name__}, wanted {WHAT}; restore the file")
    return records


def _not_finite(content: bytes, name: str) -> str | None:
    """The first record that holds NaN or Infinity: not JSON, but Python's own writer makes them."""
    with contextlib.suppress(ValueError, RecursionError):
        for i, record in enumerate(json.loads(content)):
            try:
                json.dumps(record, allow_nan=False)
            except ValueError:
                return _where(name, i, record)
    return None


def _metrics(records: list[Any]) -> list[str]:
    scores = [record.get("scores") for record in records if isinstance(record, dict)]
    return sorted({"glue", *(key for row in scores if isinstance(row, dict) for key in row)})


def _where(name: str, index: int, record: Any) -> str:
    return place(name, index, record.get("id") if isinstance(record, dict) else None)


def _field(record: Any, path: str, where: str) -> Any:
    """The value at a dotted path of keys; the first missing part is named."""
    value, seen = record, ""
    for key in path.split("."):
        seen = f"{seen}.{key}" if seen else key
        if not isinstance(value, dict) or key not in value:
            raise BadBenchmark(f"{where}: {seen}: missing; {REMEDY}")
        value = value[key]
    return value


def _config(record: Any, where: str) -> dict[str, Any]:
    """Our configuration; its values are checked by the space, which names the bad ones."""
    overrides = "hparams.model_hparam_overrides"
    layers = _field(record, f"{overrides}.nas_config.encoder_layers", where)
    if not isinstance(layers, list):
        raise BadBenchmark(f"{where}: encoder_layers: got {layers!r}, wanted a list; {REMEDY}")
    places = [f"{where}: encoder_layers[{i}]" for i in range(len(layers))]
    config: dict[str, Any] = {
        key: [_field(layer, published, place) for layer, place in zip(layers, places, strict=True)]
        for key, published in (
            ("heads", "num_operation_heads"),
            ("ffn_dim", "feed_forward_dimension"),
            ("ffn_stack", "num_feed_forward"),
        )
    }
    config["operation"] = [_operation(layer, place) for layer, place in zip(layers, places, strict=True)]
    return {**config, "hidden_size": _field(record, f"{overrides}.hidden_size", where)}


def _operation(layer: Any, where: str) -> str:
    """Our name of the operation; an unknown pair passes through, for the space to refuse."""
    kind, parameter = _field(layer, "operation_type", where), _field(layer, "operation_parameter", where)
    known = isinstance(kind, str) and isinstance(parameter, str | int)
    return OPERATIONS.get((kind, parameter), f"{kind} {parameter!r}") if known else f"{kind!r} {parameter!r}"
