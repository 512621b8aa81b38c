"""Operon as the search: a library's symbolic regression instead of our evolution, a run of it a step.

Its formulas pass the same rules and the same evaluation as any others. Newborn ones, drawn at random, fill a step, for
a run gives few; they are all where nobody gives branches to regress on."""

from __future__ import annotations

from gp.evolution.algorithms.memetic import Memetic
from gp.evolution.algorithms.registry import algorithm
from gp.evolution.breeder import Breeder, Population

__all__ = ["Operon"]

TAKEN = 40  # formulas of a step


@algorithm("operon")
class Operon(Memetic):
    """Runs of Operon by number; of formulas that rank the networks alike the best one survives."""

    def first(self, breeder: Breeder) -> Population:
        """The formulas of the first run, and newborn ones."""
        return self._step(breeder, breeder.config.population)

    def offspring(self, breeder: Breeder, population: Population, left: int) -> Population:
        """The formulas of the next run."""
        return self._step(breeder, min(TAKEN, left))

    def _step(self, breeder: Breeder, count: int) -> Population:
        found = breeder.neighbours(None, len(breeder.swept), count)
        return found + (breeder.brood(breeder.newborn, count - len(found)) if len(found) < count else [])
