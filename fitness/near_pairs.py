"""Pairs of one size: how well a score orders architectures that no count of their size tells apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["NEAR", "Pairs", "pairs_of_one_size"]

NEAR = 0.1  # of the larger one's size


@dataclass(frozen=True, eq=False)
class Pairs:
    """Kendall's tau over pairs of one size: its value, the values (G,) without each architecture, how many pairs."""

    tau: float
    without: np.ndarray
    count: int

    @property
    def error(self) -> float:
        """The standard error of the jackknife; nan of fewer than two values."""
        left = self.without[np.isfinite(self.without)]
        return (
            float(np.sqrt((len(left) - 1) / len(left) * ((left - left.mean()) ** 2).sum())) if len(left) > 1 else np.nan
        )


def pairs_of_one_size(
    scores: np.ndarray,
    quality: np.ndarray,
    sizes: np.ndarray,
    budgets: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    share: float = NEAR,
) -> Pairs:
    """The concordance over pairs of rows (N,) whose sizes differ by at most `share` of the larger, whose training
    budgets are the same and whose quality differs; ties of the score count 0; nan without any pair. Rows of one group
    are one architecture, which the jackknife leaves out as a whole."""
    near = np.abs(sizes[:, None] - sizes) <= share * np.maximum(sizes[:, None], sizes)
    near &= quality[:, None] != quality
    if budgets is not None:
        near &= budgets[:, None] == budgets
    agreement = np.sign(scores[:, None] - scores) * np.sign(quality[:, None] - quality) * near
    place = np.arange(len(scores)) if groups is None else np.unique(groups, return_inverse=True)[1].ravel()
    inside = place[:, None] == place

    def lost(pairs: np.ndarray) -> np.ndarray:
        """(G,): the sum over what has one row or both in a group."""
        return np.bincount(place, 2 * pairs.sum(1) - (pairs * inside).sum(1))

    with np.errstate(invalid="ignore", divide="ignore"):
        tau = agreement.sum() / near.sum()
        without = (agreement.sum() - lost(agreement)) / (near.sum() - lost(near))
    return Pairs(float(tau), without, int(near.sum()) // 2)
