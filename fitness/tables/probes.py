"""The predictive part of PPS: a formula is tried on a few probe architectures before the full price is paid.

Its score must be finite, must not be constant, and must not be noise: a second initialisation of the same probes
has to rank them alike.
"""

from __future__ import annotations

import numpy as np

from fitness.ranking import RankTarget
from fitness.tables.branches import BranchTable
from primitives.proxy import Proxy

__all__ = ["PROBE_RULES", "RETEST", "Probes"]

RETEST = 0.5  # least Spearman's rho between two initialisations of the probes
PROBE_RULES = {
    "probe_invalid": "the score is not a finite number on a probe architecture",
    "probe_constant": "all probe architectures get the same score",
    "probe_noise": f"a second initialisation ranks the probes differently (rho below {RETEST})",
}


class Probes:
    """Two initialisations of the same few architectures; `violation(proxy)` names the rule that is broken."""

    def __init__(self, first: BranchTable, second: BranchTable) -> None:
        self.first, self.second = first, second

    def violation(self, proxy: Proxy) -> str | None:
        """The name of the first broken probe rule, or None."""
        with np.errstate(all="ignore"):
            scores = np.stack([self.first.score(proxy), self.second.score(proxy)])
        if not np.isfinite(scores).all():
            return "probe_invalid"
        if (scores.max(1) == scores.min(1)).any():
            return "probe_constant"
        return "probe_noise" if RankTarget.create(scores[0]).spearman(scores[1:])[0] < RETEST else None
