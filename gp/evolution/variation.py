"""Variation: new individuals from nothing, from one parent and from two, on an own random.Random; and PPS,
which decorates them the way DEAP's staticLimit does.

DEAP's own operators draw from the global `random` and from sets of types ordered by address, so a seed does
not fix their result; these draw from the generator they are given, over sorted types.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection
from functools import lru_cache, wraps
from typing import Any

from deap import base

from gp.config import SearchConfig
from gp.evolution.individual import Individual
from gp.evolution.primitive_set import ProxySet, arguments_of, draw
from primitives.pps import violation
from primitives.proxy import Proxy
from storage.errors import ZcpError

__all__ = [
    "SEEN", "Exhausted", "Guard", "Predict", "Varied", "crossover", "generate", "make_toolbox", "mutate",
    "select_parents", "vary",
]  # fmt: skip

Predict = Callable[[Proxy], str | None]
"""The name of the predictive rule that a formula breaks, or None."""

Varied = Callable[..., Individual]
"""An operator that makes an individual from a generator and any number of parents."""

Again = Callable[[random.Random, Individual], Individual]
"""An operator that makes the next attempt out of one that failed."""

SEEN = "seen"
"""The rule that a formula that was evaluated already breaks."""

_FRESH = 20  # times `tries` before a space counts as exhausted


class Exhausted(ZcpError, RuntimeError):
    """The rules leave no new formula, as far as a bounded number of tries can tell."""


def generate(rng: random.Random, pset: ProxySet) -> Individual:
    """An individual; every tree of the typed space is equally likely."""
    return Individual(_grow(rng, pset, pset.network), pset)


def mutate(rng: random.Random, parent: Individual) -> Individual:
    """One subtree grown anew, or one node replaced by another of its type; each half of the time."""
    return (_regrow if rng.random() < 0.5 else _replace_node)(rng, parent)


def crossover(rng: random.Random, first: Individual, second: Individual) -> Individual:
    """`first` with one subtree taken from `second`, where the types agree; mutated if they agree nowhere."""
    slots: dict[str, list[int]] = {}
    donors: dict[str, list[int]] = {}
    for at, slot in list(enumerate(_slot_types(first)))[1:]:
        name = slot.__name__
        if name not in donors:
            donors[name] = [i for i, node in enumerate(second) if issubclass(node.ret, slot)]
        if donors[name]:
            slots.setdefault(name, []).append(at)
    if not slots:
        return mutate(rng, first)
    name = draw(rng, sorted(slots))
    at, donor = draw(rng, slots[name]), draw(rng, donors[name])
    return _graft(first, at, second[second.searchSubtree(donor)])


def select_parents(rng: random.Random, population: list[Individual], ratio: float) -> tuple[Individual, Individual]:
    """Two different members of the best `ratio` of a population sorted best first (arXiv 2410.04808)."""
    top = population[: max(2, round(ratio * len(population)))]
    first = draw(rng, range(len(top)))
    second = draw(rng, [i for i in range(len(top)) if i != first])
    return top[first], top[second]


def vary(
    rng: random.Random, toolbox: base.Toolbox, config: SearchConfig, first: Individual, second: Individual
) -> Individual:
    """Crossover, mutation or both, with the probabilities of `config`; neither, a copy, is left out."""
    p, q = config.crossover, config.mutation
    at = rng.random() * (p + q - p * q)
    if at < p * q:
        return toolbox.mate_and_mutate(rng, first, second)
    return toolbox.mate(rng, first, second) if at < p else toolbox.mutate(rng, first)


def make_toolbox(pset: ProxySet, guard: Guard | None) -> base.Toolbox:
    """DEAP's toolbox of generate, mate, mutate and mate_and_mutate, each behind `guard` if there is one."""

    def mate_and_mutate(rng: random.Random, first: Individual, second: Individual) -> Individual:
        return mutate(rng, crossover(rng, first, second))

    toolbox = base.Toolbox()
    toolbox.register("generate", generate, pset=pset)
    toolbox.register("mate", crossover)
    toolbox.register("mutate", mutate)
    toolbox.register("mate_and_mutate", mate_and_mutate)
    if guard is not None:
        toolbox.decorate("generate", guard.limit(lambda rng, failed: generate(rng, pset)))
        for name in ("mate", "mutate", "mate_and_mutate"):
            toolbox.decorate(name, guard.limit(mutate))
    return toolbox


