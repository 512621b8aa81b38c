"""Random search, the control: every formula of the space equally likely."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from gp.evolution.algorithms.lpzero import best
from gp.evolution.algorithms.registry import Newborn, algorithm
from gp.evolution.breeder import Breeder, Population

if TYPE_CHECKING:
    from gp.config import SearchConfig

__all__ = ["RandomSearch"]


@algorithm("random")
class RandomSearch(Newborn):
    """A population of newborn individuals a step."""

    def select(self, rng: random.Random, population: Population, count: int, config: SearchConfig) -> Population:
        """The best; nobody has children here."""
        return population[:count]

    def offspring(self, breeder: Breeder, population: Population, left: int) -> Population:
        """Newborn individuals."""
        return breeder.many(breeder.newborn, min(breeder.config.population, left))

    def survivors(self, population: Population, offspring: Population, size: int) -> Population:
        """The best of all."""
        return best(population, offspring, size)
