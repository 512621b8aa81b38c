"""Positions of measured values, from 0 (worst) to 1 (best), and the way back from them to the metric."""

from __future__ import annotations

import numpy as np

__all__ = ["BEYOND", "placed", "quality_at"]

BEYOND = 5.0  # places that a value outside all measured ones may lie beyond them
ENDS = 0.1  # share of the labels that say how the metric goes on beyond them


def placed(count: int) -> np.ndarray:
    """The positions of `count` values in order, (count,)."""
    return (np.arange(count) + 0.5) / count


def quality_at(labels: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The quality that stands at `positions` (M,) among `labels` (n,): their quantiles, and beyond them a straight line
    through the outer tenth."""
    ordered, places = np.sort(labels), placed(len(labels))
    reach = min(max(2, round(ENDS * len(ordered))), len(ordered) - 1)
    low = (ordered[reach] - ordered[0]) / (places[reach] - places[0])
    high = (ordered[-1] - ordered[-1 - reach]) / (places[-1] - places[-1 - reach])
    inside = np.interp(positions, places, ordered)
    return inside + high * np.maximum(positions - places[-1], 0) - low * np.maximum(places[0] - positions, 0)