class Guard:
    """PPS as a decorator: a result that breaks a rule is varied again, at most `tries` times; then a fresh
    valid individual takes its place, never a copy of a parent. Every rejection is counted by rule.

    `seen` are the canonical texts of what was evaluated; `pending` those that are about to be.
    """

    def __init__(self, pset: ProxySet, tries: int, predict: Predict | None = None) -> None:
        self.pset, self.tries, self.predict = pset, tries, predict
        self._predicted: dict[str, str | None] = {}
        self.open(())

    def open(self, seen: Collection[str]) -> None:
        """Begin a batch: nothing is pending and nothing rejected yet."""
        self.seen = seen
        self.pending: set[str] = set()
        self.rejections: Counter[str] = Counter()

    def limit(self, again: Again) -> Callable[[Varied], Varied]:
        """The decorator; `again` varies what failed."""

        def decorate(operator: Varied) -> Varied:
            @wraps(operator)
            def guarded(rng: random.Random, *parents: Individual, **settings: Any) -> Individual:
                child = operator(rng, *parents, **settings)
                for _ in range(self.tries):
                    if self._admits(child):
                        return child
                    child = again(rng, child)
                return self._fresh(rng)

            return guarded

        return decorate

    def fault(self, individual: Individual) -> str | None:
        """The name of the first rule an individual breaks: one about its text, `seen`, a predictive one."""
        text = individual.canonical.text
        if (rule := _broken_rule(individual.to_proxy())) is not None:
            return rule
        if text in self.seen or text in self.pending:
            return SEEN
        if self.predict is None:
            return None
        if text not in self._predicted:
            self._predicted[text] = self.predict(individual.canonical)
        return self._predicted[text]

    def _admits(self, individual: Individual) -> bool:
        if (rule := self.fault(individual)) is not None:
            self.rejections[rule] += 1
        return rule is None

    def _fresh(self, rng: random.Random) -> Individual:
        for _ in range(_FRESH * self.tries):
            if self._admits(individual := generate(rng, self.pset)):
                return individual
        most = ", ".join(f"{rule} {n:,}" for rule, n in self.rejections.most_common(3))
        raise Exhausted(
            f"no new valid formula in {_FRESH * self.tries:,} tries (rejected: {most}); "
            "allow more inputs, unary operators, aggregations or tries"
        )


@lru_cache(maxsize=1 << 16)
def _broken_rule(proxy: Proxy) -> str | None:
    rule = violation(proxy)
    return None if rule is None else rule.name


def _grow(rng: random.Random, pset: ProxySet, wanted: type) -> list[Any]:
    """A tree that returns `wanted`, in prefix order."""
    nodes, open_slots = list[Any](), [wanted]
    while open_slots:
        node = pset.draw_node(rng, open_slots.pop())
        nodes.append(node)
        open_slots.extend(reversed(arguments_of(node)))
    return nodes


def _regrow(rng: random.Random, parent: Individual) -> Individual:
    at = draw(rng, range(len(parent)))
    return _graft(parent, at, _grow(rng, parent.pset, _slot_types(parent)[at]))


def _replace_node(rng: random.Random, parent: Individual) -> Individual:
    places = [i for i, node in enumerate(parent) if parent.pset.twins(node)]
    if not places:
        return _regrow(rng, parent)
    at = draw(rng, places)
    node = draw(rng, parent.pset.twins(parent[at]))
    return Individual([*parent[:at], node, *parent[at + 1 :]], parent.pset)


def _graft(tree: Individual, at: int, nodes: list[Any]) -> Individual:
    """`tree` with the subtree at position `at` replaced by `nodes`."""
    place = tree.searchSubtree(at)
    return Individual([*tree[: place.start], *nodes, *tree[place.stop :]], tree.pset)


def _slot_types(tree: Individual) -> list[type]:
    """What the parent of each node takes there; the root stands where a network's value is wanted."""
    slots, open_slots = list[type](), [tree.pset.network]
    for node in tree:
        slots.append(open_slots.pop())
        open_slots.extend(reversed(arguments_of(node)))
    return slots
