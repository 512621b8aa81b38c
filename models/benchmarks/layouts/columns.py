"""A table as spreadsheets write it: CSV with a column for each field, and what is measured said in lines before it.

    # space: gpt2
    # metric: loss
    # higher_is_better: false
    id,n_layer,d_model,n_head,d_inner,loss
    small,2,64,2,256,3.91
    large,4,128,4 4 8 8,512 512 256 256,3.52

Values of single blocks are separated by blanks, or stand in brackets as [4, 4, 8, 8]; one value stands for all blocks,
and an empty cell says nothing. What no line with # says is found by the names of the columns (`unsaid.py`), as in a
table that pandas wrote, whose column of row numbers stands for missing ids. What spreadsheets make of such a table is
read as well (`sheet.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.benchmarks.benchmark import BadBenchmark, Benchmark
from models.benchmarks.layouts.fields import ALIASES, FIELDS, PER_BLOCK
from models.benchmarks.layouts.sheet import FLAGS, Sheet, numeric, parts_of, read_sheet
from models.benchmarks.layouts.table import Table, read_lines
from models.benchmarks.layouts.unsaid import completed, records_of, space_of

__all__ = ["column_rows", "field_columns", "field_value", "load_columns"]

WHAT = "a benchmark in CSV"


def load_columns(path: Path, name: str, metric: str | None) -> Benchmark:
    """A CSV file with the fields of its space and the measured values in columns, perhaps with `id`."""
    content, sheet, names = _read(path, WHAT)
    header = completed(_header(sheet.said), names, metric, str(path))
    space = str(header["space"])
    rows = _rows(sheet, names, space)
    table = Table(path, content, header, f"{path}, the lines with #")
    return table.benchmark(records_of(rows, space, str(path)), name, metric)


def column_rows(path: Path, space: str | None) -> tuple[str, list[dict[str, Any]]]:
    """The space and the rows of a CSV file of candidates; the space is that of the file, else `space`, else found by
    the columns."""
    _, sheet, names = _read(path, "candidates in CSV")
    own = str(sheet.said.get("space") or space or space_of(names, str(path)))
    return own, _rows(sheet, names, own)


def field_columns(path: Path, space: str) -> dict[str, str]:
    """Names of the columns of a CSV file that hold fields of a space, by the space's own names of these fields."""
    names = _read(path, WHAT)[2]
    return {ALIASES.get(space, {}).get(name, name): name for name in names if name in FIELDS.get(space, ())}


def _read(path: Path, what: str) -> tuple[bytes, Sheet, list[str]]:
    """The bytes, the sheet, and the names of its columns, of which only the first may have none."""
    content, lines = read_lines(path, what)
    sheet = read_sheet(lines, path)
    names = sheet.rows[0][1] if sheet.rows else []
    if "" in names[1:]:
        raise BadBenchmark(f"{path}: column {names.index('', 1) + 1} has no name; name it or remove it")
    if len(set(names)) != len(names):
        raise BadBenchmark(f"{path}: got the columns {', '.join(names)[:200]}, wanted distinct ones")
    return content, sheet, names


def _rows(sheet: Sheet, names: Sequence[str], space: str) -> list[dict[str, Any]]:
    rows = [zip(names, cells, strict=True) for _, cells in sheet.rows[1:]]
    return [{name: field_value(name, cell, space, sheet.comma) for name, cell in row} for row in rows]


def _header(said: Mapping[str, str]) -> dict[str, Any]:
    """Header fields from the comment lines `# name: value`."""
    higher = said.get("higher_is_better")
    return {**said, "higher_is_better": None if higher is None else FLAGS.get(higher.lower(), higher)}


def field_value(name: str, cell: Any, space: str, comma: bool = False) -> Any:
    """Value of a cell: a number, a word, or a list of them in a field that has one for each block; other
    values as they are."""
    if name == "id" or not isinstance(cell, str) or not cell:
        return cell
    ours = ALIASES.get(space, {}).get(name, name)
    if ours not in ("cutoffs", *PER_BLOCK.get(space, ())):
        return numeric(cell, comma)
    values = [numeric(part, comma) for part in parts_of(cell)]
    single = len(values) == 1 and ours != "cutoffs" and isinstance(values[0], int) and cell[0] not in "[("
    return values[0] if single else values
