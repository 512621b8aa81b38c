"""Operon as the search: a library's symbolic regression instead of our evolution, a run of it a step.

Its formulas pass the same rules and the same evaluation as any others. Where nobody gives branches to regress on, and
where a run finds nothing new, newborn formulas are tried."""

from __future__ import annotations

from gp.evolution.algorithms.memetic import Memetic
from gp.evolution.algorithms.registry import algorithm
from gp.evolution.breeder import Breeder, Population

__all__ = ["Operon"]

TAKEN = 40  # formulas of a run
NEWBORN = 10


@algorithm("operon")
class Operon(Memetic):
    """Runs of Operon by number; of formulas that rank the networks alike the best one survives."""

    def first(self, breeder: Breeder) -> Population:
        """The formulas of the first run, and newborn ones."""
        return breeder.neighbours(None, 0, TAKEN) + breeder.brood(breeder.newborn, NEWBORN)

    def offspring(self, breeder: Breeder, population: Population, left: int) -> Population:
        """The formulas of the next run."""
        found = breeder.neighbours(None, len(breeder.swept), min(TAKEN, left))
        return found or breeder.brood(breeder.newborn, min(NEWBORN, left))
