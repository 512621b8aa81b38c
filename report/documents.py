"""JSON documents that can be drawn: their kind, and the validation of their structure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.files import BadFile, load_json

__all__ = ["FIGURES", "NUMBER", "NUMBER_OR_NONE", "Document", "check", "load_document"]

MAX_BYTES = 64 << 20
NUMBER = (int, float)
NUMBER_OR_NONE = (int, float, type(None))
FIGURES = {"n": NUMBER, "mean": NUMBER_OR_NONE, "low": NUMBER_OR_NONE, "high": NUMBER_OR_NONE}
_WORDS = {dict: "an object", list: "a list", str: "text", int: "a number", float: "a number", type(None): "null"}
_KINDS = {"hall of fame": {"proxies", "counts"}, "study": {"study", "trials"}, "leaderboard": {"rows", "split"}}
_WANTED = "a hall of fame, the JSON of leaderboard --format json, or that of ablate"


@dataclass(frozen=True)
class Document:
    """Plain data of a file and its kind: hall of fame, study or leaderboard."""

    kind: str
    data: Mapping[str, Any]


def load_document(path: Path) -> Document:
    """Load a document; BadFile if it cannot be drawn."""
    data = load_json(path, MAX_BYTES, _WANTED)
    names = set(data) if isinstance(data, dict) else set()
    for kind, wanted in _KINDS.items():
        if wanted <= names:
            return Document(kind, data)
    raise BadFile(f"{path}: got another kind of file, wanted {_WANTED}")


def check(value: Any, pattern: Any, where: str) -> None:
    """Check a value against a pattern; BadFile names the place that differs.

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
    if isinstance(value, str) and not value.isprintable():
        raise BadFile(f"{where}: got text with control characters or halves of characters, wanted what can be shown")
