"""LPZero's steady state: two random parents out of the best tenth, the worst of all leaves
(Dong et al. 2024, arXiv 2410.04808)."""

from __future__ import annotations

import random
from bisect import insort
from typing import TYPE_CHECKING

from gp.evolution.algorithms.registry import Newborn, algorithm
from gp.evolution.breeder import Breeder, Population
from gp.evolution.individual import worth
from gp.evolution.primitive_set import draw

if TYPE_CHECKING:
    from gp.config import SearchConfig

__all__ = ["LPZero", "best"]


def best(population: Population, offspring: Population, size: int) -> Population:
    """Best first; of equals the older stays."""
    survivors = list(population)
    for child in offspring:
        insort(survivors, child, key=lambda individual: -worth(individual))
    return survivors[:size]


@algorithm("lpzero")
class LPZero(Newborn):
    """One offspring a step."""

    def select(self, rng: random.Random, population: Population, count: int, config: SearchConfig) -> Population:
        """Different members of the best `config.selection_ratio` of a population sorted best first."""
        top = population[: max(count, round(config.selection_ratio * len(population)))]
        chosen: list[int] = []
        for _ in range(count):
            chosen.append(draw(rng, [i for i in range(len(top)) if i not in chosen]))
        return [top[i] for i in chosen]

    def offspring(self, breeder: Breeder, population: Population, left: int) -> Population:
        """One child."""
        return [breeder.child(population)]

    def survivors(self, population: Population, offspring: Population, size: int) -> Population:
        """The best of all."""
        return best(population, offspring, size)
