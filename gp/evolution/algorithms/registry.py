"""The table of algorithms, and its one door: a class with the decorator `algorithm` is one."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from gp.evolution.breeder import Breeder, Population
from storage.errors import WrongInput

if TYPE_CHECKING:
    from gp.config import SearchConfig

__all__ = ["ALGORITHMS", "Algorithm", "BadAlgorithm", "Newborn", "algorithm"]

PARTS = ("first", "select", "offspring", "survivors")


class BadAlgorithm(WrongInput):
    """A class that cannot be registered; the message says what is taken or missing."""


class Algorithm(Protocol):
    """Choice of the offspring that a search tries next, and of the survivors. It has no state: all of it is in the
    population.

    One with `together = True` makes them by `Breeder.brood`, which asks predictive rules of many at once.
    """

    def first(self, breeder: Breeder) -> Population:
        """The initial population."""
        ...

    def select(self, rng: random.Random, population: Population, count: int, config: SearchConfig) -> Population:
        """`count` parents; a toolbox with a `select` of its own replaces this."""
        ...

    def offspring(self, breeder: Breeder, population: Population, left: int) -> Population:
        """The next one to `left` individuals to evaluate."""
        ...

    def survivors(self, population: Population, offspring: Population, size: int) -> Population:
        """The next population, at most `size`, from evaluated individuals."""
        ...


ALGORITHMS: dict[str, Algorithm] = {}
"""The algorithms by name."""

A = TypeVar("A", bound=type)


class Newborn:
    """The part of an algorithm that begins with a population of newborn individuals."""

    def first(self, breeder: Breeder) -> Population:
        """As many newborn individuals as a population has."""
        return breeder.many(breeder.newborn, breeder.config.population)


def algorithm(name: str) -> Callable[[A], A]:
    """Register an algorithm; BadAlgorithm if the name is taken or a method is missing."""

    def register(cls: A) -> A:
        if name in ALGORITHMS:
            raise BadAlgorithm(f"algorithm {name!r}: the name is taken; choose another")
        for part in PARTS:
            if not callable(getattr(cls, part, None)):
                raise BadAlgorithm(f"algorithm {name!r}: no method {part}, wanted {', '.join(PARTS)}; add it")
        ALGORITHMS[name] = cls()
        return cls

    return register
