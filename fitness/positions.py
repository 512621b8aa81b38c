"""Positions: where a value stands among reference values, whoever else is asked about."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["place_among"]


def place_among(seen: np.ndarray, asked: np.ndarray, most: float = math.inf) -> np.ndarray:
    """Positions of `asked` (M,) among `seen` (n,), 0 at the smallest and 1 at the largest: the middle of equal ones, in
    between by interpolation, beyond the ends by the mean step, so that what is larger stands higher everywhere; at
    most `most` of the n places beyond."""
    levels, sizes = np.unique(seen, return_counts=True)
    middles = (np.cumsum(sizes) - sizes / 2) / len(seen)
    reach = levels[-1] - levels[0]
    beyond = np.maximum(asked - levels[-1], 0) - np.maximum(levels[0] - asked, 0)
    beyond = beyond / reach if reach > 0 else np.sign(beyond)
    return np.interp(asked, levels, middles) + np.clip(beyond, -most / len(seen), most / len(seen))
