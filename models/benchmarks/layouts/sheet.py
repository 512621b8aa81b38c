"""Sheet: the cells of a table as spreadsheets save it, and what numbers they write.

Commas, semicolons or tabs stand between cells. Every line is padded to the width of the table, comments too; a row may
be empty; a comment may be quoted. Where the separator is no comma, numbers may have a decimal comma.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.benchmarks.benchmark import BadBenchmark

__all__ = ["Sheet", "numeric", "parts_of", "read_sheet"]

SEPARATORS = (",", ";", "\t")
FLAGS = {"true": True, "false": False}
WHOLE = re.compile(r"[-+]?[0-9]{1,18}")
POINT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")
COMMA = re.compile(r"[-+]?([0-9]+,[0-9]+|,[0-9]+)([eE][-+]?[0-9]{1,3})?")


@dataclass(frozen=True)
class Sheet:
    """`said` are the pairs of the lines `# name: value`; `rows` are (line, cells) of the others, the names of the
    columns first, all of one width; `comma` tells whether a comma is the decimal mark."""

    said: dict[str, str]
    rows: list[tuple[int, list[str]]]
    comma: bool


def read_sheet(lines: Sequence[tuple[int, str]], path: Path) -> Sheet:
    """The sheet of numbered lines; BadBenchmark names the line that is no row of it."""
    lines = [(number, line.rstrip("\r")) for number, line in lines if not line.lower().startswith("sep=")]
    body = [(number, line) for number, line in lines if not _is_comment(line)]
    separator = max(SEPARATORS, key=lambda one: len(_cells(body[0], one, path))) if body else ","
    said = dict(_said(_cells(line, separator, path)) for line in lines if _is_comment(line[1]))
    rows = [(line[0], _cells(line, separator, path)) for line in body]
    rows = [(number, cells) for number, cells in rows if any(cells)]
    rows = _of_one_width(rows, path)
    return Sheet(said, rows, separator != "," and not _has_points(rows))


def _is_comment(line: str) -> bool:
    return line.lstrip('" ').startswith("#")


def _cells(line: tuple[int, str], separator: str, path: Path) -> list[str]:
    """The cells of one line, without blanks around them."""
    number, text = line
    try:
        rows = list(csv.reader([text], delimiter=separator, strict=not _is_comment(text), skipinitialspace=True))
    except csv.Error as error:
        raise BadBenchmark(f"{path}, line {number}: no valid CSV ({error}); a record is one line") from None
    return [cell.strip() for cell in rows[0]] if rows else []


def _said(cells: Sequence[str]) -> tuple[str, str]:
    """The name and the value of a comment, whose value may stand in a cell of its own."""
    first, *more = [cell for cell in cells if cell] or [""]
    name, _, value = first.lstrip("# ").partition(":")
    return name.strip(), value.strip() or " ".join(more)


def _of_one_width(rows: Sequence[tuple[int, list[str]]], path: Path) -> list[tuple[int, list[str]]]:
    """The rows without the empty cells behind the last column that has a name."""
    if not rows:
        return []
    width = max(place for place, name in enumerate(rows[0][1], start=1) if name)
    for number, cells in rows:
        if len(cells) < width or any(cells[width:]):
            got = max(place for place, cell in enumerate(cells, start=1) if cell or place <= width)
            raise BadBenchmark(f"{path}, line {number}: got {got} cells, wanted {width} as in the first row")
    return [(number, cells[:width]) for number, cells in rows]


def _has_points(rows: Sequence[tuple[int, list[str]]]) -> bool:
    """True if a number of the table, other than an id, has a decimal point: then a comma in another one is none."""
    places = [place for place, name in enumerate(rows[0][1]) if name != "id"] if rows else []
    return any("." in cells[place] and POINT.fullmatch(cells[place]) for _, cells in rows[1:] for place in places)


def numeric(text: str, comma: bool) -> int | float | bool | str:
    """A number, true or false, else the text itself."""
    if text.lower() in FLAGS:
        return FLAGS[text.lower()]
    if WHOLE.fullmatch(text):
        return int(text)
    if len(text) >= 60:
        return text
    if comma and COMMA.fullmatch(text):
        return float(text.replace(",", "."))
    return float(text) if POINT.fullmatch(text) else text


def parts_of(cell: str) -> list[str]:
    """The entries of a cell with one for each block: 4 4 8, or as Python and JSON write a list, [4, 4, 8]."""
    inside = re.fullmatch(r"[\[(](.*)[\])]", cell)
    parts = re.split(r"[\s,;]+", (inside[1] if inside else cell).strip(" ,;"))
    return [part.strip("'\"") for part in parts if part]
