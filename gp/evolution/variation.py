"""Variation: new individuals from nothing, from one parent and from two, on an own random.Random; and PPS,
which decorates them the way DEAP's staticLimit does.

DEAP's own operators draw from the global `random` and from sets of types ordered by address, so a seed does
not fix their result; these draw from the generator they are given, over sorted types.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

from deap import base

from gp.config import MUTATED
from gp.evolution.individual import Individual, branch_of
from gp.evolution.primitive_set import ProxySet, arguments_of, draw
from gp.lineage import Birth
from primitives.pps import branch_violation, join_violation
from primitives.proxy import Proxy
from storage.errors import CannotCompute, WrongInput

if TYPE_CHECKING:
    from gp.config import SearchConfig

__all__ = [
    "MUTATIONS",
    "SEEN",
    "BadMutation",
    "Exhausted",
    "Guard",
    "Predict",
    "Varied",
    "crossover",
    "generate",
    "make_toolbox",
    "mutate",
    "mutation",
    "vary",
]

Predict = Callable[[Sequence[Proxy]], Sequence[str | None]]
"""The names of the predictive rules that formulas break, None where there is none."""

Varied = Callable[..., Individual]
"""An operator that makes an individual from a generator and any number of parents."""

Mutate = Callable[[random.Random, Individual], Individual]
"""An operator that makes an individual from a generator and one parent, which it leaves as it is."""

SEEN = "seen"
"""The rule that a formula that was evaluated already breaks."""

_FRESH = 20  # times `tries` before a space counts as exhausted


class Exhausted(CannotCompute, RuntimeError):
    """The rules leave no new formula, as far as a bounded number of tries can tell."""


class BadMutation(WrongInput):
    """A mutation that cannot be registered; the message says why."""


MUTATIONS: dict[str, Mutate] = {}
"""The mutations by name, in the order of registration."""


def mutation(name: str) -> Callable[[Mutate], Mutate]:
    """Register a mutation, for `SearchConfig(mutations=...)` to name; BadMutation if the name is taken."""

    def register(mutate: Mutate) -> Mutate:
        if name in MUTATIONS:
            raise BadMutation(f"mutation {name!r}: the name is taken; choose another")
        MUTATIONS[name] = mutate
        return mutate

    return register


def generate(rng: random.Random, pset: ProxySet) -> Individual:
    """An individual; every tree of the typed space with its number of branches is equally likely, and two branches at
    least as likely as three."""
    root = draw(rng, pset.roots) if len(pset.roots) > 1 else pset.network
    return Individual(_grow(rng, pset, root), pset, Birth("newborn"))


def mutate(rng: random.Random, parent: Individual, names: Sequence[str] = MUTATED) -> Individual:
    """One of the named mutations, each as likely as the others."""
    return MUTATIONS[draw(rng, names)](rng, parent)


def crossover(rng: random.Random, first: Individual, second: Individual, names: Sequence[str] = MUTATED) -> Individual:
    """`first` with one subtree taken from `second`, where the types agree; mutated if they agree nowhere, by one of
    the named mutations."""
    slots: dict[str, list[int]] = {}
    donors: dict[str, list[int]] = {}
    for at, slot in list(enumerate(first.slots))[1:]:
        name = slot.__name__
        if name not in donors:
            donors[name] = [i for i, node in enumerate(second) if issubclass(node.ret, slot)]
        if donors[name]:
            slots.setdefault(name, []).append(at)
    if not slots:
        return mutate(rng, first, names)
    name = draw(rng, sorted(slots))
    at, donor = draw(rng, slots[name]), draw(rng, donors[name])
    return _graft(first, at, second[second.searchSubtree(donor)])


def vary(
    rng: random.Random, toolbox: base.Toolbox, config: SearchConfig, first: Individual, second: Individual
) -> Individual:
    """Crossover, mutation or both, with the probabilities of `config`; neither, a copy, is left out."""
    p, q = config.crossover, config.mutation
    at = rng.random() * (p + q - p * q)
    operator = "mate_and_mutate" if at < p * q else "mate" if at < p else "mutate"
    parents = (first,) if operator == "mutate" else (first, second)
    child = getattr(toolbox, operator)(rng, *parents)
    child.birth = child.birth or Birth(operator, tuple(parent.canonical.text for parent in parents))
    return child


def make_toolbox(
    pset: ProxySet, guard: Guard | None, own: base.Toolbox | None = None, mutations: Sequence[str] = MUTATED
) -> base.Toolbox:
    """DEAP's toolbox of individual, mate, mutate and mate_and_mutate, each behind `guard` if there is one.

    What `own` registers under these names takes the place of ours. Its operators get the search's random.Random
    first, then copies of the parents; what they give back is an individual or, as DEAP's do, a tuple of which the
    first one counts.
    """
    toolbox = base.Toolbox()
    toolbox.register("individual", generate, pset=pset)
    toolbox.register("mate", crossover, names=tuple(mutations))
    toolbox.register("mutate", mutate, names=tuple(mutations))
    for name in ("individual", "mate", "mutate"):
        if hasattr(own, name):
            toolbox.register(name, _on_copies(getattr(own, name), pset))
    mate, change, individual = toolbox.mate, toolbox.mutate, toolbox.individual

    def mate_and_mutate(rng: random.Random, first: Individual, second: Individual) -> Individual:
        return change(rng, mate(rng, first, second))

    toolbox.register("mate_and_mutate", mate_and_mutate)
    if guard is not None:
        toolbox.decorate("individual", guard.limit(lambda rng, failed: individual(rng)))
        for name in ("mate", "mutate", "mate_and_mutate"):
            toolbox.decorate(name, guard.limit(change))
    return toolbox


def _on_copies(operator: Callable[..., Any], pset: ProxySet) -> Varied:
    """A foreign operator, which may change its arguments in place and give back several individuals."""

    def operate(rng: random.Random, *parents: Individual) -> Individual:
        made = operator(rng, *(Individual(parent, pset) for parent in parents))
        return Individual(made[0] if isinstance(made, tuple) else made, pset)

    return operate


class Guard:
    """PPS as a decorator: a result that breaks a rule is varied again, at most `tries` times; then a fresh
    valid individual takes its place, never a copy of a parent. Every rejection is counted by rule.

    `seen` are the canonical texts of what was evaluated; `pending` those that are about to be. `together` leaves the
    predictive rules to `admitted`, which asks them of many individuals at once.
    """

    def __init__(self, pset: ProxySet, tries: int, predict: Predict | None = None, together: bool = False) -> None:
        self.pset, self.tries, self.predict, self.together = pset, tries, predict, together
        self._predicted: dict[str, str | None] = {}
        self.open(())

    def open(self, seen: Collection[str]) -> None:
        """Begin a batch: nothing is pending and nothing rejected yet."""
        self.seen = seen
        self.pending: set[str] = set()
        self.rejections: Counter[str] = Counter()

    def limit(self, again: Mutate) -> Callable[[Varied], Varied]:
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
        for branch in individual.branches:  # most are refused for a branch, which costs least to see
            if not branch.pruned and (broken := branch_violation(branch)) is not None:
                return broken.name
        if (rule := join_violation(individual.to_proxy())) is not None:
            return rule.name
        text = individual.canonical.text
        if text in self.seen or text in self.pending:
            return SEEN
        return None if self.together else self._foretold([individual.canonical])[0]

    def admitted(self, individuals: Sequence[Individual]) -> list[Individual]:
        """Individuals that break no predictive rule; the others are counted."""
        rules = self._foretold([individual.canonical for individual in individuals])
        self.rejections.update(rule for rule in rules if rule is not None)
        return [individual for individual, rule in zip(individuals, rules, strict=True) if rule is None]

    def _foretold(self, proxies: Sequence[Proxy]) -> list[str | None]:
        if self.predict is None:
            return [None] * len(proxies)
        new = [proxy for proxy in proxies if proxy.text not in self._predicted]
        self._predicted.update(zip((proxy.text for proxy in new), self.predict(new), strict=True))
        return [self._predicted[proxy.text] for proxy in proxies]

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
            "allow more inputs, aggregations or tries, or another number of unary operators"
        )


def _grow(rng: random.Random, pset: ProxySet, wanted: type) -> list[Any]:
    """A tree that returns `wanted`, in prefix order."""
    nodes, open_slots = list[Any](), [wanted]
    while open_slots:
        node = pset.draw_node(rng, open_slots.pop())
        nodes.append(node)
        open_slots.extend(reversed(arguments_of(node)))
    return nodes


@mutation("regrow")
def regrow(rng: random.Random, parent: Individual) -> Individual:
    """One subtree grown anew."""
    at = draw(rng, range(len(parent)))
    return _graft(parent, at, _grow(rng, parent.pset, parent.slots[at]))


@mutation("branch")
def replace_branch(rng: random.Random, parent: Individual) -> Individual:
    """One whole branch grown anew, such that no rule about branches refuses it, as far as a few tries can tell."""
    slots, finished = parent.slots, parent.pset.finished
    at = draw(rng, [at for at, node in enumerate(parent) if node.ret in finished])
    for _ in range(_FRESH):
        nodes = _grow(rng, parent.pset, slots[at])
        branch = branch_of(nodes, parent.pset)
        if branch.pruned or branch_violation(branch) is None:
            break
    return _graft(parent, at, nodes)


@mutation("replace")
def replace_node(rng: random.Random, parent: Individual) -> Individual:
    """One node replaced by another of its type."""
    places = [i for i, node in enumerate(parent) if parent.pset.twins(node)]
    if not places:
        return regrow(rng, parent)
    at = draw(rng, places)
    node = draw(rng, parent.pset.twins(parent[at]))
    return Individual([*parent[:at], node, *parent[at + 1 :]], parent.pset)


def _graft(tree: Individual, at: int, nodes: list[Any]) -> Individual:
    """`tree` with the subtree at position `at` replaced by `nodes`."""
    place = tree.searchSubtree(at)
    return Individual([*tree[: place.start], *nodes, *tree[place.stop :]], tree.pset)
