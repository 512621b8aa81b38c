"""The table of hand-made proxies, and its one door: a function with the decorator `hand_made` is a proxy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

from fitness.features.visit import Visited
from primitives.grammar import parse
from storage.errors import WrongInput

__all__ = ["ZOO", "BadZoo", "HandMade", "NoValue", "find", "hand_made"]


class BadZoo(WrongInput):
    """A proxy that cannot be registered or found; the message names the nearest one that exists."""


class NoValue(ArithmeticError):
    """A hand-made proxy has no value on a network; the message is the reason that tables show."""


Measure = Callable[[Visited], float]


@dataclass(frozen=True)
class HandMade:
    """A published proxy.

    `version` changes whenever its numbers would, and makes cached values void. `own_pass`: it does without the
    collected features, so their cost is not its cost. `text`: the same proxy in our language, where there is one.
    """

    name: str
    formula: str
    source: str
    measure: Measure
    version: int = 1
    own_pass: bool = False
    text: str | None = None


ZOO: dict[str, HandMade] = {}


def hand_made(
    name: str, formula: str, source: str, *, version: int = 1, own_pass: bool = False, text: str | None = None
) -> Callable[[Measure], Measure]:
    """Register a proxy; raises BadZoo when the name is taken, BadProxy when the text is not a formula."""

    def register(measure: Measure) -> Measure:
        if name.casefold() in map(str.casefold, ZOO):
            raise BadZoo(f"{name}: a hand-made proxy of that name exists; choose another name")
        if not name or any(c in name for c in "[](),"):
            raise BadZoo(f"{name!r}: brackets and commas belong to formulas; choose another name")
        spelt = None if text is None else parse(text).text
        ZOO[name] = HandMade(name, formula, source, measure, version, own_pass, spelt)
        return measure

    return register


def find(name: str) -> HandMade:
    """The hand-made proxy of that name, upper or lower case; raises BadZoo with the nearest name."""
    folded = {known.casefold(): proxy for known, proxy in ZOO.items()}
    if name.casefold() in folded:
        return folded[name.casefold()]
    near = get_close_matches(name.casefold(), folded, 1)
    hint = f"did you mean {folded[near[0]].name}?" if near else f"wanted one of {', '.join(ZOO)}"
    raise BadZoo(f"unknown hand-made proxy {name!r}; {hint}")
