"""What commands do with a predictor that `fit` has written: whose labels it has, what it says of a benchmark, and what
a reader should know about that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.loading import load_named, load_recorded
from commands.output import say

if TYPE_CHECKING:
    from fitness.evaluation import Split
    from fitness.features.workshop import Progress, Workshop
    from fitness.predictors.predictor import Predictor, Provenance
    from fitness.replay import ReplayRow
    from models.benchmarks.benchmark import Benchmark

SHOWN = 5  # ids that a note names


def opened(path: Path | None) -> Predictor | None:
    """The predictor of a file, if one is given."""
    from fitness.predictors.predictor_file import load_predictor

    return None if path is None else load_predictor(path)


def benchmark_of(known: Provenance, name: str | None, metric: str | None) -> Benchmark:
    """The benchmark that a predictor's labels are from, or the named one; of the same one its metric is the default."""
    place = str(known.config.get("benchmark", known.name)) if name is None else name
    benchmark = load_recorded(place, metric) if name is None else load_named(place, metric)
    if metric is None and benchmark.digest == known.digest and benchmark.metric != known.metric:
        say(f"metric as fitted: {known.metric}")
        return load_named(place, known.metric)
    return benchmark


def split_around(predictor: Predictor, benchmark: Benchmark) -> Split | None:
    """The labels that it was fitted to, and all other architectures; None on another benchmark."""
    from fitness.replay import recorded_split

    if benchmark.digest != predictor.provenance.digest:
        return None
    others = [a.id for a in benchmark.architectures if a.id not in set(predictor.ids)]
    return recorded_split(predictor.ids, others, benchmark)


def records(
    predictor: Predictor | None,
    benchmark: Benchmark,
    split: Split | None,
    workshop: Workshop,
    progress: Progress | None,
) -> list[dict[str, Any]]:
    """The record of the predictor, if there is one."""
    from fitness.predictors.figures import predictor_record

    if predictor is None:
        return []
    proxies = [formula.proxy for formula in predictor.formulas]
    if proxies and predictor.provenance.feature_key != workshop.bank.key.digest:
        say("predictor: fitted with other features; give the options of its run to compare like with like")
    scores = workshop.exact_scores(proxies, benchmark.architectures, progress)
    return [predictor_record(predictor, benchmark, split, scores.reshape(len(proxies), len(benchmark)))]


def beside(
    rows: Sequence[ReplayRow], size: int | None, benchmark: Benchmark, split: Split | None, build: str | None
) -> dict[str, list[dict[str, Any]]]:
    """What stands beside the formulas: their committee, regressions on the same labels, and counts."""
    from fitness.predictors.rivals import rivals
    from fitness.protocol import baselines
    from fitness.replay import committee

    return {
        "committee": [committee(rows, size, benchmark, split)] if size else [],
        "rivals": rivals(benchmark, split, build, detail=True),
        "baselines": baselines(benchmark, split, build, detail=True),
    }


def say_records(found: Sequence[Mapping[str, Any]], split: Split | None) -> None:
    """How often the intervals hold, and what lies outside what was measured."""
    for record in found:
        part = "all" if split is None else "held-out"
        held = "of another metric" if record["coverage"] is None else f"{record['coverage']:.1%} of {part} ones hold"
        say(f"predictor: {record['kind']}; {record['level']:.0%} intervals: {held}")
        if beyond := record["beyond"]:
            more = f" and {len(beyond) - SHOWN} more" if len(beyond) > SHOWN else ""
            say(f"predictor: extrapolates on {', '.join(beyond[:SHOWN])}{more}: sizes outside what it was fitted to")
