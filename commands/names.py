"""Option types for names: one of a few, or of a table that plug-ins may extend."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

__all__ = ["Name", "NameTable", "table_of"]


@dataclass(frozen=True)
class NameTable:
    """The names of a table in a module. Where the module is not loaded, `usual` are its names without plug-ins, so that
    help and usual choices do not wait for it."""

    module: str
    attribute: str
    usual: tuple[str, ...] = ()

    def __call__(self) -> Iterable[str]:
        return getattr(import_module(self.module), self.attribute)

    def known(self) -> Iterable[str]:
        """The names that can be told without loading the module, or all of them."""
        return self.usual if self.usual and self.module not in sys.modules else self()


def table_of(module: str, attribute: str, *usual: str) -> NameTable:
    """A table of names, which is loaded when it is needed."""
    return NameTable(module, attribute, usual)


class Name(click.ParamType):
    """One of a few names, with a suggestion when it is misspelt; names of a table are read when they are needed."""

    name = "name"

    def __init__(
        self, *names: str, table: Callable[[], Iterable[str]] = tuple, removed: Mapping[str, str] | None = None
    ) -> None:
        self._names, self.table = names, table
        self.removed = removed or {}  # what replaces names of before

    @property
    def names(self) -> tuple[str, ...]:
        return (*self._names, *self.table())

    def shown(self) -> tuple[str, ...]:
        """The names for help."""
        return (*self._names, *(self.table.known() if isinstance(self.table, NameTable) else self.table()))

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return f"[{'|'.join(self.shown())}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value in self.shown() or value in (names := self.names):
            return str(value)
        if value in self.removed:
            raise click.BadParameter(f"{value} was removed; {self.removed[value]}", ctx, param)
        near = get_close_matches(str(value), names, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise click.BadParameter(f"got {value!r}, wanted one of {', '.join(names)}{hint}", ctx, param)
