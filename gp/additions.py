"""Additions: the branches that would add most to what a formula explains of its target, by least squares. Orthogonal
matching pursuit (Pati et al. 1993) compares all branches of the space in two matrix products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

__all__ = ["Additions"]


@dataclass(frozen=True, eq=False)
class Additions:
    """The branches as rows of mean 0 and length 1, (K, N), zeros where that is not possible; and the target so."""

    units: np.ndarray
    target: np.ndarray
    shrinkage: float

    @classmethod
    def of(cls, values: np.ndarray, quality: np.ndarray, shrinkage: float) -> Additions:
        """Additions for branches with `values` (K, N), to agree with the ranks of `quality` (N,)."""
        return cls(_units(values), _units(stats.rankdata(quality)[None])[0], shrinkage)

    def times(self, values: np.ndarray, factor: np.ndarray) -> Additions:
        """Additions for branches with `values` (K, N) that a `factor` (N,) multiplies, and the same target."""
        return Additions(_units(values * factor), self.target, self.shrinkage)

    def best(self, rest: np.ndarray, count: int) -> np.ndarray:
        """The places of the branches that add most to what the parts `rest` (k, N) explain, best first."""
        left, gone = self.target, np.zeros(len(self.units))
        if len(rest):
            parts = _units(rest)
            inner = parts @ parts.T + self.shrinkage * np.eye(len(parts))
            left = self.target - np.linalg.solve(inner, parts @ self.target) @ parts
            basis, lengths, _ = np.linalg.svd(parts.T, full_matrices=False)
            gone = ((self.units @ basis[:, lengths > 1e-9]) ** 2).sum(-1)
        gains = (self.units @ left) ** 2 / (np.maximum(1 - gone, 0) + self.shrinkage)
        return np.argsort(-gains.round(12), kind="stable")[:count]


def _units(rows: np.ndarray) -> np.ndarray:
    """Rows of mean 0 and length 1; zeros where a row is constant or not finite."""
    with np.errstate(all="ignore"):
        centred = rows - rows.mean(-1, keepdims=True)
        lengths = np.sqrt((centred * centred).sum(-1, keepdims=True))
        usable = np.isfinite(lengths) & (lengths > 0)
        return np.divide(centred, lengths, out=np.zeros_like(centred), where=usable)
