"""Use of a fitted predictor by commands: its labels, its predictions for a benchmark, and notes about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.feature_options import other_features
from commands.output import say

if TYPE_CHECKING:
    from fitness.evaluation import Split
    from fitness.features.workshop import Progress, Workshop
    from fitness.predictors.predictor import Predictor
    from fitness.replay import ReplayRow
    from models.benchmarks.benchmark import Benchmark

SHOWN = 5  # ids that a note names


def opened(path: Path | None) -> Predictor | None:
    """The predictor of a file, if one is given."""
    if path is None:
        return None
    from fitness.predictors.predictor_file import load_predictor

    return load_predictor(path)


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
    check_features(predictor, workshop)
    proxies = [formula.proxy for formula in predictor.formulas]
    scores = workshop.exact_scores(proxies, benchmark.architectures, progress)
    return [predictor_record(predictor, benchmark, split, scores)]


def check_features(predictor: Predictor, workshop: Workshop) -> None:
    """Refuse to score the formulas of a predictor with other features than it was fitted with."""
    known = predictor.provenance
    if predictor.formulas and (said := other_features(known, workshop)):
        raise click.UsageError(f"--predictor: fitted {said}; leave out the options of features, or fit again with them")


def beside(
    rows: Sequence[ReplayRow],
    size: int | None,
    benchmark: Benchmark,
    split: Split | None,
    build: str | None,
    fitted: bool = True,
) -> dict[str, list[dict[str, Any]]]:
    """Rows beside the formulas: their committee, regressions on the same labels if `fitted`, and counts."""
    from fitness.predictors.rivals import rivals
    from fitness.protocol import baselines
    from fitness.replay import committee

    return {
        "committee": [committee(rows, size, benchmark, split)] if size else [],
        "rivals": rivals(benchmark, split if fitted else None, build, detail=True),
        "baselines": baselines(benchmark, split, build, detail=True),
    }


def say_records(found: Sequence[Mapping[str, Any]], split: Split | None) -> None:
    """Print how often the intervals hold, and which architectures lie outside what was measured."""
    for record in found:
        part = "all" if split is None else "held-out"
        held = "of another metric" if record["coverage"] is None else f"{record['coverage']:.1%} of {part} ones hold"
        say(f"predictor: {record['kind']}; {record['level']:.0%} intervals: {held}")
        if beyond := record["beyond"]:
            more = f" and {len(beyond) - SHOWN} more" if len(beyond) > SHOWN else ""
            say(f"predictor: extrapolates on {', '.join(beyond[:SHOWN])}{more}: sizes outside what it was fitted to")
