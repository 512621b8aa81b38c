"""The default: a generational evolution whose offspring are improved by sweeps, a memetic algorithm (Moscato 1989).

A sweep replaces one branch of a formula, or joins one more to it, by the best of all branches of the space: the
neighbourhood search that a population of typed trees lacks. Crossover brings together what sweeps found apart.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from gp.evolution.algorithms.registry import algorithm
from gp.evolution.breeder import Breeder, Population
from gp.evolution.individual import Individual, worth
from gp.evolution.primitive_set import draw

if TYPE_CHECKING:
    from gp.config import SearchConfig

__all__ = ["Memetic"]

DUEL = 6  # members of which the best becomes a parent
TAKEN = 10  # results of a sweep that enter the population
CROSSED = 0.2  # share of sweeps that improve a child of two parents, not a member


@algorithm("memetic")
class Memetic:
    """A brood and some sweeps a step; of formulas that rank the networks alike the best one survives."""

    together = True

    def first(self, breeder: Breeder) -> Population:
        """Newborn individuals, and the best single branches."""
        half = max(2, breeder.config.population // 2)
        singles = breeder.neighbours(None, 0, half)
        return singles + breeder.brood(breeder.newborn, breeder.config.population - len(singles))

    def select(self, rng: random.Random, population: Population, count: int, config: SearchConfig) -> Population:
        """The winners of `count` duels in a population sorted best first."""
        places = range(len(population))
        return [population[min(draw(rng, places) for _ in range(DUEL))] for _ in range(count)]

    def offspring(self, breeder: Breeder, population: Population, left: int) -> Population:
        """Children, and what sweeps find."""
        config = breeder.config
        children = breeder.brood(lambda: breeder.child(population), min(config.brood, left))
        for _ in range(config.sweeps):
            children += self._swept(breeder, population)
        return children[:left]

    def _swept(self, breeder: Breeder, population: Population) -> Population:
        rng = breeder.rng
        first, second = breeder.toolbox.select(rng, population, 2)
        crossed = breeder.config.crossover > 0 and rng.random() < CROSSED
        parent = breeder.crossed(first, second) if crossed else first
        holes = min(len(parent.canonical.branches) + 1, breeder.pset.branches)
        return breeder.neighbours(parent, int(rng.random() * holes), TAKEN)

    def survivors(self, population: Population, offspring: Population, size: int) -> Population:
        """The best of all that rank differently; the older, then the simpler, of those that rank alike."""
        best: dict[str, Individual] = {}
        for individual in sorted(population + offspring, key=_order):
            best.setdefault(individual.ranking or individual.canonical.text, individual)
        return list(best.values())[:size]


def _order(individual: Individual) -> tuple[float, int, str]:
    return -worth(individual), individual.canonical.complexity, individual.canonical.text
