"""Space, metric and direction of a table without a header, such as a data frame or a CSV file without comments, found
by the names of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.benchmarks.benchmark import BadBenchmark
from models.benchmarks.layouts.fields import ALIASES, FIELDS, PER_BLOCK, REQUIRED

__all__ = ["completed", "records_of", "space_of"]

BESIDE = (
    "id",
    "tokens",
    "sd",
    "split",
    "seed",
    "params",
    "seconds",
    "depth",
    "width",
    "predicted",
    "predicted_low",
    "predicted_high",
    "note",  # of `suggest`
)
"""The columns that are neither fields nor a metric."""
LOWER = ("loss", "ppl", "perplexity", "error", "mse", "bits", "bpb", "nats")
HIGHER = ("acc", "accuracy", "score", "f1", "glue", "auc", "bleu", "quality")
INDEX = ("", "Unnamed: 0")  # what pandas calls a column of row numbers


def space_of(columns: Sequence[str], where: str) -> str:
    """The space whose fields a table has; BadBenchmark where none or several fit."""
    ours = {space: {ALIASES.get(space, {}).get(name, name) for name in columns} for space in FIELDS}
    found = [space for space, names in REQUIRED.items() if set(names) <= ours[space]]
    narrower = [s for s in found if not any(set(REQUIRED[s]) < set(REQUIRED[other]) for other in found)]
    own = [s for s in narrower if set(PER_BLOCK[s]) & ours[s]] if len(narrower) > 1 else narrower
    if len(own) != 1:
        wanted = "; ".join(f"{space}: {', '.join(names)}" for space, names in REQUIRED.items())
        raise BadBenchmark(
            f"{where}: nothing says the space, and the columns {', '.join(columns)[:200]} are not those of one; wanted "
            f"columns such as {wanted}; or the space, as --space or in a line '# space: NAME' before the columns"
        )
    return own[0]


def completed(said: Mapping[str, Any], columns: Sequence[str], metric: str | None, where: str) -> dict[str, Any]:
    """The header: what is said, and the rest by the columns; a name without its value is refused."""
    if empty := [name for name in ("space", "metric") if said.get(name) == ""]:
        raise BadBenchmark(f"{where}: {empty[0]}: got nothing, wanted a name; fill it in, or remove the line")
    space = said.get("space") or space_of(columns, where)
    metric = said.get("metric") or metric or _metric(columns, str(space), where)
    higher = said.get("higher_is_better")
    return {
        "space": space,
        "metric": metric,
        "higher_is_better": _direction(metric, where) if higher is None else higher,
    }


def _metric(columns: Sequence[str], space: str, where: str) -> str:
    known = {*FIELDS.get(space, ()), *BESIDE, *INDEX}
    found = [name for name in columns if name not in known]
    if len(found) != 1:
        got = f"the columns {', '.join(found)}" if found else "no column of measured values"
        raise BadBenchmark(
            f"{where}: nothing says the metric: got {got}, wanted one, or its name, as --metric or in a line "
            "'# metric: NAME' before the columns"
        )
    return found[0]


def _direction(metric: str, where: str) -> bool:
    """By words of the metric's name."""
    words = metric.lower().replace("-", "_").split("_")
    lower, higher = (any(word in names for word in words) for names in (LOWER, HIGHER))
    if lower == higher:
        raise BadBenchmark(
            f"{where}: nothing says whether more {metric} is better, wanted a line '# higher_is_better: false' (or "
            "true) before the columns"
        )
    return higher


def records_of(rows: Sequence[Mapping[str, Any]], space: str, where: str) -> list[dict[str, Any]]:
    """Records with id, config and measured values, of rows with a value for each column; a cell without a value says
    nothing."""
    return [
        _record({k: v for k, v in row.items() if k == "id" or not _missing(v)}, space, i, where)
        for i, row in enumerate(rows)
    ]


def _record(row: Mapping[str, Any], space: str, index: int, where: str) -> dict[str, Any]:
    fields = FIELDS.get(space, set())
    if not fields:
        raise BadBenchmark(f"{where}: space: got {space}, wanted {', '.join(FIELDS)}; write it as JSON lines")
    config = {name: _whole(value) for name, value in row.items() if name in fields}
    id = row.get("id", next((row[name] for name in INDEX if name in row), index))
    measured = {name: value for name, value in row.items() if name not in fields and name not in INDEX}
    return {**measured, "id": _whole(id), "config": config}


def _missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and value != value)


def _whole(value: Any) -> Any:
    """Whole numbers that a column with gaps holds as floats, in lists too."""
    if isinstance(value, list | tuple):
        return [_whole(entry) for entry in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value
