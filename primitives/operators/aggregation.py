"""Aggregations: one number per tensor becomes one number per block, then one number for the network.

All are weighted sums, so each is one line: how a block joins its tensors, and the weight of block l of L.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["AGGREGATION", "Aggregation"]


@dataclass(frozen=True)
class Aggregation:
    """`sums_tensors`: a block's value is the sum (else the mean) of its tensors'; `weights(L)` is (L,)."""

    name: str
    sums_tensors: bool
    weights: Callable[[int], np.ndarray]


AGGREGATION: dict[str, Aggregation] = {
    a.name: a
    for a in (
        Aggregation("mean", False, lambda L: np.full(L, 1.0 / L)),  # as published
        Aggregation("sum", True, np.ones),
    )
}
