"""What a search found, measured: exact scores on every architecture of its benchmark, beside the
naive baselines and what regressions make of the same labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fitness.evaluation import Split
from fitness.features.soundness import screen
from fitness.features.workshop import Workshop
from fitness.predictors.rivals import rivals
from fitness.protocol import baselines, report
from fitness.ranking import RankTarget
from fitness.tables.table_file import branch_table
from gp.benchmark_search import Found, Reporter
from gp.case import Case
from gp.evolution.evolve import Stop
from gp.hall_entries import Baseline, BenchmarkRef, Ending, HallCase, HallProxy, SplitIds
from gp.hall_file import HallDocument
from gp.lineage import ancestry
from models.benchmarks.benchmark import Benchmark

__all__ = ["fidelity", "measure"]

EARLY = (Stop.TIME, Stop.PATIENCE, Stop.TARGET)


def measure(
    found: Found, workshop: Workshop, settings: Mapping[str, Any] | None = None, reporter: Reporter | None = None,
    on_invalid: str = "fail",
) -> HallDocument:  # fmt: skip
    """The hall of fame with its figures, ready for `save_hall`; `settings` are recorded as what it was made with."""
    reporter, formulas = reporter or Reporter(), found.hall.champions
    benchmark = found.screened.benchmark
    reporter.stage(f"exact scores of the hall of fame on all {len(benchmark)} architectures")
    # One visit per network makes its exact scores and its sketch, which says whether it is sound.
    workshop.prepare([f.proxy for f in formulas], benchmark.architectures, reporter.networks)
    left = reporter.screened(screen(benchmark, workshop, found.screened.split, on_invalid))
    benchmark, split, key = left.benchmark, left.split or Split((), ()), workshop.bank.key
    return HallDocument(
        space=benchmark.space,
        build=key.build,
        benchmark=BenchmarkRef(benchmark.name, benchmark.digest, benchmark.metric, benchmark.higher_is_better),
        split=_ids(benchmark, split),
        seed=found.config.seed,
        feature_key=key.digest,
        config=settings or {"search": found.config.to_dict()},
        proxies=_measured(found, benchmark, split, workshop),
        baselines=tuple(Baseline(**row) for row in baselines(benchmark, split, key.build)),
        rivals=tuple(Baseline(**row) for row in rivals(benchmark, split, key.build)),
        evaluations=found.evaluations,
        rejections=dict(found.result.state.rejections),
        dropped=replace(left, whole=found.screened.whole).dropped,
        lineage=ancestry(found.result.state.seen, [formula.proxy.without_constants().text for formula in formulas]),
        ending=Ending(str(found.result.stop), found.result.state.iteration, found.result.stop in EARLY),
        others=tuple(_elsewhere(case, found, reporter, on_invalid) for case in found.others),
    )


def _elsewhere(case: Case, found: Found, reporter: Reporter, on_invalid: str) -> HallCase:
    """The formulas on another benchmark of the search, by exact scores on all its architectures."""
    benchmark, formulas = case.benchmark, found.hall.champions
    reporter.stage(f"exact scores of the hall of fame on all {len(benchmark)} architectures of {benchmark.name}")
    case.workshop.prepare([f.proxy for f in formulas], benchmark.architectures, reporter.networks)
    left = reporter.screened(screen(benchmark, case.workshop, case.split, on_invalid))
    benchmark, split, key = left.benchmark, left.split or Split((), ()), case.workshop.bank.key
    rows = case.workshop.exact_scores([f.proxy for f in formulas], benchmark.architectures)
    return HallCase(
        benchmark.space,
        key.build,
        BenchmarkRef(benchmark.name, benchmark.digest, benchmark.metric, benchmark.higher_is_better),
        _ids(benchmark, split),
        key.digest,
        tuple(report(f.sign * row, benchmark, split) for f, row in zip(formulas, rows, strict=True)),
        tuple(Baseline(**row) for row in baselines(benchmark, split, key.build)),
    )


def _ids(benchmark: Benchmark, split: Split) -> SplitIds:
    return SplitIds(*(tuple(benchmark.architectures[i].id for i in part) for part in (split.search, split.holdout)))


def _measured(found: Found, benchmark: Benchmark, split: Split, workshop: Workshop) -> tuple[HallProxy, ...]:
    formulas = found.hall.champions
    proxies = [formula.proxy for formula in formulas]
    exact = workshop.exact_scores(proxies, benchmark.architectures)
    quick = branch_table(benchmark.architectures, workshop).scores(proxies)
    return tuple(
        HallProxy(formula, **report(formula.sign * row, benchmark, split), fidelity=fidelity(row, close))
        for formula, row, close in zip(formulas, exact, quick, strict=True)
    )


def fidelity(exact: np.ndarray, sketch: np.ndarray) -> float | None:
    """Spearman's rho between exact and sketch scores over the architectures where both exist."""
    both = np.isfinite(exact) & np.isfinite(sketch)
    if both.sum() < 3 or np.ptp(exact[both]) == 0 or np.ptp(sketch[both]) == 0:
        return None
    return round(float(RankTarget.create(exact[both]).spearman(sketch[None, both])[0]), 6)
