"""Aggregations: one number per tensor becomes one number per block, then one number for the network.

All are weighted sums, so each is one line: how a block joins its tensors, and the weight of block l of L. A constant in
a formula multiplies these weights: `0.33*last` is a third of what `last` gives. So does the training budget `T`
(`primitives.budget`), which no block knows: `T*last`, or `0.33*T*last`, is T times that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

__all__ = [
    "AGGREGATION",
    "BUDGET",
    "LARGEST",
    "USUAL_AGGREGATIONS",
    "Aggregation",
    "aggregation",
    "constant_of",
    "fixed",
    "spelled",
    "times",
    "turned",
    "turns",
]

BUDGET = "T"
_TURN = f"{BUDGET}*"
LARGEST = 1e12  # constant of a formula; the smallest is 1 / LARGEST


@dataclass(frozen=True)
class Aggregation:
    """`sums_tensors`: a block's value is the sum (else the mean) of its tensors'; `weights(L)` is (L,); `formula` is
    LaTeX for what stands before a block's value."""

    name: str
    sums_tensors: bool
    formula: str
    weights: Callable[[int], np.ndarray]


AGGREGATION: dict[str, Aggregation] = {
    a.name: a
    for a in (
        Aggregation("mean", False, r"\frac{1}{L} \sum_{l}", lambda L: np.full(L, 1.0 / L)),  # as published
        Aggregation("sum", True, r"\sum_{l}", np.ones),
        # Where a block stands: the first or the last alone, or all with weights that rise or fall with depth.
        Aggregation("first", True, r"\sum_{l=1}", lambda L: np.eye(L)[0]),
        Aggregation("last", True, r"\sum_{l=L}", lambda L: np.eye(L)[-1]),
        Aggregation("rising", True, r"\sum_{l} \frac{l}{L}", lambda L: np.arange(1, L + 1) / L),
        Aggregation("falling", True, r"\sum_{l} \frac{L+1-l}{L}", lambda L: np.arange(L, 0, -1) / L),
        # For laws of shape: of the logarithm of a size of each block, mean and log_depth together are that of the
        # network; with squared_log_depth and squares they say how far its depth is from the best one for its width.
        Aggregation("log_depth", False, r"\frac{\ln L}{L} \sum_{l}", lambda L: np.full(L, math.log(L) / L)),
        Aggregation(
            "squared_log_depth", False, r"\frac{(\ln L)^2}{L} \sum_{l}", lambda L: np.full(L, math.log(L) ** 2 / L)
        ),
    )
}
USUAL_AGGREGATIONS = tuple(name for name in AGGREGATION if not name.endswith("log_depth"))
"""What a search uses where nothing else is asked for."""


def spelled(constant: float) -> str:
    """The one spelling of a constant: two significant digits."""
    return format(constant, ".2g")


def times(constant: float, name: str) -> str:
    """The aggregation `name` times a constant from 1 / LARGEST to LARGEST, by name; rounded to two digits, and without
    a constant that is 1 then."""
    digits = spelled(constant)
    return name if float(digits) == 1 else f"{digits}*{name}"


def constant_of(name: str) -> tuple[float, str]:
    """The constant in the name of an aggregation, 1 where there is none, and the name without it."""
    digits, star, rest = name.partition("*")
    return (float(digits), rest) if star and digits != BUDGET else (1.0, name)


def turns(name: str) -> bool:
    """True if the name of an aggregation has the training budget in it."""
    return _TURN in name


def fixed(name: str) -> str:
    """The name of an aggregation without the training budget."""
    return name.replace(_TURN, "")


def turned(name: str) -> str:
    """The name of an aggregation without the training budget, times it."""
    constant, plain = constant_of(name)
    return times(constant, f"{_TURN}{plain}")


@lru_cache(maxsize=1 << 12)
def aggregation(name: str) -> Aggregation:
    """The aggregation of that name, with or without a constant; the training budget, which its weights lack, shows in
    the formula alone."""
    constant, plain = constant_of(name)
    found = AGGREGATION[fixed(plain)]
    if turns(plain):
        found = replace(found, name=plain, formula=rf"{BUDGET} \cdot {found.formula}")
    if constant == 1:
        return found
    formula = rf"{_in_latex(constant)} \cdot {found.formula}"
    return replace(found, name=name, formula=formula, weights=lambda depth: constant * found.weights(depth))


def _in_latex(constant: float) -> str:
    mantissa, e, exponent = spelled(constant).partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if e else mantissa
