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

__all__ = ["few_labels", "regression_wins", "say_verdict", "verdict"]


def say_verdict(document: HallDocument, path: Path) -> None:
    """The verdict on the hall of fame in a file, benchmark by benchmark, with a warning where its labels are few, and
    the command that joins its formulas with a regression where a regression ranks better."""
    for case in document.cases:
        for sentence in (verdict(case), few_labels(case)):
            if sentence is not None:
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


def few_labels(case: HallCase) -> str | None:
    """A warning that the choice of the champion is uncertain, with the range of what the formulas of the hall of fame
    have on held-out architectures; None where the search saw ENOUGH labels."""
    from fitness.protocol import ENOUGH

    count, found = len(case.split.search), [_tau(figures.holdout) for figures in case.figures]
    taus = [tau for tau in found if tau is not None]
    if count >= ENOUGH or not taus:
        return None
    others = ""
    if len(taus) > 1:
        others = (
            f"the {len(taus)} of the hall have held-out tau-b {min(taus):.3f} to {max(taus):.3f}, and rank "
            f"--committee {len(taus)} takes their mean position; "
        )
    return (
        f"few labels: {count} architectures, fewer than {ENOUGH}, are fitted alike by many formulas; {others}"
        "suggest names what to measure next"
    )


def regression_wins(case: HallCase) -> bool:
    """True if a regression ranks the held-out architectures better than the champion."""
    champion, rival = _tau(case.figures[0].holdout), _best(case.rivals)
    return champion is not None and rival is not None and rival[1] > champion


def _best(rows: Sequence[Baseline]) -> tuple[str, float] | None:
    found = [(row.name, tau) for row in rows if (tau := _tau(row.holdout)) is not None]
    return max(found, key=lambda row: row[1], default=None)


def _tau(figures: Mapping[str, object] | None) -> float | None:
    tau = (figures or {}).get("kendall")
    return float(tau) if isinstance(tau, int | float) else None
