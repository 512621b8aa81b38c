"""Positions: where a value stands among measured ones, from 0 (worst) to 1 (best), and the way back to the metric."""

from __future__ import annotations

import numpy as np

__all__ = ["place_among", "placed", "quality_at"]

BEYOND = 5.0  # places that a value outside all measured ones may lie beyond them
ENDS = 0.1  # share of the labels that say how the metric goes on beyond them


def placed(count: int) -> np.ndarray:
    """The positions of `count` values in order, (count,)."""
    return (np.arange(count) + 0.5) / count


def place_among(seen: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Positions of `asked` (M,) among `seen` (n,): the middle of equal ones, in between by interpolation, beyond the
    ends by the mean step, at most BEYOND places."""
    levels, sizes = np.unique(seen, return_counts=True)
    middles = (np.cumsum(sizes) - sizes / 2) / len(seen)
    position = np.interp(asked, levels, middles)
    step = (levels[-1] - levels[0]) / len(seen)
    if step > 0:
        over = np.clip((asked - levels[-1]) / step, 0, BEYOND) - np.clip((levels[0] - asked) / step, 0, BEYOND)
        position = position + over / len(seen)
    return position


def quality_at(labels: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The quality that stands at `positions` (M,) among `labels` (n,): their quantiles, and beyond them a straight line
    through the outer tenth."""
    ordered, places = np.sort(labels), placed(len(labels))
    reach = min(max(2, round(ENDS * len(ordered))), len(ordered) - 1)
    low = (ordered[reach] - ordered[0]) / (places[reach] - places[0])
    high = (ordered[-1] - ordered[-1 - reach]) / (places[-1] - places[-1 - reach])
    inside = np.interp(positions, places, ordered)
    return inside + high * np.maximum(positions - places[-1], 0) - low * np.maximum(places[0] - positions, 0)
