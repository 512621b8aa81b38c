"""The outcome of a search: the tables, the verdict and the next command that evolve prints at its end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from commands.feature_options import WHERE
from commands.output import columns_of, direction, emit, say, say_ceiling, say_intervals, say_next
from commands.tables import Formula, Row
from commands.verdict import say_verdict

if TYPE_CHECKING:
    from gp.hall_file import HallCase, HallDocument
    from gp.runs.run import Outcome, Run
    from models.benchmarks.benchmark import Benchmark

__all__ = ["case_rows", "show_outcome"]


def show_outcome(outcome: Outcome, run: Run, benchmarks: Sequence[Benchmark], form: str) -> int:
    """Print the figures of a run, the verdict and the next command; the exit status of evolve."""
    document = outcome.document
    if document is None:
        say(f"stopped at iteration {outcome.result.state.iteration}; nothing is lost")
        say_next("evolve", "--resume", run.folder, keep=(*WHERE, "jobs"))
        return 130
    if form == "json":
        print(json.dumps(document.to_dict(), indent=2, sort_keys=True, allow_nan=False))
    elif form == "table":
        for case, benchmark in zip(document.cases, benchmarks, strict=True):
            emit(case_rows(document, case), form, f"{benchmark.name}: correlation with {direction(benchmark)}")
    else:
        rows: list[Row] = []
        for case in document.cases:
            named: Row = {"benchmark": case.benchmark.name} if len(document.cases) > 1 else {}
            rows += [named | row for row in case_rows(document, case)]
        emit(rows, form, "")
    for benchmark in benchmarks:
        say_ceiling(benchmark)
    say_intervals(min(len(case.split.holdout) for case in document.cases))
    for stage, seconds in outcome.seconds.items():
        say(f"{stage}: {seconds:.1f} s")
    say(f"{document.evaluations:,} formulas compared; PPS refused {_by_rule(document.rejections)}")
    if document.ending is not None and document.ending.early:
        say(f"ended early at iteration {document.ending.iteration}: {document.ending.reason}")
        say_next("evolve", "--resume", run.folder, keep=(*WHERE, "jobs"), label="to go on")
    say_verdict(document, run.folder / "hall_of_fame.json")
    say_next("replay", run.folder / "hall_of_fame.json", "--benchmark", run.settings.cases[0].benchmark, keep=WHERE)
    return 0


def _by_rule(rejections: Mapping[str, int]) -> str:
    return ", ".join(f"{rule} {count}" for rule, count in sorted(rejections.items(), key=lambda i: -i[1])) or "nothing"


def case_rows(document: HallDocument, case: HallCase) -> list[Row]:
    """The formulas, rivals and baselines of a hall of fame on one of its benchmarks as a table."""
    rows: list[Row] = [
        {"proxy": Formula(p.proxy.text, p.sign), **columns_of(vars(found)), "fidelity": _number(found.fidelity)}
        for p, found in zip(document.proxies, case.figures, strict=True)
    ]
    if any(p.proxy.reads != "network" for p in document.proxies):
        rows = [row | {"reads": p.proxy.reads} for row, p in zip(rows, document.proxies, strict=True)]
    beside = (*case.rivals, *case.baselines)
    return rows + [{"proxy": Formula(f"({b.name})", 1, False), **columns_of(vars(b))} for b in beside]


def _number(fidelity: object) -> float | None:
    """A file may hold more about the fidelity than the number that a run writes."""
    return float(fidelity) if isinstance(fidelity, int | float) else None
