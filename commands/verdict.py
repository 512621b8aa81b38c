"""The verdict on a search: its champion beside regressions on the same labels and counts, on held-out architectures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from commands.feature_options import WHERE
from commands.output import say, say_next

if TYPE_CHECKING:
    from gp.hall_cases import HallCase
    from gp.hall_entries import Baseline
    from gp.hall_file import HallDocument

__all__ = ["regression_wins", "say_verdict", "verdict"]


def say_verdict(document: HallDocument, path: Path) -> None:
    """The verdict on the hall of fame in a file, benchmark by benchmark, and the command that joins its formulas with
    a regression where a regression ranks better."""
    for case in document.cases:
        if (sentence := verdict(case)) is not None:
            say(sentence)
    if len(document.cases) == 1 and regression_wins(document.cases[0]):
        say_next("fit", path, keep=WHERE, label="to predict quality")


def verdict(case: HallCase) -> str | None:
    """One sentence; None where the champion has no figures."""
    champion = _tau(case.figures[0].holdout)
    if champion is None:
        return None
    kinds = (("the best regression on the same labels", case.rivals), ("the best count", case.baselines))
    found = ((what, _best(rows)) for what, rows in kinds)
    rows = [f"{what} ({best[0]}) {best[1]:.3f}" for what, best in found if best is not None]
    beside = f", {' and '.join(rows)}" if rows else ""
    count, name = len(case.split.holdout), case.benchmark.name
    return f"verdict: on {count} held-out architectures of {name} the champion has tau-b {champion:.3f}{beside}"


def regression_wins(case: HallCase) -> bool:
    """Whether a regression ranks the held-out architectures better than the champion."""
    champion, rival = _tau(case.figures[0].holdout), _best(case.rivals)
    return champion is not None and rival is not None and rival[1] > champion


def _best(rows: Sequence[Baseline]) -> tuple[str, float] | None:
    found = [(row.name, tau) for row in rows if (tau := _tau(row.holdout)) is not None]
    return max(found, key=lambda row: row[1], default=None)


def _tau(figures: Mapping[str, object] | None) -> float | None:
    tau = (figures or {}).get("kendall")
    return float(tau) if isinstance(tau, int | float) else None
