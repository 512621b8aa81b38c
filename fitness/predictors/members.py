"""Regressions as data: the hyper-parameters of a kernel or of a ridge, and what they predict from given labels.

Fitting is scikit-learn's (`tuning.py`); predicting is written out here, because a predictor is saved as numbers and
nothing of a file is ever unpickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

__all__ = ["GaussianMember", "Member", "RidgeMember", "rank_targets", "shares", "standardised"]

ERROR = 0.25  # variance of what a ridge cannot say of a label without noise, in units of that of the labels


@dataclass(frozen=True)
class RidgeMember:
    """Ridge regression (Hoerl and Kennard 1970) on standardised inputs, with this penalty."""

    penalty: float
    counts: bool = False  # whether only the counts are read

    def predict(
        self, seen: np.ndarray, targets: np.ndarray, asked: np.ndarray, noise: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(mean (M,), standard deviation (M,)) at `asked` (M, K), from `targets` (n,) at `seen` (n, K), each with its
        share in the sums of squares (`shares`) where their `noise` is known."""
        if noise is not None:
            return self._weighted(seen, targets, asked, shares(noise))
        scale = np.linalg.inv(seen.T @ seen + self.penalty * np.eye(seen.shape[1]))
        weights = scale @ (seen.T @ (targets - targets.mean()))
        left = targets - targets.mean() - seen @ weights
        spread = float(left @ left) / len(targets)
        return asked @ weights + targets.mean(), np.sqrt(spread * (1 + ((asked @ scale) * asked).sum(-1)))

    def _weighted(
        self, seen: np.ndarray, targets: np.ndarray, asked: np.ndarray, share: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Prediction from rows that count by their `share` (n,)."""
        middle, level = np.average(seen, 0, share), np.average(targets, 0, share)
        rows, others = (seen - middle) * np.sqrt(share)[:, None], asked - middle
        scale = np.linalg.inv(rows.T @ rows + self.penalty * np.eye(seen.shape[1]))
        weights = scale @ (rows.T @ ((targets - level) * np.sqrt(share)))
        spread = np.average((targets - level - (seen - middle) @ weights) ** 2, 0, share)
        return others @ weights + level, np.sqrt(spread * (1 + ((others @ scale) * others).sum(-1)))


@dataclass(frozen=True)
class GaussianMember:
    """Gaussian process with a Matern kernel of smoothness 5/2, one length per input, and white noise (Rasmussen and
    Williams 2006, equations 2.25, 2.26 and 4.17) on standardised inputs."""

    amplitude: float
    lengths: tuple[float, ...]
    noise: float
    counts: bool = False

    def predict(
        self, seen: np.ndarray, targets: np.ndarray, asked: np.ndarray, noise: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(mean (M,), standard deviation (M,), the common noise included) at `asked` (M, K), from `targets` (n,), which
        may have a variance of `noise` (n,) of their own."""
        own = np.zeros(len(seen)) if noise is None else noise
        known = self._kernel(seen, seen) + np.diag(self.noise + 1e-10 + own)
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


def shares(noise: np.ndarray) -> np.ndarray:
    """By how much each label counts in a sum of squares, (n,) up to 1: the inverse of the variance of its error."""
    return ERROR / (ERROR + noise)


def rank_targets(quality: Sequence[float] | np.ndarray) -> np.ndarray:
    """Labels as standardised ranks (n,): what the regressions are fitted to."""
    ranks = rankdata(quality)
    return (ranks - ranks.mean()) / ranks.std()
