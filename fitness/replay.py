"""Replay: saved formulas scored on any benchmark, with the naive baselines beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from fitness.evaluation import Evaluation, Split
from fitness.features.workshop import Progress, Workshop
from fitness.protocol import inside_groups, near_pairs, report
from fitness.tables.table_file import branch_table
from models.benchmarks.benchmark import Benchmark
from primitives.pps import violations

__all__ = ["ReplayRow", "committee", "mean_ranks", "replay"]


@dataclass(frozen=True, eq=False)
class ReplayRow:
    """One formula on one benchmark: signed `scores` (N,), nan where there is none; correlations by part."""

    formula: Evaluation
    scores: np.ndarray
    correlations: Mapping[str, Any]
    inside: Mapping[str, Any]
    near: Mapping[str, Any]
    rules: tuple[str, ...]
    deviation: float | None  # largest |recorded - replayed| correlation, None if nothing was recorded

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "text": self.formula.proxy.text,
            "sign": self.formula.sign,
            **self.correlations,
            "inside": dict(self.inside),
            "near_pairs": dict(self.near),
            "pps": list(self.rules),
            "deviation": self.deviation,
        }


def replay(
    formulas: Sequence[Evaluation],
    benchmark: Benchmark,
    workshop: Workshop,
    split: Split | None = None,
    sketch: bool = False,
    progress: Progress | None = None,
    recorded: Sequence[Mapping[str, Any] | None] = (),
) -> list[ReplayRow]:
    """Score every formula on every architecture, with its recorded sign, and correlate with the measured quality.

    Exact by default; `sketch` uses the accelerator. `split` is given when the benchmark is the one searched on.
    `recorded` are the figures that a file has of the formulas, in their order.
    """
    proxies = [formula.proxy for formula in formulas]
    if sketch:
        scores = branch_table(benchmark.architectures, workshop, progress).scores(proxies)
    else:
        scores = workshop.exact_scores(proxies, benchmark.architectures, progress)
    figures = recorded or [None] * len(formulas)
    return [
        _row(formula, formula.sign * row, benchmark, split, known)
        for formula, row, known in zip(formulas, scores, figures, strict=True)
    ]


def committee(rows: Sequence[ReplayRow], size: int, benchmark: Benchmark, split: Split | None = None) -> dict[str, Any]:
    """The first `size` formulas as one scorer: the mean of their ranks over the benchmark's architectures.

    Not a formula but several; an architecture that one of them cannot score has no score. The record is that of a
    naive baseline, by name.
    """
    chosen = rows[:size]
    scores = mean_ranks(np.stack([row.scores for row in chosen]))
    parts = {"inside": inside_groups(scores, benchmark), "near_pairs": near_pairs(scores, benchmark)}
    return {"name": f"committee of {len(chosen)}", **report(scores, benchmark, split), **parts}


def mean_ranks(scores: np.ndarray) -> np.ndarray:
    """Mean rank of each architecture over the members of a committee, rows of `scores` (P, N); (N,)."""
    return stats.rankdata(scores, axis=-1, nan_policy="omit").mean(0)


def _row(
    formula: Evaluation,
    scores: np.ndarray,
    benchmark: Benchmark,
    split: Split | None,
    recorded: Mapping[str, Any] | None,
) -> ReplayRow:
    correlations = report(scores, benchmark, split)
    return ReplayRow(
        formula,
        scores,
        correlations,
        inside_groups(scores, benchmark),
        near_pairs(scores, benchmark),
        tuple(rule.name for rule in violations(formula.proxy)),
        _deviation(recorded, correlations),
    )


def _deviation(recorded: Mapping[str, Any] | None, replayed: Mapping[str, Any]) -> float | None:
    if recorded is None:
        return None
    pairs = [
        ((recorded.get(part) or {}).get(name), replayed[part][name])
        for part in replayed
        for name in ("spearman", "kendall")
    ]
    differences = [abs(a - b) for a, b in pairs if a is not None and b is not None]
    return max(differences) if differences else None
