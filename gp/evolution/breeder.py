"""Breeder: where individuals come from in one step of a search: toolbox, random numbers and rules."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deap import base

from gp.evolution.individual import Individual
from gp.evolution.variation import Exhausted, Guard, vary

if TYPE_CHECKING:
    from gp.config import SearchConfig

__all__ = ["Breeder", "Population"]

Population = list[Individual]


@dataclass(frozen=True)
class Breeder:
    """What an algorithm makes individuals with; `guard` is None without PPS."""

    config: SearchConfig
    rng: random.Random
    toolbox: base.Toolbox
    guard: Guard | None

    def newborn(self) -> Individual:
        """One individual from nothing."""
        return self.toolbox.individual(self.rng)

    def child(self, population: Population) -> Individual:
        """One individual from two parents that the toolbox selects."""
        first, second = self.toolbox.select(self.rng, population, 2)
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
