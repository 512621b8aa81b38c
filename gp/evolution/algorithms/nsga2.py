"""NSGA-II, fitness against complexity, generational (Deb et al. 2002, doi 10.1109/4235.996017)."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

from deap import tools

from gp.evolution.algorithms.registry import Newborn, algorithm
from gp.evolution.breeder import Breeder, Population
from gp.evolution.individual import Individual, worth
from gp.evolution.primitive_set import draw

if TYPE_CHECKING:
    from gp.config import SearchConfig

__all__ = ["NSGA2"]


@algorithm("nsga2")
class NSGA2(Newborn):
    """A population of children a step; parents win duels by domination, then by crowding."""

    def select(self, rng: random.Random, population: Population, count: int, config: SearchConfig) -> Population:
        """The winners of `count` duels."""
        return [_duel(rng, population) for _ in range(count)]

    def offspring(self, breeder: Breeder, population: Population, left: int) -> Population:
        """Children of duellers."""
        _assign_crowding(population)
        return breeder.many(lambda: breeder.child(population), min(breeder.config.population, left))

    def survivors(self, population: Population, offspring: Population, size: int) -> Population:
        """Invalid formulas have no place on a front: they only fill what the valid ones leave free."""
        valid, invalid = _parted(population + offspring)
        chosen = tools.selNSGA2(valid, min(size, len(valid))) if valid else []
        return chosen + invalid[: size - len(chosen)]


def _parted(everyone: Population) -> tuple[Population, Population]:
    """(valid, invalid) individuals."""
    valid = [i for i in everyone if math.isfinite(worth(i))]
    return valid, [i for i in everyone if not math.isfinite(worth(i))]


def _assign_crowding(population: Population) -> None:
    """Crowding distances from the population alone, so that a resumed search has the same ones."""
    for individual in population:
        individual.fitness.crowding_dist = -1.0  # stays so for an invalid one, which loses every tie
    valid, _ = _parted(population)
    for front in tools.sortNondominated(valid, len(valid)):
        tools.emo.assignCrowdingDist(front)


def _duel(rng: random.Random, population: Population) -> Individual:
    """The better of two random members: the one that dominates, else the less crowded one."""
    a, b = draw(rng, population), draw(rng, population)
    if a.fitness.dominates(b.fitness) or b.fitness.dominates(a.fitness):
        return a if a.fitness.dominates(b.fitness) else b
    return b if b.fitness.crowding_dist > a.fitness.crowding_dist else a
