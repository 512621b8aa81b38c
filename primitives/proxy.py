"""Proxy: branches joined by binary operators and aggregated over the network. Its text is its identity.

mean[ sum( l1_norm(pow2(W)), pow2(softmax(G)) ) ]      joined inside: block by block, then aggregated
product( sum[ relu(A) ], mean[ frobenius_norm(G) ] )   joined outside: an aggregation per branch
mean[ exp(abs(J)) ]                                    one branch (the other was pruned)
sum( mean[ product( W, G ) ], last[ abs(J) ] )         a third branch joined to the value of the first two
sum( mean[ W ], 0.33*last[ J ] )                       a constant before a branch that is added or taken off
sum( mean[ W ], product( T, last[ J ] ) )              a branch times the training budget T
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from operator import is_
from typing import Any

from primitives.inputs import TERMINALS, Input
from primitives.operators import BINARY, BUDGET, UNARY, Binary, Kind, constant_of, fixed, turned, turns
from storage.errors import WrongInput

__all__ = ["MAX_BRANCHES", "BadProxy", "Branch", "Extension", "Proxy"]

MAX_BRANCHES = 8


class BadProxy(WrongInput):
    """A text or a genotype that is not a proxy; the message points at the place."""


@dataclass(frozen=True)
class Branch:
    """An input followed by a chain of unary operators, innermost first."""

    input: str
    chain: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self._text

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[type[Branch], tuple[str, tuple[str, ...]]]:
        return Branch, (self.input, self.chain)  # without what is kept, for a hash is that of one process

    @cached_property
    def _hash(self) -> int:
        return hash((self.input, self.chain))

    @cached_property
    def _text(self) -> str:
        text = self.input
        for name in self.chain:
            text = f"{name}({text})"
        return text

    @property
    def source(self) -> Input:
        """The table entry of the input."""
        return TERMINALS[self.input]

    @cached_property
    def pruned(self) -> bool:
        """True if a prune drops the branch."""
        return "prune" in self.chain

    @cached_property
    def is_scalar(self) -> bool:
        """True if it is one number for each tensor: a count, or what an operator has reduced to one."""
        return self.source.count is not None or any(UNARY[name].kind is Kind.REDUCE for name in self.chain)

    def canonical(self) -> Branch:
        """The branch without operators that do nothing."""
        return self._plain

    @cached_property
    def _plain(self) -> Branch:
        return Branch(self.input, tuple(n for n in self.chain if n != "no_op")) if "no_op" in self.chain else self


@dataclass(frozen=True)
class Extension:
    """A further branch: aggregated on its own, then joined to the value of the branches before it."""

    binary: str
    aggregate: str
    branch: Branch

    def canonical(self) -> Extension:
        """The branch without operators that do nothing."""
        plain = self.branch.canonical()
        return self if plain is self.branch else Extension(self.binary, self.aggregate, plain)


@dataclass(frozen=True)
class Proxy:
    """`right` and `binary` are None for one branch; `right_aggregate` is None when the join is inside; `extensions` are
    the branches after the first two, in the order in which they are joined."""

    aggregate: str
    left: Branch
    binary: str | None = None
    right: Branch | None = None
    right_aggregate: str | None = None
    extensions: tuple[Extension, ...] = ()

    def __post_init__(self) -> None:
        if self.extensions and self.right is None:
            raise BadProxy(f"{self.pair}: an extension needs two branches to extend")
        if len(self.extensions) + 2 > MAX_BRANCHES:
            raise BadProxy(f"{self.base}: has {MAX_BRANCHES} branches already, which is the most")

    @cached_property
    def text(self) -> str:
        """The one spelling of this proxy, which `primitives.grammar.parse` reads back."""
        if self.extensions:
            text = self.pair.text
            for e in self.extensions:
                text = f"{e.binary}( {text}, {_number(e.aggregate, e.branch)} )"
            return text
        if self.right is None:
            return _number(self.aggregate, self.left)
        if self.right_aggregate is None:
            return _number(self.aggregate, f"{self.binary}( {self.left}, {self.right} )")
        left, right = _number(self.aggregate, self.left), _number(self.right_aggregate, self.right)
        return f"{self.binary}( {left}, {right} )"

    def __str__(self) -> str:
        return self.text

    @property
    def extension(self) -> Extension | None:
        """The branch that is joined last, if there are more than two."""
        return self.extensions[-1] if self.extensions else None

    @cached_property
    def base(self) -> Proxy:
        """This proxy without the branch that is joined last, if there are more than two."""
        return self._with(self.extensions[:-1]) if self.extensions else self

    @cached_property
    def pair(self) -> Proxy:
        """The first two branches."""
        return self._with(()) if self.extensions else self

    def _with(self, extensions: tuple[Extension, ...]) -> Proxy:
        return Proxy(self.aggregate, self.left, self.binary, self.right, self.right_aggregate, extensions)

    @cached_property
    def branches(self) -> tuple[Branch, ...]:
        """One to MAX_BRANCHES branches."""
        pair = (self.left,) if self.right is None else (self.left, self.right)
        return (*pair, *(extension.branch for extension in self.extensions))

    def extended(self, binary: str, aggregate: str, branch: Branch) -> Proxy:
        """This proxy joined with one branch more; BadProxy if it has MAX_BRANCHES already."""
        if self.right is None:
            return Proxy(self.aggregate, self.left, binary, branch, aggregate)
        return self._with((*self.extensions, Extension(binary, aggregate, branch)))

    @cached_property
    def aggregates(self) -> tuple[str, ...]:
        """The names of the aggregations, constants and the training budget included."""
        names = (self.aggregate, self.right_aggregate, *(extension.aggregate for extension in self.extensions))
        return tuple(name for name in names if name)

    @property
    def reads(self) -> str:
        """Kind of its inputs: "network", "sizes" (counts alone) or "network and sizes"."""
        counts = {branch.source.count is not None for branch in self.branches}
        return "network and sizes" if len(counts) > 1 else "sizes" if True in counts else "network"

    @property
    def reads_budget(self) -> bool:
        """True if the training budget is part of the formula."""
        return any(map(turns, self.aggregates))

    @property
    def operator(self) -> Binary | None:
        """The table entry of the binary operator."""
        return None if self.binary is None else BINARY[self.binary]

    @property
    def is_linear(self) -> bool:
        """True if the aggregation of the joined branches is the join of their aggregations."""
        return self.operator is not None and self.operator.linear

    @property
    def joins_blocks(self) -> bool:
        """True if the branches meet block by block and must: a linear join of their aggregates has the same value."""
        return self.right is not None and self.right_aggregate is None and not self.is_linear

    @property
    def joins_entries(self) -> bool:
        """True if aligned tensors meet entry by entry, so that the means of the branches do not suffice."""
        return (
            self.right is not None
            and self.right_aggregate is None
            and self.operator is not None
            and self.operator.entries is not None
            and self.left.source.tensors == self.right.source.tensors
            and not self.left.is_scalar
            and not self.right.is_scalar
        )

    @cached_property
    def complexity(self) -> int:
        """Number of inputs, operators and constants, aggregations included."""
        names = self.aggregates
        aggregations = sum(1 + (constant_of(name)[0] != 1) + 2 * turns(name) for name in names)
        return sum(len(b.canonical().chain) for b in self.branches) + 2 * len(self.branches) - 1 + aggregations

    def without_constants(self) -> Proxy:
        """A copy of the formula with every constant 1, in its canonical spelling."""
        other = constant_of(self.right_aggregate)[1] if self.right_aggregate else None
        extensions = tuple(Extension(e.binary, constant_of(e.aggregate)[1], e.branch) for e in self.extensions)
        return Proxy(self.aggregate, self.left, self.binary, self.right, other, extensions).canonical()

    def canonical(self) -> Proxy:
        """The representative of all spellings with the same value (pruned branches dropped, no_op removed,
        commutative branches ordered, an outside join that is linear moved inside).

        Raises BadProxy if all branches are pruned, because nothing is left to represent.
        """
        return self._canonical

    @cached_property
    def _canonical(self) -> Proxy:
        if self.extension is not None:
            return self._canonical_extended(self.extension)
        left, right = self.left.canonical(), self.right.canonical() if self.right else None
        sides = [(b, a) for b, a in ((left, self.aggregate), (right, self.right_aggregate or self.aggregate)) if b]
        kept = [(b, a) for b, a in sides if not b.pruned]
        if not kept:
            raise BadProxy(f"{self}: both branches are pruned; leave one of them")
        if len(kept) == 1:
            return Proxy(constant_of(kept[0][1])[1], kept[0][0])
        operator = self.operator
        turning = self.binary in _PRODUCTS and turns(kept[0][1]) != turns(kept[1][1])  # T stands before the first
        if turning:
            kept = [(b, fixed(a)) for b, a in kept]
        if operator is not None and operator.commutative and constant_of(kept[1][1])[0] == 1:
            kept.sort(key=lambda side: (str(side[0]), side[1]))
        (b1, a1), (b2, a2) = kept
        a1 = turned(a1) if turning else a1
        inside = self.right_aggregate is None or (a1 == a2 and self.is_linear)
        other = None if inside else a2
        if b1 is self.left and b2 is self.right and other == self.right_aggregate and a1 == self.aggregate:
            return self
        return Proxy(a1, b1, self.binary, b2, other)

    def _canonical_extended(self, last: Extension) -> Proxy:
        if not self.reads_budget and not any(b.pruned for b in self.branches):
            pair, others = self.pair.canonical(), tuple(extension.canonical() for extension in self.extensions)
            if pair is self.pair and all(map(is_, others, self.extensions)):
                return self
            return pair._with(others)
        if last.branch.pruned:
            return self.base.canonical()
        if all(b.pruned for b in self.base.branches):
            return Proxy(constant_of(last.aggregate)[1], last.branch.canonical())
        base, aggregate = self.base.canonical(), last.aggregate
        if turns(aggregate) and {last.binary, base.binary} <= _PRODUCTS and not turns(base.aggregate):
            base, aggregate = base.times_budget(), fixed(aggregate)
        if base is self.base and last.branch.canonical() is last.branch:
            return self
        extended = base.extended(last.binary, aggregate, last.branch.canonical())
        return extended if extended.extensions else extended.canonical()

    def times_budget(self) -> Proxy:
        """This proxy times the training budget; BadProxy where a part of it is so already."""
        if self.reads_budget:
            raise BadProxy(f"{self}: T times T, wanted T once")
        if (last := self.extension) is not None:
            aggregate = last.aggregate if last.binary in _PRODUCTS else turned(last.aggregate)
            return self.base.times_budget().extended(last.binary, aggregate, last.branch)
        both = self.binary not in _PRODUCTS
        other = turned(self.right_aggregate) if self.right_aggregate and both else self.right_aggregate
        return Proxy(turned(self.aggregate), self.left, self.binary, self.right, other)

    def pruned(self) -> Proxy:
        """A copy of the proxy without branches that a prune drops; raises BadProxy if none is left."""
        return self.canonical() if any(b.pruned for b in self.branches) else self

    def to_genotype(self) -> dict[str, Any]:
        """Plain data by names, for readers of JSON without our grammar."""
        branches = [{"input": b.input, "chain": list(b.chain)} for b in self.branches]
        aggregates = [self.aggregate, *([self.right_aggregate] if self.right_aggregate else [])]
        data: dict[str, Any] = {"binary": self.binary, "branches": branches[:2], "aggregates": aggregates}
        extensions = [
            {"binary": e.binary, "aggregate": e.aggregate, "branch": branch}
            for e, branch in zip(self.extensions, branches[2:], strict=True)
        ]
        if len(extensions) == 1:
            data["extension"] = extensions[0]
        elif extensions:
            data["extensions"] = extensions
        return data


_PRODUCTS = {"product", "matmul"}  # of two numbers; a factor of one is a factor of the whole


def _number(aggregate: str, inner: object) -> str:
    """An aggregation of what is inside, times the training budget if its name says so."""
    text = f"{fixed(aggregate)}[ {inner} ]"
    return f"product( {BUDGET}, {text} )" if turns(aggregate) else text
