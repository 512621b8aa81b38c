"""Breeder: where individuals come from in one step of a search: toolbox, random numbers and rules."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from deap import base

from gp.evolution.individual import Individual, Misfit
from gp.evolution.primitive_set import ProxySet
from gp.evolution.variation import Exhausted, Guard, vary
from gp.lineage import Birth
from primitives.proxy import Proxy

if TYPE_CHECKING:
    from gp.config import SearchConfig

__all__ = ["Breeder", "Population", "Sweep"]

Population = list[Individual]

Sweep = Callable[[Proxy | None, int], tuple[Iterable[Proxy], int]]
"""The best of all formulas that differ from a given one in one branch, best first, and how many were compared: branch
number `hole` is replaced by every branch of the space, or every branch is joined to the formula where it has fewer;
the best single branches for no formula at all."""


@dataclass
class Breeder:
    """Tools by which algorithms make individuals; `guard` is None without PPS, `sweep` where nobody can compare whole
    neighbourhoods. `swept` names the neighbourhoods that were compared before this step, `newly` those of this step
    with the number of formulas in each."""

    config: SearchConfig
    rng: random.Random
    toolbox: base.Toolbox
    guard: Guard | None
    pset: ProxySet
    sweep: Sweep | None = None
    swept: Collection[str] = ()
    newly: dict[str, int] = field(default_factory=dict)

    def newborn(self) -> Individual:
        """One individual from nothing."""
        return self.toolbox.individual(self.rng)

    def child(self, population: Population) -> Individual:
        """One individual from two parents that the toolbox selects."""
        first, second = self.toolbox.select(self.rng, population, 2)
        return vary(self.rng, self.toolbox, self.config, first, second)

    def brood(self, make: Callable[[], Individual], count: int) -> Population:
        """`count` individuals that no predictive rule refuses, asked of many at once; perhaps fewer."""
        born: Population = []
        for _ in range(self.config.tries):
            try:
                made = self.many(make, count - len(born))
            except Exhausted:
                break
            born += self.guard.admitted(made) if self.guard is not None else made
            if len(born) >= count:
                break
        if not born:
            raise Exhausted("the rules leave no new formula; allow more inputs, operators or aggregations")
        return born

    def neighbours(self, parent: Individual | None, hole: int, most: int) -> Population:
        """At most `most` new individuals out of the sweep of a parent, or of the single branches; none if it was
        swept before."""
        proxy = parent.canonical if parent is not None else None
        name = f"{hole} {proxy or ''}".rstrip()
        if self.sweep is None or name in self.swept or name in self.newly:
            return []
        found, self.newly[name] = self.sweep(proxy, hole)
        birth = Birth("sweep") if parent is None else parent.birth or Birth("sweep")
        if parent is not None and parent.fitness.valid:
            birth = Birth("sweep", (parent.canonical.text,))
        elif birth.parents:
            birth = Birth(f"{birth.operator}_and_sweep", birth.parents)
        return self._spelled(found, birth, most)

    def _spelled(self, proxies: Iterable[Proxy], birth: Birth, most: int) -> Population:
        """The first `most` formulas that the set can spell and the rules admit, tried a few at a time."""
        born: Population = []
        waiting = iter(proxies)
        while len(born) < most and (some := list(islice(waiting, 2 * most))):
            new = [individual for proxy in some if (individual := self._individual(proxy, birth)) is not None]
            born += self.guard.admitted(new) if self.guard is not None else new
        return born[:most]

    def _individual(self, proxy: Proxy, birth: Birth) -> Individual | None:
        """The formula as a tree; None if the set cannot spell it or a rule about its text refuses it."""
        try:
            individual = Individual.from_proxy(proxy, self.pset)
        except Misfit:
            return None
        individual.birth = birth
        if self.guard is not None:
            if self.guard.fault(individual) is not None:
                return None
            self.guard.pending.add(proxy.text)
        return individual

    def crossed(self, first: Individual, second: Individual) -> Individual:
        """A child of both parents by crossover alone."""
        child = self.toolbox.mate(self.rng, first, second)
        child.birth = child.birth or Birth("mate", (first.canonical.text, second.canonical.text))
        return child

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
