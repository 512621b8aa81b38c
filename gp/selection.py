"""Selection: a search over architectures for the best scores at every cost, under budgets.

NSGA-II (Deb et al. 2002, doi 10.1109/4235.996017) over (score, cost): every generation's children are made by crossing
and mutating, those beyond a budget are made again, and none is scored twice. One seed is one result: networks are
scored through the bank, so neither the devices nor an interruption change it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fitness.candidates import Candidate
from fitness.costs import Costs
from gp.evolution.fronts import first_front, survivors
from models.architecture import Architecture, BadArchitecture
from models.spaces import SPACES
from models.spaces.variation import Region, crossed, drawn, mutated, valid
from storage.errors import CannotCompute

__all__ = ["NoCandidate", "Selection", "SelectionConfig", "select"]

TRIES = 500  # for one architecture that is new and within the budget

Allowed = Callable[[Architecture, Costs], bool]
Score = Callable[[Sequence[Architecture]], Sequence[tuple[float | None, str]]]
Count = Callable[[Architecture], Costs]
Check = Callable[[Mapping[str, Any]], dict[str, Any]]


class NoCandidate(CannotCompute, ValueError):
    """A budget that nothing meets; the message says what the cheapest architecture needs."""


@dataclass(frozen=True)
class SelectionConfig:
    """Settings of a selection: the number of networks to score, the size of a generation, the cost to trade, and how
    often two parents are crossed before a child is mutated."""

    networks: int = 1000
    population: int = 50
    cost: str = "params"
    crossover: float = 0.5
    seed: int = 42


@dataclass(frozen=True)
class Selection:
    """The front, best score first; and all that were scored, in the order of the search."""

    front: tuple[Candidate, ...]
    scored: tuple[Candidate, ...]


class _Nursery:
    """Makes architectures that are new and within the budget."""

    def __init__(
        self, space: str, region: Region, allowed: Allowed, count: Count, rng: random.Random, check: Check | None
    ) -> None:
        self.space, self.region, self.allowed, self.count, self.rng = SPACES[space], region, allowed, count, rng
        self.check = check or self.space.check
        self.seen: dict[Architecture, Costs] = {}

    def new(self, make: Callable[[], dict[str, Any]], tries: int = TRIES) -> Architecture | None:
        """The first one made that is new and allowed; None after many."""
        for _ in range(tries):
            try:
                config = valid(make, self.check)
            except BadArchitecture:
                continue
            architecture = self.space.architecture(f"new-{len(self.seen)}", config)
            if architecture not in self.seen and self.allowed(architecture, costs := self.count(architecture)):
                self.seen[architecture] = costs
                return architecture
        return None

    def drawn(self) -> Architecture | None:
        """One drawn from the region; where the budget is rare there, one that shrank from such a draw."""
        return self.new(lambda: drawn(self.region, self.rng))

    def child(self, parents: Sequence[Architecture], crossover: float) -> Architecture | None:
        """A change of a parent, or of a child of two."""

        def make() -> dict[str, Any]:
            a, b = (_winner(parents, self.rng).config for _ in range(2))
            child: Mapping[str, Any] = crossed(self.region, a, b, self.rng) if self.rng.random() < crossover else a
            return mutated(self.region, child, self.rng)

        return self.new(make)


def _winner(ordered: Sequence[Architecture], rng: random.Random) -> Architecture:
    """Binary tournament: the better of two random members in the order of NSGA-II."""
    return ordered[min(rng.randrange(len(ordered)), rng.randrange(len(ordered)))]


def select(
    space: str,
    region: Region,
    config: SelectionConfig,
    *,
    count: Count,
    allowed: Allowed,
    score: Score,
    on_generation: Callable[[int, float], None] | None = None,
    check: Check | None = None,
) -> Selection:
    """The front of `config.networks` architectures of a region, every one of them allowed.

    `count` tells the costs, `score` the (score, reason) of new architectures; `on_generation` hears how many were
    scored and the best score; `check` normalises a configuration, or refuses it, in place of the space. Raises
    NoCandidate where nothing meets the budget.
    """
    nursery = _Nursery(space, region, allowed, count, random.Random(f"select:{config.seed}"), check)
    scored, alive = dict[Architecture, Candidate](), list[Architecture]()
    while (left := config.networks - len(scored)) > 0:
        size = min(config.population, left)
        makers = (nursery.child(alive, config.crossover) if alive else nursery.drawn() for _ in range(size))
        batch = [architecture for architecture in makers if architecture is not None]
        if not batch:
            break
        for architecture, (value, reason) in zip(batch, score(batch), strict=True):
            scored[architecture] = Candidate(architecture, nursery.seen[architecture], value, reason)
        pool = [*alive, *(a for a in batch if scored[a].score is not None)]
        alive = survivors(pool, [_value(scored[a], config.cost) for a in pool], config.population) if pool else []
        if on_generation:
            on_generation(len(scored), max((c.score for c in scored.values() if c.score is not None), default=0.0))
    return _finished(tuple(scored.values()), config)


def _value(candidate: Candidate, cost: str) -> tuple[float, float]:
    return float(candidate.score or 0.0), float(getattr(candidate.costs, cost))


def _finished(scored: tuple[Candidate, ...], config: SelectionConfig) -> Selection:
    usable = [candidate for candidate in scored if candidate.score is not None]
    if not usable:
        raise NoCandidate("no architecture that meets the budget was found; allow more, or use a smaller benchmark")
    front = first_front(usable, [_value(candidate, config.cost) for candidate in usable])
    order = sorted(front, key=lambda c: (-float(c.score or 0.0), getattr(c.costs, config.cost), c.architecture.digest))
    return Selection(tuple(order), scored)
