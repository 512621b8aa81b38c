"""Figures of a hall of fame: exact scores on every architecture of its benchmarks, beside the naive baselines and
regressions on the same labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fitness.evaluation import Evaluation, Split
from fitness.predictors.rivals import rivals
from fitness.protocol import baselines, report
from fitness.tables.table_file import branch_table
from gp.benchmark_search import Found
from gp.case import Case
from gp.choice import fidelity
from gp.evolution.evolve import Stop
from gp.hall_cases import BenchmarkRef, HallCase, SplitIds
from gp.hall_entries import Baseline, Ending, HallProxy, Measured
from gp.hall_file import HallDocument
from gp.lineage import ancestry
from gp.reporter import Reporter
from models.benchmarks.benchmark import Benchmark

__all__ = ["hall_case", "measure"]

EARLY = (Stop.TIME, Stop.PATIENCE, Stop.TARGET, Stop.CALLBACK)


def measure(
    found: Found, settings: Mapping[str, Any] | None = None, reporter: Reporter | None = None, on_invalid: str = "fail"
) -> HallDocument:
    """The hall of fame with its figures, ready for `save_hall`; `settings` are recorded as what it was made with."""
    reporter, formulas, state = reporter or Reporter(), found.hall.champions, found.result.state
    cases = tuple(_measured(case, formulas, reporter, on_invalid) for case in found.cases)
    return HallDocument(
        seed=found.config.seed,
        config=settings or {"search": found.config.to_dict()},
        cases=cases,
        proxies=tuple(HallProxy.of(f, [case.figures[i] for case in cases]) for i, f in enumerate(formulas)),
        evaluations=found.evaluations,
        rejections=dict(state.rejections),
        lineage=ancestry(state.seen, [formula.proxy.without_constants().text for formula in formulas]),
        ending=Ending(str(found.result.stop), state.iteration, found.result.stop in EARLY),
    )


def _measured(case: Case, formulas: Sequence[Evaluation], reporter: Reporter, on_invalid: str) -> HallCase:
    """A case with the figures of the formulas on all its architectures, by exact scores."""
    proxies, everyone = [formula.proxy for formula in formulas], case.benchmark.architectures
    reporter.stage(f"exact scores of the hall of fame on all {len(everyone)} architectures of {case.benchmark.name}")
    case.workshop.prepare(proxies, everyone, reporter.networks)
    case = reporter.sound(case, on_invalid)
    benchmark, split, build = case.benchmark, case.split, case.workshop.bank.key.build
    exact = case.workshop.exact_scores(proxies, benchmark.architectures)
    quick = branch_table(case.seen, case.workshop).scores(proxies)
    figures = tuple(
        Measured(**report(formula.sign * row, benchmark, split), fidelity=fidelity(row[list(split.search)], close))
        for formula, row, close in zip(formulas, exact, quick, strict=True)
    )
    return hall_case(
        case,
        figures,
        tuple(Baseline(**row) for row in baselines(benchmark, split, build)),
        tuple(Baseline(**row) for row in rivals(benchmark, split, build)),
    )


def hall_case(
    case: Case, figures: tuple[Measured, ...], counted: tuple[Baseline, ...] = (), fitted: tuple[Baseline, ...] = ()
) -> HallCase:
    """The entry of a hall of fame for a case, with the figures of its formulas."""
    benchmark, key = case.benchmark, case.workshop.bank.key
    ref = BenchmarkRef(benchmark.name, benchmark.digest, benchmark.metric, benchmark.higher_is_better)
    return HallCase(
        case.place or benchmark.name,
        benchmark.space,
        key.build,
        ref,
        _ids(benchmark, case.split),
        key.digest,
        figures,
        counted,
        fitted,
        case.dropped,
    )


def _ids(benchmark: Benchmark, split: Split) -> SplitIds:
    return SplitIds(*(tuple(benchmark.architectures[i].id for i in part) for part in (split.search, split.holdout)))
