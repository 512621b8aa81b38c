"""The search algorithms: each is which offspring to try next, and who survives them.

lpzero  steady state: two random parents out of the best tenth, the worst of all leaves
        (Dong et al. 2024, arXiv 2410.04808)
random  the control: every formula of the space equally likely
nsga2   fitness against complexity, generational (Deb et al. 2002, doi 10.1109/4235.996017)
"""

from __future__ import annotations

import math
import random
from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass

from deap import base, tools

from gp.config import SearchConfig
from gp.evolution.individual import Individual
from gp.evolution.primitive_set import draw
from gp.evolution.variation import Exhausted, Guard, select_parents, vary

__all__ = ["ALGORITHMS", "Algorithm", "Nursery"]

Population = list[Individual]


@dataclass(frozen=True)
class Nursery:
    """Where individuals come from in one step: generator, operators, rules (None without PPS)."""

    config: SearchConfig
    rng: random.Random
    toolbox: base.Toolbox
    guard: Guard | None

    def newborn(self) -> Individual:
        """One individual from nothing."""
        return self.toolbox.generate(self.rng)

    def child(self, first: Individual, second: Individual) -> Individual:
        """One individual from two parents."""
        return vary(self.rng, self.toolbox, self.config, first, second)

    def many(self, make: Callable[[], Individual], count: int) -> Population:
        """`count` individuals, none twice under PPS; fewer, or Exhausted, if the space has no more."""
        made: Population = []
        while len(made) < count:
            try:
                made.append(make())
            except Exhausted:
                if not made:
                    raise
                break
            if self.guard is not None:
                self.guard.pending.add(made[-1].canonical.text)
        return made


@dataclass(frozen=True)
class Algorithm:
    """`offspring(nursery, population, left)` makes the next one to `left` individuals to evaluate;
    `survivors(population, offspring, size)` is the next population."""

    name: str
    offspring: Callable[[Nursery, Population, int], Population]
    survivors: Callable[[Population, Population, int], Population]


def _fitness(individual: Individual) -> float:
    return float(individual.fitness.values[0])


def _best(population: Population, offspring: Population, size: int) -> Population:
    """Best first; of equals the older stays."""
    survivors = list(population)
    for child in offspring:
        insort(survivors, child, key=lambda individual: -_fitness(individual))
    return survivors[:size]


def _lpzero_offspring(nursery: Nursery, population: Population, left: int) -> Population:
    return [nursery.child(*select_parents(nursery.rng, population, nursery.config.selection_ratio))]


def _random_offspring(nursery: Nursery, population: Population, left: int) -> Population:
    return nursery.many(nursery.newborn, min(nursery.config.population, left))


def _nsga2_offspring(nursery: Nursery, population: Population, left: int) -> Population:
    _assign_crowding(population)

    def child() -> Individual:
        return nursery.child(_duel(nursery.rng, population), _duel(nursery.rng, population))

    return nursery.many(child, min(nursery.config.population, left))


def _nsga2_survivors(population: Population, offspring: Population, size: int) -> Population:
    """Invalid formulas have no place on a front: they only fill what the valid ones leave free."""
    everyone = population + offspring
    valid = [i for i in everyone if math.isfinite(_fitness(i))]
    invalid = [i for i in everyone if not math.isfinite(_fitness(i))]
    chosen = tools.selNSGA2(valid, min(size, len(valid))) if valid else []
    return chosen + invalid[: size - len(chosen)]


def _assign_crowding(population: Population) -> None:
    """Crowding distances from the population alone, so that a resumed search has the same ones."""
    for individual in population:
        individual.fitness.crowding_dist = -1.0  # stays so for an invalid one, which loses every tie
    valid = [i for i in population if math.isfinite(_fitness(i))]
    for front in tools.sortNondominated(valid, len(valid)):
        tools.emo.assignCrowdingDist(front)


def _duel(rng: random.Random, population: Population) -> Individual:
    """The better of two random members: the one that dominates, else the less crowded one."""
    a, b = draw(rng, population), draw(rng, population)
    if a.fitness.dominates(b.fitness) or b.fitness.dominates(a.fitness):
        return a if a.fitness.dominates(b.fitness) else b
    return b if b.fitness.crowding_dist > a.fitness.crowding_dist else a


ALGORITHMS: dict[str, Algorithm] = {
    a.name: a
    for a in (
        Algorithm("lpzero", _lpzero_offspring, _best),
        Algorithm("random", _random_offspring, _best),
        Algorithm("nsga2", _nsga2_offspring, _nsga2_survivors),
    )
}
