"""Ceiling of a perfect oracle: the noise of a benchmark's ground truth, measured on replicates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

__all__ = ["NoiseCeiling", "noise_ceiling"]

SIGNIFICANT = 0.05  # below this p-value the noise is taken to depend on the loss


@dataclass(frozen=True)
class NoiseCeiling:
    """Expected tau-b (`kendall`) and rho (`spearman`) between true values and one noisy measurement of each.

    The noise of an architecture with loss x has the standard deviation `sd * exp(slope * (x - center))`, in
    units of the metric; `slope` is 0 unless the replicates show a dependence. `replicated` architectures with
    `seeds` runs each were measured.
    """

    kendall: float
    spearman: float
    sd: float
    slope: float
    center: float
    replicated: int
    seeds: int

    def sd_at(self, loss: Any) -> Any:
        """Standard deviation of the noise at a loss (a number or an array)."""
        return self.sd * np.exp(self.slope * (np.asarray(loss) - self.center))

    def as_dict(self) -> dict[str, Any]:
        """JSON-compatible, rounded to what the replicates can tell."""
        return {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(self).items()}


def noise_ceiling(
    records: Sequence[Mapping[str, Any]], metric: str = "loss", draws: int = 200, seed: int = 0, averaged: int = 1
) -> NoiseCeiling | None:
    """From a benchmark's records, some of which hold `replicates`; None if fewer than two do. The metric is one of
    them, or the mean of `averaged` ones.

    Replicates y[a, s] = mean[a] + effect[s] + e[a, s]. The effect of a seed is common to all architectures
    (they see the same data in the same order) and moves no rank, so only e counts:
    sd^2 = sum e^2 / ((A - 1)(S - 1)).
    The ground truth is taken to be the observed loss x pulled to its mean until the noise fits in,
    t = m + sqrt(max(0, 1 - mean sd^2 / var x)) (x - m); then t is compared with t + noise, `draws` times.
    """
    replicates = np.array([r["replicates"] for r in records if "replicates" in r], dtype=float)  # (A, S)
    if replicates.ndim != 2 or min(replicates.shape) < 2:
        return None
    sd, slope, center = _noise_model(replicates)
    x = np.array([r[metric] for r in records], dtype=float)  # (N,)
    sd /= averaged**0.5
    noise = sd * np.exp(slope * (x - center))
    keep = np.sqrt(max(0.0, 1.0 - np.mean(noise**2) / np.var(x, ddof=1))) if np.var(x) > 0 else 0.0
    truth = x.mean() + keep * (x - x.mean())
    rng = np.random.default_rng(seed)
    measured = [truth + noise * rng.standard_normal(len(x)) for _ in range(draws)]
    return NoiseCeiling(
        _expected(lambda y: stats.kendalltau(truth, y).statistic, measured),
        _expected(lambda y: stats.spearmanr(truth, y).statistic, measured),
        sd,
        slope,
        center,
        *replicates.shape,
    )


def _noise_model(replicates: np.ndarray) -> tuple[float, float, float]:
    """(sd, slope, center) of the residuals of a two-way table (A, S)."""
    A, S = replicates.shape
    means = replicates.mean(axis=1)
    residuals = replicates - means[:, None] - replicates.mean(axis=0) + replicates.mean()
    variances = (residuals**2).sum(axis=1) * A / ((A - 1) * (S - 1))  # (A,)
    pooled, center = float(np.sqrt(variances.mean())), float(means.mean())
    if A < 10 or not variances.all() or stats.spearmanr(means, variances).pvalue >= SIGNIFICANT:
        return pooled, 0.0, center
    slope = float(stats.linregress(means, np.log(variances)).slope) / 2
    shape = np.exp(2 * slope * (means - center))
    return float(np.sqrt(variances.mean() / shape.mean())), slope, center


def _expected(correlation: Callable[[np.ndarray], float], measured: Sequence[np.ndarray]) -> float:
    """Mean over draws; a constant truth ranks nothing and counts as 0."""
    return float(np.mean(np.nan_to_num([correlation(y) for y in measured])))
