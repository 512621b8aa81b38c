"""Quality of a predictor on a benchmark: correlations and coverage of its intervals."""

from __future__ import annotations

from typing import Any

import numpy as np

from fitness.evaluation import Split
from fitness.predictors.predictor import LEVEL, BadPrediction, Predictor
from fitness.protocol import inside_groups, near_pairs, report
from models.benchmarks.benchmark import Benchmark

__all__ = ["predictor_record"]


def predictor_record(
    predictor: Predictor, benchmark: Benchmark, split: Split | None, scores: np.ndarray
) -> dict[str, Any]:
    """The record of a predictor, like that of a rival; `scores` (F, N) are those of its formulas, without their sign.

    What it was fitted to counts as it was predicted without that label. `coverage` is the share of held-out
    architectures (of all, without a split) whose value lies in its interval, None where there are none or the metric is
    another one; `beyond` names those that lie outside what was measured.
    """
    if benchmark.space != predictor.provenance.space:
        raise BadPrediction(f"{benchmark.name}: got the space {benchmark.space}, wanted {predictor.provenance.space}")
    found = predictor.predict(benchmark.architectures, scores)
    places = {id: i for i, id in enumerate(predictor.ids)} if benchmark.digest == predictor.provenance.digest else {}
    known = [places.get(a.id) for a in benchmark.architectures]
    pairs = zip(found.positions, known, strict=True)
    ranked = np.array([p if at is None else predictor.left_out[at] for p, at in pairs])
    asked = list(range(len(benchmark))) if split is None else list(split.holdout)
    truth, same = benchmark.ground_truth, benchmark.metric == predictor.provenance.metric
    holds = (found.low <= truth) & (truth <= found.high)
    beyond = [a.id for a, names in zip(benchmark.architectures, found.beyond, strict=True) if names]
    return {
        "name": "predictor",
        "kind": predictor.kind,
        **report(ranked, benchmark, split),
        "inside": inside_groups(ranked, benchmark),
        "near_pairs": near_pairs(ranked, benchmark),
        "level": LEVEL,
        "coverage": round(float(holds[asked].mean()), 6) if same and asked else None,
        "beyond": beyond,
    }
