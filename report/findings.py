"""The document of a study: every trial, what they say together, and what it takes to repeat them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fitness.features.workshop import Workshop
from gp.runs.files import environment
from gp.studies.plan import Study, Trial
from gp.studies.summary import levels, rejections, summarise
from models.benchmarks.benchmark import Benchmark

__all__ = ["study_document"]


def study_document(
    study: Study, benchmark: Benchmark, workshop: Workshop, trials: Sequence[Trial],
    records: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:  # fmt: skip
    """All that the table and the figure of a study are made of, as plain data."""
    return {
        "schema": 1, "kind": "study", "study": study.name, "title": study.title, "reference": study.reference,
        "benchmark": {"name": benchmark.name, "digest": benchmark.digest, "metric": benchmark.metric,
                      "higher_is_better": benchmark.higher_is_better, "architectures": len(benchmark)},
        "feature_key": workshop.bank.key.digest, "build": workshop.bank.key.build, "environment": environment(),
        "settings": {t.label: _without_seed(t) for t in sorted(trials, key=lambda t: t.place)},
        "trials": list(records), "summary": summarise(records, study.reference), "levels": levels(records),
        "rejections": rejections(records), "held_out_scores": "sketch",
    }  # fmt: skip


def _without_seed(trial: Trial) -> dict[str, Any]:
    return {name: value for name, value in trial.config.to_dict().items() if name != "seed"}
