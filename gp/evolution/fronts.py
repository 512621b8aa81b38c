"""Fronts of score against cost, by DEAP's NSGA-II, for anything that has both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from deap import base, tools

__all__ = ["first_front", "survivors"]

T = TypeVar("T")


class ScoreAndCost(base.Fitness):
    """More score and less cost are better."""

    weights = (1.0, -1.0)


class Point(Generic[T]):
    """A thing with its fitness, as DEAP wants it."""

    def __init__(self, thing: T, score: float, cost: float) -> None:
        self.thing, self.fitness = thing, ScoreAndCost((score, cost))


def survivors(things: Sequence[T], values: Sequence[tuple[float, float]], size: int) -> list[T]:
    """At most `size` of them, front after front, the least crowded of the last one; `values` are (score, cost)."""
    return [point.thing for point in tools.selNSGA2(_points(things, values), min(size, len(things)))]


def first_front(things: Sequence[T], values: Sequence[tuple[float, float]]) -> list[T]:
    """Pareto-optimal members in the given order."""
    fronts: list[Any] = tools.sortNondominated(_points(things, values), len(things), first_front_only=True)
    kept = {id(point.thing) for front in fronts for point in front}
    return [thing for thing in things if id(thing) in kept]


def _points(things: Sequence[T], values: Sequence[tuple[float, float]]) -> list[Point[T]]:
    return [Point(thing, *value) for thing, value in zip(things, values, strict=True)]
