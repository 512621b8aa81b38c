"""A table as spreadsheets write it: CSV with a column for each field, and what is measured said in lines before it.

    # space: gpt2
    # metric: loss
    # higher_is_better: false
    id,n_layer,d_model,n_head,d_inner,loss
    small,2,64,2,256,3.91
    large,4,128,4 4 8 8,512 512 256 256,3.52

Values of single blocks are separated by blanks, or stand in brackets as [4, 4, 8, 8]; one value stands for all blocks,
and an empty cell says nothing. What spreadsheets make of such a table is read as well (`sheet.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.benchmarks.benchmark import BadBenchmark, Benchmark
from models.benchmarks.layouts.fields import ALIASES, FIELDS, PER_BLOCK
from models.benchmarks.layouts.sheet import FLAGS, Sheet, numeric, parts_of, read_sheet
from models.benchmarks.layouts.table import Table, read_lines
from models.spaces import SPACES

__all__ = ["load_columns"]

WHAT = "a benchmark in CSV"
HEADER = ("space", "metric", "higher_is_better")


def load_columns(path: Path, name: str, metric: str | None) -> Benchmark:
    """A CSV file with `id`, the fields of its space and the measured values in columns."""
    content, lines = read_lines(path, WHAT)
    sheet = read_sheet(lines, path)
    header = _header(sheet.said, path)
    names = sheet.rows[0][1] if sheet.rows else []
    if "" in names:
        raise BadBenchmark(f"{path}: column {names.index('') + 1} has no name; name it or remove it")
    if "id" not in names or len(set(names)) != len(names):
        raise BadBenchmark(f"{path}: got the columns {', '.join(names)[:200]}, wanted distinct ones, id among them")
    space = str(header["space"])
    if space in set(SPACES) - set(FIELDS):
        raise BadBenchmark(f"{path}: space: got {space}, wanted {', '.join(FIELDS)}; write it as JSON lines")
    records = [_record(dict(zip(names, cells, strict=True)), space, sheet) for _, cells in sheet.rows[1:]]
    return Table(path, content, header, f"{path}, the lines with #").benchmark(records, name, metric)


def _header(said: Mapping[str, str], path: Path) -> dict[str, Any]:
    """Header fields from the comment lines `# name: value`."""
    if missing := [name for name in HEADER if name not in said]:
        example = "# space: gpt2, # metric: loss and # higher_is_better: false"
        raise BadBenchmark(f"{path}: {missing[0]} is missing, wanted lines such as {example} before the columns")
    higher = said["higher_is_better"]
    return {"space": said["space"], "metric": said["metric"], "higher_is_better": FLAGS.get(higher.lower(), higher)}


def _record(cells: Mapping[str, str], space: str, sheet: Sheet) -> dict[str, Any]:
    fields = FIELDS.get(space, set())
    config = {key: _field(key, cell, space, sheet) for key, cell in cells.items() if key in fields and cell}
    measured = {key: numeric(cell, sheet.comma) for key, cell in cells.items() if key not in fields}
    return {**measured, "id": cells["id"], "config": config}


def _field(name: str, cell: str, space: str, sheet: Sheet) -> Any:
    """A number, a word, or a list of them where the field has one for each block."""
    if (ours := ALIASES.get(space, {}).get(name, name)) not in ("cutoffs", *PER_BLOCK.get(space, ())):
        return numeric(cell, sheet.comma)
    values = [numeric(part) for part in parts_of(cell)]
    single = len(values) == 1 and ours != "cutoffs" and isinstance(values[0], int) and cell[0] not in "[("
    return values[0] if single else values
