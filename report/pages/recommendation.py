"""Pareto front of fitness against complexity, and the recommended formula, both from the search split alone.

The rule is that of one standard error (Breiman et al. 1984; Hastie et al., The Elements of Statistical Learning, 7.10):
the simplest formula that is not worse than the best by more than the standard error of the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gp.hall_entries import Figures, HallProxy

__all__ = ["Recommendation", "front_of", "recommended"]

WIDTH = 2 * 1.96  # standard errors in a 95% interval of a normal distribution


@dataclass(frozen=True)
class Recommendation:
    """The place of a formula in its hall, and the least tau-b on the search split that the rule takes."""

    place: int
    best: float
    error: float

    @property
    def least(self) -> float:
        """One standard error below the best."""
        return self.best - self.error


def recommended(proxies: Sequence[HallProxy]) -> Recommendation | None:
    """Apply the rule; None if the file has no figures of the search split."""
    known = {place: tau for place, entry in enumerate(proxies) if (tau := _tau(entry.search)) is not None}
    if not known:
        return None
    top = max(known, key=lambda place: known[place])
    interval = (proxies[top].search or {}).get("ci95_kendall") or (known[top], known[top])
    error = (interval[1] - interval[0]) / WIDTH
    near = [place for place, tau in known.items() if tau >= known[top] - error]
    pick = min(near, key=lambda place: (proxies[place].proxy.complexity, -known[place], place))
    return Recommendation(pick, known[top], error)


def front_of(proxies: Sequence[HallProxy]) -> list[int]:
    """Indices of the Pareto-optimal formulas (fitness against complexity), simplest first."""
    front: list[int] = []
    for place in sorted(range(len(proxies)), key=lambda p: (proxies[p].proxy.complexity, -proxies[p].formula.fitness)):
        if not front or proxies[place].formula.fitness > proxies[front[-1]].formula.fitness:
            front.append(place)
    return front


def _tau(figures: Figures | None) -> float | None:
    return None if figures is None else figures.get("kendall")
