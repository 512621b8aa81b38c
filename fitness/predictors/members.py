"""Regressions as data: the hyper-parameters of a kernel or of a ridge, and what they predict from given labels.

Fitting is scikit-learn's (`tuning.py`); predicting is written out here, because a predictor is saved as numbers and
nothing of a file is ever unpickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

__all__ = ["GaussianMember", "Member", "RidgeMember", "rank_targets", "standardised"]


@dataclass(frozen=True)
class RidgeMember:
    """Ridge regression (Hoerl and Kennard 1970) on standardised inputs, with this penalty."""

    penalty: float
    counts: bool = False  # whether only the counts are read

    def predict(self, seen: np.ndarray, targets: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(mean (M,), standard deviation (M,)) at `asked` (M, K), from `targets` (n,) at `seen` (n, K)."""
        scale = np.linalg.inv(seen.T @ seen + self.penalty * np.eye(seen.shape[1]))
        weights = scale @ (seen.T @ (targets - targets.mean()))
        left = targets - targets.mean() - seen @ weights
        spread = float(left @ left) / len(targets)
        return asked @ weights + targets.mean(), np.sqrt(spread * (1 + ((asked @ scale) * asked).sum(-1)))


@dataclass(frozen=True)
class GaussianMember:
    """Gaussian process with a Matern kernel of smoothness 5/2, one length per input, and white noise (Rasmussen and
    Williams 2006, equations 2.25, 2.26 and 4.17) on standardised inputs."""

    amplitude: float
    lengths: tuple[float, ...]
    noise: float
    counts: bool = False

    def predict(self, seen: np.ndarray, targets: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(mean (M,), standard deviation (M,), noise included) at `asked` (M, K), from `targets` (n,)."""
        known = self._kernel(seen, seen) + (self.noise + 1e-10) * np.eye(len(seen))
        across = self._kernel(asked, seen)
        solved = np.linalg.solve(known, np.column_stack([targets, across.T]))
        left = self.amplitude + self.noise - (across * solved[:, 1:].T).sum(-1)
        return across @ solved[:, 0], np.sqrt(np.maximum(left, 1e-12))

    def _kernel(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        lengths = np.array(self.lengths)
        gaps = ((a[:, None] - b[None]) / lengths) ** 2
        r = np.sqrt(5 * gaps.sum(-1))
        return self.amplitude * (1 + r + r**2 / 3) * np.exp(-r)


Member = RidgeMember | GaussianMember


def standardised(seen: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both tables of inputs with mean 0 and deviation 1 over the `seen` rows; a column that is equal there is 0."""
    mean, deviation = seen.mean(0), seen.std(0)
    varies = deviation > 1e-9 * np.maximum(np.abs(mean), 1)
    scale = np.where(varies, 1 / np.where(varies, deviation, 1.0), 0.0)
    return (seen - mean) * scale, (asked - mean) * scale


def rank_targets(quality: Sequence[float] | np.ndarray) -> np.ndarray:
    """Labels as standardised ranks (n,): what the regressions are fitted to."""
    ranks = rankdata(quality)
    return (ranks - ranks.mean()) / ranks.std()
