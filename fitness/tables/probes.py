"""The predictive part of PPS: a formula is tried on a few probe architectures before the full price is paid.

Its score must be finite, must not be constant, and must not be noise: a second initialisation of the same probes
has to rank them alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fitness.ranking import row_by_row
from fitness.tables.branches import BranchTable
from primitives.proxy import Proxy

__all__ = ["PROBE_RULES", "RETEST", "Probes", "first_broken"]

RETEST = 0.5  # least Spearman's rho between two initialisations of the probes, where a search says nothing else
PROBE_RULES = {
    "probe_invalid": "the score is not a finite number on a probe architecture",
    "probe_constant": "all probe architectures get the same score",
    "probe_noise": f"a second initialisation ranks the probes differently (rho below {RETEST}, or --retest)",
}


class Probes:
    """Two initialisations of the same few architectures, by which formulas are tried; `retest` is the least rho
    between the two rankings."""

    def __init__(self, first: BranchTable, second: BranchTable, retest: float = RETEST) -> None:
        self.first, self.second, self.retest = first, second, retest

    def violations(self, proxies: Sequence[Proxy]) -> list[str | None]:
        """For each formula the name of the first probe rule that it breaks, or None."""
        if not proxies:
            return []
        first, second = self.first.scores(proxies), self.second.scores(proxies)
        found: list[str | None] = []
        with np.errstate(all="ignore"):
            finite = np.isfinite(first).all(-1) & np.isfinite(second).all(-1)
            constant = (first.max(-1) == first.min(-1)) | (second.max(-1) == second.min(-1))
        rho = np.ones(len(first))
        usable = finite & ~constant
        rho[usable] = row_by_row(first[usable], second[usable])
        for is_finite, is_constant, agreement in zip(finite, constant, rho, strict=True):
            rule = "probe_invalid" if not is_finite else "probe_constant" if is_constant else None
            found.append(rule or ("probe_noise" if agreement < self.retest else None))
        return found


def first_broken(every: Sequence[Probes]) -> Callable[[Sequence[Proxy]], list[str | None]]:
    """The first probe rule that each formula breaks on any of several sets of probes."""

    def violations(proxies: Sequence[Proxy]) -> list[str | None]:
        found = [probes.violations(proxies) for probes in every]
        return [next(filter(None, rules), None) for rules in zip(*found, strict=True)]

    return every[0].violations if len(every) == 1 else violations
