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
    )
}
