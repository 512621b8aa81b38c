"""Individual: a proxy as DEAP's typed tree. It is not changed after it is made; variation makes new ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from deap import base
from deap import gp as deap_gp

from gp.evolution.primitive_set import ProxySet, Role, arguments_of
from gp.lineage import Birth
from primitives.proxy import Branch, Extension, Proxy
from storage.errors import WrongInput

__all__ = ["Individual", "Misfit", "Worth", "branch_of", "worth"]


class Misfit(WrongInput):
    """A proxy that a primitive set cannot spell; the message says what does not fit."""


class Worth(base.Fitness):
    """(fitness, complexity): a higher fitness is better, then a simpler formula."""

    weights = (1.0, -1.0)


class Individual(deap_gp.PrimitiveTree):
    """Nodes of `pset` in prefix order; what the formula is worth and how it ranks, once it is evaluated; its birth."""

    def __init__(self, nodes: Iterable[Any], pset: ProxySet, birth: Birth | None = None) -> None:
        super().__init__(nodes)
        self.pset, self.birth, self.ranking = pset, birth, ""
        self.fitness = Worth()

    def __str__(self) -> str:
        return self.spelling.text

    def __deepcopy__(self, memo: dict[int, Any]) -> Individual:
        copy = Individual(self, self.pset, self.birth)
        copy.fitness.wvalues = self.fitness.wvalues
        return copy

    @cached_property
    def slots(self) -> list[type]:
        """Type that the parent of each node expects; the root must give a value of the network."""
        slots, open_slots = list[type](), [self.pset.network]
        for node in self:
            slots.append(open_slots.pop())
            open_slots.extend(reversed(arguments_of(node)))
        return slots

    @cached_property
    def _parts(self) -> tuple[list[Branch], list[str], list[str], bool]:
        """The branches, the binary operators and the aggregations of the tree in prefix order, and whether its first
        two branches are joined before they are aggregated."""
        branches, chain = list[Branch](), list[str]()
        binaries, aggregates, inside = list[str](), list[str](), False
        meaning = self.pset.meaning
        for node in self:
            role, operator = meaning[node.name]
            if role is Role.UNARY:
                chain.append(operator)
            elif role is Role.INPUT:
                branches.append(_branch(operator, *reversed(chain)))
                chain.clear()
            elif role is Role.AGGREGATE_BRANCH or role is Role.AGGREGATE_JOINED:
                aggregates.append(operator)
            elif role is not Role.ALONE:
                binaries.append(operator)
                inside = inside or role is Role.JOIN_BRANCHES
        return branches, binaries, aggregates, inside

    @property
    def branches(self) -> list[Branch]:
        """The branches of the tree from left to right, no_op and pruned ones included."""
        return self._parts[0]

    @cached_property
    def spelling(self) -> Proxy:
        """The whole tree in words, no_op and pruned branches included; `from_proxy` gives the tree back."""
        branches, binaries, aggregates, inside = self._parts
        if inside:
            aggregates = [aggregates[0], *aggregates]
        if len(branches) == 1:
            return Proxy(aggregates[0], branches[0])
        others = zip(binaries[-2::-1], aggregates[2:], branches[2:], strict=True)
        extensions = tuple(Extension(*other) for other in others)
        second = None if inside else aggregates[1]
        return Proxy(aggregates[0], branches[0], binaries[-1], branches[1], second, extensions)

    def to_proxy(self) -> Proxy:
        """The formula; a branch that a prune drops is gone."""
        proxy = self.spelling
        if not any(branch.pruned for branch in proxy.branches):
            return proxy
        if proxy.extensions:
            return proxy.canonical()
        (kept,) = (branch for branch in proxy.branches if not branch.pruned)
        return Proxy(proxy.aggregate, kept)

    @cached_property
    def canonical(self) -> Proxy:
        """Canonical formula that is evaluated: one representative of all formulas with the same value."""
        return self.spelling.canonical()

    @classmethod
    def from_proxy(cls, proxy: Proxy, pset: ProxySet) -> Individual:
        """The tree of `proxy`, short branches padded with no_op. Raises Misfit if `pset` cannot spell it."""
        if proxy.right is None and Role.ALONE not in pset.roles:
            proxy = Proxy(proxy.aggregate, proxy.left, "sum", Branch(pset.inputs[0], ("prune",)))
        return cls(_Speller(proxy, pset).tree(), pset)


def worth(individual: Individual) -> float:
    """The fitness of an evaluated individual, -inf for an invalid one."""
    return float(individual.fitness.values[0])


@lru_cache(maxsize=1 << 16)
def _branch(name: str, *chain: str) -> Branch:
    """The one branch object of that spelling: what is known of it is kept with it."""
    return Branch(name, chain)


def branch_of(nodes: Sequence[Any], pset: ProxySet) -> Branch:
    """The branch that the tree of a branch spells, no_op included."""
    *chain, name = (pset.meaning[node.name].operator for node in nodes)
    return _branch(name, *reversed(chain))


@dataclass(frozen=True)
class _Speller:
    """Finds the nodes that spell a proxy of two or more branches; every tree is a list in prefix order."""

    proxy: Proxy
    pset: ProxySet

    def tree(self) -> list[Any]:
        nodes = self.pair()
        for extension in self.proxy.extensions:
            number = self.over(Role.AGGREGATE_BRANCH, extension.aggregate, self.branch(extension.branch))
            nodes = self.over(Role.JOIN_THIRD, extension.binary, nodes, number)
        return nodes

    def pair(self) -> list[Any]:
        """The first two branches, joined, or the only one."""
        if self.proxy.right is None:
            branch = self.over(Role.AGGREGATE_BRANCH, self.proxy.aggregate, self.branch(self.proxy.left))
            return self.over(Role.ALONE, "alone", branch)
        left, right = (self.branch(branch) for branch in self.proxy.pair.branches)
        binary, aggregate, other = str(self.proxy.binary), self.proxy.aggregate, self.proxy.right_aggregate
        meet = self.pset.find(Role.JOIN_BRANCHES, binary, [left[0].ret, right[0].ret])
        if other is None and meet is None and self.proxy.pair.is_linear and Role.JOIN_NUMBERS in self.pset.roles:
            other = aggregate  # the same value
        if other is None:
            joined = self.over(Role.JOIN_BRANCHES, binary, left, right)
            return self.over(Role.AGGREGATE_JOINED, aggregate, joined)
        left, right = (
            self.over(Role.AGGREGATE_BRANCH, name, nodes) for name, nodes in ((aggregate, left), (other, right))
        )
        return self.over(Role.JOIN_NUMBERS, binary, left, right)

    def branch(self, branch: Branch) -> list[Any]:
        if branch not in self.pset.spelled:
            self.pset.spelled[branch] = self._spelled(branch)
        return self.pset.spelled[branch]

    def _spelled(self, branch: Branch) -> list[Any]:
        missing = self.pset.n_unary - len(branch.chain)
        if missing < 0:
            got, most = len(branch.chain), self.pset.n_unary
            raise Misfit(f"{self.proxy}: got {got} operators in {branch}, wanted at most {most}")
        nodes = self.over(Role.INPUT, branch.input)
        for name in (*branch.chain, *["no_op"] * missing):
            nodes = self.over(Role.UNARY, name, nodes)
        return nodes

    def over(self, role: Role, operator: str, *below: list[Any]) -> list[Any]:
        """The node that applies `operator` to the trees `below`, and those trees."""
        types = [nodes[0].ret for nodes in below]
        if (node := self.pset.find(role, operator, types)) is None:
            got = f" on {' and '.join(t.__name__ for t in types)}" if types else ""
            raise Misfit(f"{self.proxy}: got {operator} as {role.value}{got}, wanted what the settings allow")
        return [node, *(n for nodes in below for n in nodes)]
