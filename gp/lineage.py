"""Lineage: where formulas come from, from the first population on: the operators that made them and their parents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from primitives.grammar import read_proxy
from storage.datum import Datum

__all__ = ["Birth", "Lineage", "ancestry", "from_lines", "is_crossed", "to_lines"]

_MOST = 1_000_000  # formulas of a lineage that is read from a file


@dataclass(frozen=True)
class Birth:
    """Origin of a formula: the operator that made it and the texts of its parents, none for a random formula."""

    operator: str
    parents: tuple[str, ...] = ()


Lineage = Mapping[str, Birth]
"""Births by the text of the formula, parents before children."""


def ancestry(births: Mapping[str, Birth | None], texts: Iterable[str]) -> dict[str, Birth]:
    """The lineage of some formulas, as far as `births` tells it."""
    found: dict[str, Birth] = {}
    waiting = list(texts)[::-1]
    while waiting:
        text = waiting[-1]
        birth = births.get(text)
        missing = [p for p in birth.parents if p not in found and births.get(p)] if birth and text not in found else []
        if missing:
            waiting += missing[::-1]
            continue
        waiting.pop()
        if birth is not None:
            found.setdefault(text, birth)
    return found


def is_crossed(lineage: Lineage) -> bool:
    """True if crossover took part in it."""
    return any(len(birth.parents) > 1 for birth in lineage.values())


def to_lines(lineage: Lineage) -> list[dict[str, Any]]:
    """Plain data for JSON; parents are the places of earlier lines."""
    places = {text: place for place, text in enumerate(lineage)}
    return [
        {"text": text, "operator": birth.operator, "parents": [places[p] for p in birth.parents if p in places]}
        for text, birth in lineage.items()
    ]


def from_lines(lines: Datum) -> dict[str, Birth]:
    """Inverse of `to_lines`; raises the file's own error for anything else."""
    found: dict[str, Birth] = {}
    texts: list[str] = []
    for item in lines.items(_MOST):
        item.only("text", "operator", "parents")
        parents = tuple(texts[place.integer(0, len(texts) - 1)] for place in item["parents"].items(2))
        texts.append(read_proxy(item["text"]).text)
        found[texts[-1]] = Birth(item["operator"].text(), parents)
    return found
