"""The typed set: which tensors a value comes from and how many operators it went through are its type.

    Tensor:weights:0 -> log -> Tensor:weights:1 -> l1_norm -> Scalar:2       (n_unary = 2)

A branch is finished exactly when its type says n_unary, so every tree that respects the types has two
branches of n_unary operators, and every join it makes is defined: no shape error can occur. Finished types
have ancestors (`Tensor:n` any list's tensor, `Branch:n` a tensor or a scalar), for joins that do not care.

    Joined      two branches joined block by block       Aggregated  one branch as a number for the network
    Dropped:k   a branch that a prune has dropped        Network     the proxy's value: the root
    Pair        the value of the first two branches, where a third may be joined to it; also a Network
    Three ...   the value of so many branches, where one more may be joined to it; also a Network
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Sequence
from enum import Enum
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from deap import gp as deap_gp

from primitives.inputs import COUNTS, INPUTS, TERMINALS
from primitives.operators import BINARY, UNARY, Kind
from primitives.proxy import Branch

if TYPE_CHECKING:
    from gp.config import SearchConfig

__all__ = ["Meaning", "ProxySet", "Role", "arguments_of", "draw", "primitive_set"]

T = TypeVar("T")

_NUMBERS = ("Three", "Four", "Five", "Six", "Seven")


class Role(Enum):
    """Role of a node in the tree of a proxy."""

    INPUT = "an input"
    UNARY = "a unary operator in a branch"
    JOIN_BRANCHES = "a binary operator on two branches"
    JOIN_NUMBERS = "a binary operator on two aggregated branches"
    ALONE = "the value of one aggregated branch"
    JOIN_THIRD = "a binary operator on joined branches and one more"
    AGGREGATE_JOINED = "the aggregation of two joined branches"
    AGGREGATE_BRANCH = "the aggregation of one branch"


class Meaning(NamedTuple):
    """Role and name of a node. The aggregation `sum` and the binary operator `sum` differ in their role."""

    role: Role
    operator: str


def draw(rng: random.Random, options: Sequence[T]) -> T:
    """One of `options`. Only `random()` is used anywhere, the one sequence that Python promises to keep."""
    return options[int(rng.random() * len(options))]


class ProxySet(deap_gp.PrimitiveSetTyped):
    """DEAP's typed primitive set, the meaning of each node, and the number of trees below each type.

    A node is named `operator(argument types)`, since DEAP wants one name per typed instance.
    """

    def __init__(
        self,
        n_unary: int,
        inputs: Sequence[str],
        aggregates: Sequence[str],
        joins: Sequence[str],
        branches: int = 2,
        operators: Sequence[str] = tuple(BINARY),
    ) -> None:
        self.network = type("Network", (), {})
        super().__init__("proxy", [], self.network)
        self.n_unary, self.inputs = n_unary, tuple(sorted(inputs))
        self.branches, self.operators = branches if "outside" in joins else 2, tuple(operators)
        self.meaning: dict[str, Meaning] = {}
        self._nodes: dict[Meaning, list[Any]] = {}
        self._types: dict[str, type] = {"Network": self.network}
        self._options: dict[type, tuple[Any, ...]] = {}
        self._counts: dict[type, int] = {}
        self._cumulative: dict[type, list[float]] = {}
        self._twins: dict[str, tuple[Any, ...]] = {}
        self._found: dict[tuple[Any, ...], Any | None] = {}
        self.spelled: dict[Branch, list[Any]] = {}  # the trees of branches, as far as they were asked for
        names = ("Pair", *_NUMBERS)[: max(0, self.branches - 2)]
        self.levels = (*(self.type_of(name, self.network) for name in names), self.network)
        self.pair, self.roots = self.levels[0], self.levels[:2]
        self._add_inputs()
        for depth in range(n_unary):
            self._add_unary(depth)
        if "inside" in joins:
            self._add_inside(aggregates)
        if "outside" in joins:
            self._add_outside(aggregates)
            if "inside" not in joins:  # there a branch is alone where the other is dropped
                self._add_node(Role.ALONE, "alone", (self.type_of("Aggregated"),), self.network)

    def type_of(self, name: str, ancestor: type = object) -> type:
        """The type called `name`, made when first asked for."""
        if name not in self._types:
            self._types[name] = type(name, (ancestor,), {})
        return self._types[name]

    def tensor(self, tensors: str, depth: int) -> type:
        """A tensor of the list `tensors` after `depth` operators."""
        ancestor = self.any_tensor if depth == self.n_unary else object
        return self.type_of(f"Tensor:{tensors}:{depth}", ancestor)

    def scalar(self, depth: int) -> type:
        """One number per tensor, after `depth` operators."""
        return self.type_of(f"Scalar:{depth}", self.branch if depth == self.n_unary else object)

    def dropped(self, depth: int) -> type:
        """A branch that a prune has dropped."""
        return self.type_of(f"Dropped:{depth}")

    @property
    def branch(self) -> type:
        """Any finished branch that is not dropped."""
        return self.type_of(f"Branch:{self.n_unary}")

    @property
    def any_tensor(self) -> type:
        """A finished tensor of any list."""
        return self.type_of(f"Tensor:{self.n_unary}", self.branch)

    @cached_property
    def roles(self) -> frozenset[Role]:
        """Roles of its nodes."""
        return frozenset(meaning.role for meaning in self.meaning.values())

    @cached_property
    def finished(self) -> frozenset[type]:
        """The types of whole branches."""
        n = self.n_unary
        return frozenset([self.scalar(n), self.dropped(n), *(self.tensor(tensors, n) for tensors in self.lists)])

    @property
    def counts(self) -> bool:
        """True if some input is a count."""
        return not COUNTS.keys().isdisjoint(self.inputs)

    @property
    def lists(self) -> tuple[str, ...]:
        """The tensor lists of the inputs."""
        return tuple(sorted({INPUTS[name].tensors for name in self.inputs if name in INPUTS}))

    def _add_node(self, role: Role, operator: str, arguments: Sequence[type], result: type) -> None:
        name = f"{operator}({', '.join(t.__name__ for t in arguments)})" if arguments else operator
        meaning = self.meaning[name] = Meaning(role, operator)
        # DEAP keeps the first argument for gp.compile, which evals and is never called here.
        if arguments:
            self.addPrimitive(meaning, list(arguments), result, name)
        else:
            self.addTerminal(meaning, result, name)
        self._nodes.setdefault(meaning, []).append(self.mapping[name])

    def _add_inputs(self) -> None:
        for name in self.inputs:
            one = self.scalar(0) if name in COUNTS else self.tensor(TERMINALS[name].tensors, 0)
            self._add_node(Role.INPUT, name, (), one)

    def _add_unary(self, depth: int) -> None:
        after = depth + 1
        for operator in UNARY.values():
            for tensors in self.lists:
                x = self.tensor(tensors, depth)
                result = {Kind.REDUCE: self.scalar(after), Kind.DROP: self.dropped(after)}
                y = result.get(operator.kind, self.tensor(tensors, after))
                self._add_node(Role.UNARY, operator.name, (x,), y)
            if operator.on_scalars and (depth > 0 or self.counts):
                y = self.dropped(after) if operator.kind is Kind.DROP else self.scalar(after)
                self._add_node(Role.UNARY, operator.name, (self.scalar(depth),), y)
        if depth > 0:
            self._add_node(Role.UNARY, "no_op", (self.dropped(depth),), self.dropped(after))

    def _add_inside(self, aggregates: Sequence[str]) -> None:
        joined = self.type_of("Joined")
        dropped, scalar, tensor = self.dropped(self.n_unary), self.scalar(self.n_unary), self.any_tensor
        on_numbers = [(scalar, scalar), (scalar, tensor), (tensor, scalar)]
        on_numbers += [(self.branch, dropped), (dropped, self.branch)]
        for name in self.operators:
            same_list = [(t, t) for t in (self.tensor(tensors, self.n_unary) for tensors in self.lists)]
            for pair in same_list + ([] if name == "matmul" else on_numbers):
                self._add_node(Role.JOIN_BRANCHES, name, pair, joined)
        for name in aggregates:
            self._add_node(Role.AGGREGATE_JOINED, name, (joined,), self.pair)

    def _add_outside(self, aggregates: Sequence[str]) -> None:
        number = self.type_of("Aggregated")
        for name in aggregates:
            self._add_node(Role.AGGREGATE_BRANCH, name, (self.branch,), number)
        for name in self.operators:
            if name != "matmul":  # on two numbers it is the product
                self._add_node(Role.JOIN_NUMBERS, name, (number, number), self.pair)
                for before, after in pairwise(self.levels):
                    self._add_node(Role.JOIN_THIRD, name, (before, number), after)

    def options(self, wanted: type) -> tuple[Any, ...]:
        """All nodes that return `wanted`, by name, so that their order is the same in every process."""
        if wanted not in self._options:
            nodes = (self.mapping[name] for name in sorted(self.mapping))
            self._options[wanted] = tuple(node for node in nodes if issubclass(node.ret, wanted))
        return self._options[wanted]

    def count(self, wanted: type) -> int:
        """Number of different trees that return `wanted`."""
        if wanted not in self._counts:
            self._counts[wanted] = sum(self._count_below(node) for node in self.options(wanted))
        return self._counts[wanted]

    def _count_below(self, node: Any) -> int:
        return prod(self.count(t) for t in arguments_of(node))

    def draw_node(self, rng: random.Random, wanted: type) -> Any:
        """A node that returns `wanted`, as likely as it has trees, so that every tree is equally likely."""
        if wanted not in self._cumulative:
            counts = (float(self._count_below(node)) for node in self.options(wanted))
            self._cumulative[wanted] = list(accumulate(counts))
        cumulative = self._cumulative[wanted]
        return self.options(wanted)[bisect(cumulative, rng.random() * cumulative[-1], hi=len(cumulative) - 1)]

    def twins(self, node: Any) -> tuple[Any, ...]:
        """The other nodes with the same arguments and result."""
        if node.name not in self._twins:
            self._twins[node.name] = tuple(
                other
                for other in self.options(node.ret)
                if other.ret is node.ret and other.name != node.name and arguments_of(other) == arguments_of(node)
            )
        return self._twins[node.name]

    def find(self, role: Role, operator: str, arguments: Sequence[type] = ()) -> Any | None:
        """The node of that meaning that takes `arguments`, or None."""
        key = role, operator, *arguments
        if key not in self._found:
            taking = (node for node in self._nodes.get(Meaning(role, operator), ()) if _takes(node, arguments))
            self._found[key] = next(taking, None)
        return self._found[key]


def _takes(node: Any, arguments: Sequence[type]) -> bool:
    slots = arguments_of(node)
    return len(slots) == len(arguments) and all(map(issubclass, arguments, slots))


def arguments_of(node: Any) -> list[type]:
    """The types a node takes; none for an input."""
    return node.args if node.arity else []


def primitive_set(config: SearchConfig) -> ProxySet:
    """The set for a configuration; built once, since it is never changed afterwards."""
    names = config.inputs, config.aggregates, config.joins, config.operators
    return _build(config.n_unary, config.branches, *names)


@lru_cache(maxsize=64)
def _build(n_unary: int, branches: int, *names: tuple[str, ...]) -> ProxySet:
    inputs, aggregates, joins, operators = names
    return ProxySet(n_unary, inputs, aggregates, joins, branches, operators)
