"""Study documents: every trial, the summary, and the command that repeats them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fitness.features.workshop import Workshop
from gp.case import Case
from gp.runs.files import environment
from gp.studies.plan import Study, Trial
from gp.studies.summary import levels, rejections, summarise, transfers
from models.benchmarks.benchmark import Benchmark

__all__ = ["study_document", "transfer_document"]


def study_document(
    study: Study,
    benchmark: Benchmark,
    workshop: Workshop,
    trials: Sequence[Trial],
    records: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The study as plain data, from which its table and figure are made."""
    return {
        **_head(study, trials, records),
        "reference": study.reference,
        "benchmark": _benchmark(benchmark),
        "feature_key": workshop.bank.key.digest,
        "build": workshop.bank.key.build,
        "summary": summarise(records, study.reference),
        "levels": levels(records),
        "rejections": rejections(records),
    }


def transfer_document(
    study: Study, cases: Sequence[Case], trials: Sequence[Trial], records: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The transfer study (one benchmark left out at a time) as plain data."""
    keys = [case.workshop.bank.key for case in cases]
    benchmarks = [
        {**_benchmark(case.benchmark), "feature_key": key.digest, "build": key.build}
        for case, key in zip(cases, keys, strict=True)
    ]
    return {**_head(study, trials, records), "benchmarks": benchmarks, "summary": transfers(records)}


def _head(study: Study, trials: Sequence[Trial], records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Fields that all studies share."""
    return {
        "schema": 1,
        "kind": "study",
        "study": study.name,
        "title": study.title,
        "environment": environment(),
        "settings": {t.label: _without_seed(t) for t in sorted(trials, key=lambda t: t.place)},
        "trials": list(records),
        "held_out_scores": "sketch",
    }


def _benchmark(benchmark: Benchmark) -> dict[str, Any]:
    return {
        "name": benchmark.name,
        "digest": benchmark.digest,
        "metric": benchmark.metric,
        "higher_is_better": benchmark.higher_is_better,
        "architectures": len(benchmark),
    }


def _without_seed(trial: Trial) -> dict[str, Any]:
    return {name: value for name, value in trial.config.to_dict().items() if name != "seed"}
