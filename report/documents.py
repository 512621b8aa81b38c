"""The shape that a document must have before it is drawn, written down as a pattern of plain data."""

from __future__ import annotations

from typing import Any

from storage.files import BadFile

__all__ = ["FIGURES", "NUMBER", "NUMBER_OR_NONE", "check"]

NUMBER = (int, float)
NUMBER_OR_NONE = (int, float, type(None))
FIGURES = {"n": NUMBER, "mean": NUMBER_OR_NONE, "low": NUMBER_OR_NONE, "high": NUMBER_OR_NONE}
_WORDS = {dict: "an object", list: "a list", str: "text", int: "a number", float: "a number", type(None): "null"}


def check(value: Any, pattern: Any, where: str) -> None:
    """Refuse a value that does not have the pattern; BadFile names the place.

    A pattern is a dict of patterns (more fields are allowed, `...` stands for any name), a list with the one pattern of
    every item, a type, or a tuple of types.
    """
    if isinstance(pattern, dict):
        _demand(value, (dict,), where)
        for name, inner in pattern.items():
            if name is not ... and name not in value:
                raise BadFile(f"{where}: {name} is missing; give a file as the command wrote it")
            for found in value if name is ... else (name,):
                check(value[found], inner, f"{where}: {found}")
    elif isinstance(pattern, list):
        _demand(value, (list,), where)
        for place, item in enumerate(value):
            check(item, pattern[0], f"{where}: {place}")
    else:
        _demand(value, pattern if isinstance(pattern, tuple) else (pattern,), where)


def _demand(value: Any, types: tuple[type, ...], where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, types):
        shown = _WORDS.get(type(value), repr(value)[:60])
        wanted = " or ".join(dict.fromkeys(_WORDS[t] for t in types))
        raise BadFile(f"{where}: got {shown}, wanted {wanted}; give a file as the command wrote it")
