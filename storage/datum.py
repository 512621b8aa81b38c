"""Datum: a value inside plain data together with its place in the file, so that every error says where it was, what was
found and what was expected. All data read from files is validated here first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeGuard

__all__ = ["Datum", "is_number", "is_whole"]

_DEPTH = 8  # levels of nesting that any of our files needs
_NAME = 200  # characters


def is_whole(value: object) -> TypeGuard[int]:
    """True for a whole number; True and False are not, and 1.0 is not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[int | float]:
    """True for a number, perhaps infinite; True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Datum:
    """`value` at `where`; every refusal raises `error`."""

    where: str
    value: Any
    error: type[ValueError]

    def refuse(self, wanted: str) -> ValueError:
        """The error to raise."""
        kinds = {"dict": "an object", "list": "a list"}
        shown = kinds.get(type(self.value).__name__) or repr(self.value)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        return self.error(f"{self.where}: got {shown}, wanted {wanted}")

    def __getitem__(self, key: str) -> Datum:
        """The field called `key` of an object."""
        data = self.mapping()
        if key not in data:
            raise self.error(f"{self.where}: {key} is missing")
        return Datum(f"{self.where}: {key}", data[key], self.error)

    def mapping(self) -> dict[str, Any]:
        """An object."""
        if not isinstance(self.value, dict):
            raise self.refuse("an object")
        return self.value

    def only(self, *known: str) -> None:
        """Refuse an object with fields beyond the `known` ones."""
        for key in self.mapping():
            if key not in known:
                raise self.error(f"{self.where}: got the field {key[:60]!r}, wanted {', '.join(known)}")

    def entries(self) -> Iterator[tuple[str, Datum]]:
        """The fields of an object whose names are free."""
        for key in self.mapping():
            yield Datum(f"{self.where}: a name", key, self.error).text(), self[key]

    def items(self, limit: int) -> Iterator[Datum]:
        """The entries of a list of at most `limit`."""
        if not isinstance(self.value, list):
            raise self.refuse("a list")
        if len(self.value) > limit:
            raise self.error(f"{self.where}: got {len(self.value):,} entries, wanted at most {limit:,}")
        return (Datum(f"{self.where}[{i}]", value, self.error) for i, value in enumerate(self.value))

    def integer(self, low: int = 0, high: int = 2**63 - 1) -> int:
        """An integer from `low` to `high`."""
        if not is_whole(self.value) or not low <= self.value <= high:
            raise self.refuse(f"a whole number from {low:,} to {high:,}")
        return self.value

    def number(self) -> float:
        """A finite number."""
        if not is_number(self.value):
            raise self.refuse("a number")
        if not abs(self.value) < math.inf or abs(self.value) > 1e308:  # an int may be too large for a float
            raise self.refuse("a finite number")
        return float(self.value)

    def text(self, limit: int = _NAME) -> str:
        """A text of at most `limit` characters that a terminal can show: no control characters."""
        if not isinstance(self.value, str) or len(self.value) > limit or not self.value.isprintable():
            raise self.refuse(f"a text of at most {limit:,} printable characters")
        return self.value

    def optional_text(self, limit: int = _NAME) -> str | None:
        """A text, or null."""
        return None if self.value is None else self.text(limit)

    def flag(self) -> bool:
        """true or false."""
        if not isinstance(self.value, bool):
            raise self.refuse("true or false")
        return self.value

    def sign(self) -> int:
        """1 or -1."""
        if not is_whole(self.value) or self.value not in (1, -1):
            raise self.refuse("1 or -1")
        return self.value

    def counts(self) -> dict[str, int]:
        """Integers by name."""
        return {key: item.integer() for key, item in self.entries()}

    def plain(self, depth: int = _DEPTH) -> Any:
        """Anything JSON can hold, with finite numbers, printable texts and bounded depth."""
        if depth == 0:
            raise self.error(f"{self.where}: nested too deeply, wanted at most {_DEPTH} levels")
        if isinstance(self.value, dict):
            return {key: item.plain(depth - 1) for key, item in self.entries()}
        if isinstance(self.value, list):
            return [item.plain(depth - 1) for item in self.items(1_000_000)]
        if isinstance(self.value, str):
            return self.text(10_000)
        if not isinstance(self.value, bool | None):
            self.number()
        return self.value

    def figures(self) -> dict[str, Any] | None:
        """Statistics by name; null where nothing was measured."""
        return None if self.value is None else {key: item.figure() for key, item in self.entries()}

    def figure(self, depth: int = _DEPTH) -> Any:
        """A finite number, null, or lists and objects of them."""
        if isinstance(self.value, str | bool):
            raise self.refuse("a finite number")
        if depth and isinstance(self.value, dict):
            return {key: item.figure(depth - 1) for key, item in self.entries()}
        if depth and isinstance(self.value, list):
            return [item.figure(depth - 1) for item in self.items(10_000)]
        return self.plain(1)
