"""A table as spreadsheets write it: CSV with a column for each field, and what is measured said in lines before it.

    # space: gpt2
    # metric: loss
    # higher_is_better: false
    id,n_layer,d_model,n_head,d_inner,loss
    small,2,64,2,256,3.91
    large,4,128,4 4 8 8,512 512 256 256,3.52

Values of single blocks are separated by blanks, one value stands for all blocks, and an empty cell says nothing.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.benchmarks.benchmark import BadBenchmark, Benchmark
from models.benchmarks.layouts.fields import FIELDS, PER_BLOCK
from models.benchmarks.layouts.table import Table, read_lines
from models.spaces import SPACES

__all__ = ["load_columns"]

WHAT = "a benchmark in CSV"
FLAGS = {"true": True, "false": False}
HEADER = ("space", "metric", "higher_is_better")
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")


def load_columns(path: Path, name: str, metric: str | None) -> Benchmark:
    """A CSV file with `id`, the fields of its space and the measured values in columns."""
    content, lines = read_lines(path, WHAT)
    header = _header([line for _, line in lines if line.startswith("#")], path)
    body = [(number, line) for number, line in lines if not line.startswith("#")]
    rows = _cells([line for _, line in body], path)
    names = [cell.strip() for cell in rows[0]] if rows else []
    if "id" not in names or len(set(names)) != len(names):
        raise BadBenchmark(f"{path}: got the columns {', '.join(names)[:200]}, wanted distinct ones, id among them")
    if str(header["space"]) in set(SPACES) - set(FIELDS):
        raise BadBenchmark(f"{path}: space: got {header['space']}, wanted {', '.join(FIELDS)}; write it as JSON lines")
    records = []
    for (number, _), cells in zip(body[1:], rows[1:], strict=True):
        if len(cells) != len(names):
            raise BadBenchmark(
                f"{path}, line {number}: got {len(cells)} cells, wanted {len(names)} as in the first row"
            )
        records.append(_record(dict(zip(names, cells, strict=True)), str(header["space"])))
    return Table(path, content, header, f"{path}, the lines with #").benchmark(records, name, metric)


def _header(comments: Sequence[str], path: Path) -> dict[str, Any]:
    """What the lines `# name: value` say; other comments say nothing."""
    said = {name.strip(): value.strip() for name, _, value in (line.lstrip("# ").partition(":") for line in comments)}
    if missing := [name for name in HEADER if name not in said]:
        example = "# space: gpt2, # metric: loss and # higher_is_better: false"
        raise BadBenchmark(f"{path}: {missing[0]} is missing, wanted lines such as {example} before the columns")
    higher = said["higher_is_better"]
    return {"space": said["space"], "metric": said["metric"], "higher_is_better": FLAGS.get(higher.lower(), higher)}


def _cells(lines: Sequence[str], path: Path) -> list[list[str]]:
    """The rows of a table with commas, or with semicolons where its first row has no comma."""
    delimiter = ";" if lines and ";" in lines[0] and "," not in lines[0] else ","
    try:
        rows = list(csv.reader((line.rstrip("\r") for line in lines), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise BadBenchmark(f"{path}: no valid CSV ({error}); a record is one line") from None
    if len(rows) != len(lines):
        raise BadBenchmark(f"{path}: got a quoted line break, wanted a line for each record")
    return rows


def _record(cells: Mapping[str, str], space: str) -> dict[str, Any]:
    fields = FIELDS.get(space, set())
    config = {key: _field(key, cell, space) for key, cell in cells.items() if key in fields and cell.strip()}
    measured = {key: _value(cell.strip()) for key, cell in cells.items() if key not in fields}
    return {**measured, "id": cells["id"].strip(), "config": config}


def _field(name: str, cell: str, space: str) -> Any:
    """A number, a word, or a list of them where the field has one for each block."""
    values = [_value(part) for part in cell.split()]
    if len(values) > 1 or name == "cutoffs" or (name in PER_BLOCK.get(space, ()) and not isinstance(values[0], int)):
        return values
    return values[0]


def _value(text: str) -> Any:
    """A number, true or false, else the text itself."""
    if text.lower() in FLAGS:
        return FLAGS[text.lower()]
    if re.fullmatch(r"[-+]?[0-9]{1,18}", text):
        return int(text)
    return float(text) if NUMBER.fullmatch(text) and len(text) < 60 else text
