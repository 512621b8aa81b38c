"""Regret: how much worse the first choices of a scorer are than the best architecture of a budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fitness.zoo.naive import naive_scores
from models.benchmarks.benchmark import Benchmark

__all__ = ["FIRST", "budgets", "regrets"]

FIRST = (1, 10)
BUDGETS = {"small": 1 / 3, "middle": 2 / 3, "all": 1.0}
"""Shares of the architectures that a budget of #params allows."""


def budgets(benchmark: Benchmark) -> dict[str, float]:
    """The most #params of each budget: the terciles of the benchmark."""
    sizes = naive_scores("#params", benchmark.architectures)
    return {name: float(np.quantile(sizes, share)) for name, share in BUDGETS.items()}


def regrets(scores: np.ndarray, benchmark: Benchmark, chosen: Sequence[int]) -> dict[str, dict[str, float]]:
    """By budget and by how many are taken: the quality of the best of `chosen` in the budget less that of the best
    among the first by `scores` (N,), in standard deviations of the quality there. Equal scores stand in the order of
    the benchmark, those that are not finite last; a budget with fewer than two different values is left out."""
    sizes, places = naive_scores("#params", benchmark.architectures), np.array(chosen)
    found: dict[str, dict[str, float]] = {}
    for name, limit in budgets(benchmark).items():
        inside = places[sizes[places] <= limit]
        quality = benchmark.quality[inside]
        if len(quality) and np.ptp(quality) > 0:
            order = np.argsort(-np.nan_to_num(scores[inside], nan=-np.inf), kind="stable")
            lost = {first: (quality.max() - quality[order[:first]].max()) / quality.std() for first in FIRST}
            found[name] = {f"first {first}": round(float(value), 6) for first, value in lost.items()}
    return found
