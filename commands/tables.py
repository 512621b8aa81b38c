"""Tables of plain text: rows laid out for the width of the terminal that shows them.

Nothing in a cell is markup, and nothing of it is ever cut. What is too wide is wrapped between words, then set in
several blocks under each other, then as one record per paragraph. Formulas are numbered and stand whole in a list.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.cells import cell_len

from storage.text import literal

READABLE = 24  # characters below which a column of text is not squeezed


class Interval(NamedTuple):
    """A 95% interval; two columns for machines."""

    low: float
    high: float

    @classmethod
    def of(cls, ends: Sequence[float] | None) -> Interval | None:
        """The interval of a record that has one."""
        return cls(*ends) if ends else None


@dataclass(frozen=True)
class Formula:
    """Scorer of a row: a formula with its sign, shown by number, or a baseline, shown by name."""

    text: str
    sign: int = 1
    numbered: bool = True


class Score(float):
    """A score of any size, shown with six digits."""


Cell = str | int | float | Interval | Formula | None
Row = dict[str, Cell]


def plain(value: Cell) -> str:
    """A cell as text."""
    match value:
        case None:
            return "-"
        case Interval(low, high):
            return f"{low:.3f}..{high:.3f}"
        case Formula(text):
            return literal(text)
        case Score():
            return f"{value:.6g}"
        case float():
            return f"{value:.3f}"
    return literal(str(value))


def names_of(rows: Sequence[Row]) -> list[str]:
    """The columns of all rows, in the order of their first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row))


def is_number(rows: Sequence[Row], name: str) -> bool:
    """True if a column holds figures only."""
    return all(isinstance(row.get(name), int | float | Interval | None) for row in rows)


def table(rows: Sequence[Row], title: str, width: int) -> str:
    """The rows under a title, in lines of at most `width` characters as far as words allow; formulas below."""
    cells = [cell for row in rows for cell in row.values() if isinstance(cell, Formula) and cell.numbered]
    numbers = {formula: str(place) for place, formula in enumerate(dict.fromkeys(cells), start=1)}
    columns = [_Column.create(rows, name, numbers) for name in names_of(rows)]
    lines = textwrap.wrap(literal(title), width, break_long_words=False, break_on_hyphens=False)
    blocks = _side_by_side(columns, width) if columns else []
    if not columns:
        lines.append("nothing to show")
    elif blocks is None:
        lines += _records(columns, width)
    else:
        for place, (block, gap) in enumerate(blocks):
            lines += ([""] if place else []) + _lines(block, gap)
    for formula, number in numbers.items():
        start = f"{number:>{len(str(len(numbers)))}}  {formula.sign:+d}  "
        lines += [""] * (number == "1") + hanging(literal(formula.text), start, width)
    return "".join(f"{line.rstrip()}\n" for line in lines)


@dataclass(frozen=True)
class _Column:
    """The heading and cells of a column as text, and how wide they are set."""

    heading: str
    cells: tuple[str, ...]
    right: bool
    width: int
    least: int

    @classmethod
    def create(cls, rows: Sequence[Row], name: str, numbers: Mapping[Formula, str]) -> _Column:
        found = [row.get(name) for row in rows]
        cells = tuple(numbers[x] if isinstance(x, Formula) and x.numbered else plain(x) for x in found)
        piece = max(map(len, re.split(r"\s|(?<=[-_])", name)))
        natural = max(piece, *map(cell_len, cells))
        words = [cell_len(word) for cell in cells for word in cell.split()]
        return cls(name, cells, is_number(rows, name), natural, min(natural, max(piece, READABLE, *words, 0)))

    def stacked(self, text: str, hyphens: bool = False) -> list[str]:
        """A heading or cell in lines of its width."""
        if hyphens:  # a heading, which may be broken behind an underscore too
            text = text.replace("_", "_ ")
        found = textwrap.wrap(text, self.width, break_long_words=False, break_on_hyphens=hyphens) or [""]
        found = [line.replace("_ ", "_") for line in found]
        pads = [" " * (self.width - cell_len(line)) for line in found]
        return [pad + line if self.right else line + pad for pad, line in zip(pads, found, strict=True)]


Block = tuple[list[_Column], int]


def _side_by_side(columns: Sequence[_Column], width: int) -> list[Block] | None:
    """One block of all columns or several blocks, each with the first column, whichever has fewer lines; None where
    two columns do not fit."""
    whole = next(([(fitting, gap)] for gap in (2, 1) if (fitting := _squeezed(columns, width, gap))), None)
    parts = _in_blocks(columns, width)
    if whole is None or parts is None:
        return whole or parts
    return min(whole, parts, key=_height)


def _height(blocks: Sequence[Block]) -> int:
    """Number of lines, with an empty one between two blocks."""
    return sum(len(_lines(block, gap)) + 1 for block, gap in blocks)


def _in_blocks(columns: Sequence[_Column], width: int) -> list[Block] | None:
    """Blocks of as many columns as fit, each with the first column; None where two columns do not fit."""
    key, *rest = columns
    if not rest:
        return None
    blocks = list[Block]()
    while rest:
        count = next((n for n in range(len(rest), 1, -1) if _total([key, *rest[:n]], 2) <= width), 1)
        block = _squeezed([key, *rest[:count]], width, 2)
        if block is None:
            return None
        blocks.append((block, 2))
        rest = rest[count:]
    return blocks


def _squeezed(columns: Sequence[_Column], width: int, gap: int) -> list[_Column] | None:
    """The columns with the widest texts wrapped until all fit; None if they cannot."""
    widths = [column.width for column in columns]
    while sum(widths) + gap * (len(widths) - 1) > width:
        spare = [(wide, place) for place, wide in enumerate(widths) if wide > columns[place].least]
        if not spare:
            return None
        widths[max(spare)[1]] -= 1
    return [_Column(c.heading, c.cells, c.right, wide, c.least) for c, wide in zip(columns, widths, strict=True)]


def _total(columns: Sequence[_Column], gap: int) -> int:
    return sum(column.width for column in columns) + gap * (len(columns) - 1)


def _lines(columns: Sequence[_Column], gap: int) -> list[str]:
    headings = [column.stacked(column.heading, hyphens=True) for column in columns]
    height = max(map(len, headings))
    rows = [[[" " * c.width] * (height - len(h)) + h for c, h in zip(columns, headings, strict=True)]]
    rows += [[column.stacked(column.cells[i]) for column in columns] for i in range(len(columns[0].cells))]
    lines = []
    for row in rows:
        for place in range(max(map(len, row))):
            parts = [cell[place] if place < len(cell) else " " * c.width for c, cell in zip(columns, row, strict=True)]
            lines.append((" " * gap).join(parts))
    return lines


def _records(columns: Sequence[_Column], width: int) -> list[str]:
    """One record per paragraph, a line per field."""
    room = max(len(column.heading) for column in columns)
    lines = []
    for place in range(len(columns[0].cells)):
        for column in columns:
            lines += hanging(column.cells[place], f"{column.heading:{room}}  ", width)
        lines.append("")
    return lines[:-1]


def hanging(text: str, start: str, width: int) -> list[str]:
    """A text behind `start`, wrapped between words, its further lines indented as far."""
    return textwrap.wrap(
        text,
        max(width, len(start) + 1),
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [start]
