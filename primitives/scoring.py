"""Scoring: a proxy on the features of one network, over all entries. This is the definition of a score;
the branch table of `fitness/tables/branches.py` is a faster way to (nearly) the same number.

1. A branch applies its operators to each tensor of its input (float32, reductions float64).
2. Branches over the same tensor list are joined tensor by tensor; two tensors entry by entry, anything else by
   broadcasting, which for a mean is the join of the means. Branches over different lists are joined block by block.
3. A block's value joins its tensors, the network's value its blocks, as the aggregation says.
4. An input that a block does not have contributes 0.
5. Every further branch has its network's value joined to that of the branches before it. A constant multiplies the
   network's value of the branch that it stands before.
6. The training budget T multiplies the scores of whole formulas (`primitives/budget.py`).
7. The value is rounded to its resolution: entries are float32, so what lies below about five significant digits is
   the rounding of this machine, and two networks that differ only there are tied.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import chain

import numpy as np
import torch

from primitives.along import Chain, along
from primitives.budget import USUAL_T, combined, parts
from primitives.frames import ExactFrame, Frame, ScalarFrame
from primitives.inputs import TERMINALS, Input
from primitives.invalid import Invalid
from primitives.operators import BINARY, UNARY, Binary, Kind, aggregation
from primitives.proxy import BadProxy, Branch, Proxy

__all__ = ["RESOLUTION", "SCORING_VERSION", "Blocks", "PassingScorer", "Scorer", "branch_numbers", "resolved", "score"]

RESOLUTION = 17  # binary digits of a score: 2^-17 is 7.6e-6
SCORING_VERSION = 2  # changes whenever the exact score of some formula would

Blocks = Sequence[Mapping[str, Sequence[torch.Tensor]]]
"""Per block, the tensors of each input by name; absent inputs are missing or empty."""

Part = Branch | Proxy
"""A part of a formula that is read block by block: a branch, or the join of two entry by entry."""


def score(proxy: Proxy, blocks: Blocks, budget: float = USUAL_T) -> float | Invalid:
    """The value of `proxy` on one network that is trained with the budget T, or the reason why there is none."""
    return Scorer(blocks).score(proxy, budget)


def resolved(values: np.ndarray) -> np.ndarray:
    """Float64 values rounded to RESOLUTION binary digits; what is not finite stays as it is."""
    dropped = 52 - RESOLUTION
    bits = np.array(values, dtype=np.float64, order="C").view(np.int64)
    rounded = ((bits + (1 << (dropped - 1))) & ~((1 << dropped) - 1)).view(np.float64)
    return np.where(np.isfinite(values), rounded, values)


def apply_branch(branch: Branch, x: torch.Tensor) -> torch.Tensor:
    """The chain on one whole tensor: a float32 tensor of the same shape, or a 0-d float64 one."""
    return reduce(_step, branch.chain, _begun(x, branch.source.axis))[0]


def _begun(x: torch.Tensor, axis: int) -> tuple[torch.Tensor, Frame]:
    return x, ExactFrame(x, axis) if x.dim() else ScalarFrame()


class Scorer:
    """Scores many proxies on one network; the means of a branch are computed once."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks
        self._memo: dict[Part, list[list[float]]] = {}
        self._worth: dict[tuple[Part, bool], np.ndarray] = {}

    def score(self, proxy: Proxy, budget: float = USUAL_T) -> float | Invalid:
        """The value of `proxy` with the training budget T, or the reason why there is none."""
        try:
            proxy = proxy.pruned()
        except BadProxy:
            return Invalid.NO_BRANCH
        if proxy.reads_budget:
            return self._with_budget(proxy, budget)
        worth = self._value(proxy.pair)
        for e in proxy.extensions:
            worth = _join(BINARY[e.binary], worth, self._aggregated(e.aggregate, e.branch))
        return _finite(worth)

    def _with_budget(self, proxy: Proxy, budget: float) -> float | Invalid:
        scores = [self.score(part) for part in parts(proxy)]
        if reason := next((value for value in scores if isinstance(value, Invalid)), None):
            return reason
        return _finite(float(combined(proxy, [np.array(value) for value in scores], np.array(budget))))

    def _value(self, proxy: Proxy) -> float:
        if proxy.joins_entries:
            return self._aggregated(proxy.aggregate, proxy)
        if proxy.right is None or proxy.operator is None:
            return self._aggregated(proxy.aggregate, proxy.left)
        if proxy.right_aggregate is not None:
            outer = self._aggregated(proxy.aggregate, proxy.left), self._aggregated(proxy.right_aggregate, proxy.right)
            return _join(proxy.operator, *outer)
        same_list = proxy.left.source.tensors == proxy.right.source.tensors
        joined = []
        for xs, ys in zip(self._found(proxy.left), self._found(proxy.right), strict=True):
            if not same_list or len(xs) != len(ys):
                xs, ys = [_within(proxy.aggregate, xs)], [_within(proxy.aggregate, ys)]
            joined.append([_join(proxy.operator, x, y) for x, y in zip(xs, ys, strict=True)])
        return _weighted(proxy.aggregate, np.array([_within(proxy.aggregate, values) for values in joined]))

    def _aggregated(self, name: str, part: Part) -> float:
        """The network's value of a part; the values of its blocks are computed once."""
        key = part, aggregation(name).sums_tensors
        if key not in self._worth:
            self._worth[key] = np.array([_within(name, values) for values in self._found(part)])
        return _weighted(name, self._worth[key])

    def _found(self, part: Part) -> list[list[float]]:
        """Per block, one number per tensor."""
        if part not in self._memo:
            self._memo[part] = [_numbers(part, block) for block in self.blocks]
        return self._memo[part]


class PassingScorer(Scorer):
    """Scores formulas on a network that is visited block by block, in any order. It keeps only the numbers that the
    formulas read; the scores equal those of `Scorer` on the whole network."""

    def __init__(self, proxies: Sequence[Proxy]) -> None:
        super().__init__(())
        self._seen: dict[Part, dict[int, list[float]]] = {part: {} for proxy in proxies for part in _parts(proxy)}

    @property
    def inputs(self) -> frozenset[Input]:
        """The inputs that the formulas read."""
        branches = [b for part in self._seen for b in ([part] if isinstance(part, Branch) else part.branches)]
        return frozenset(branch.source for branch in branches)

    def see(self, index: int, block: Mapping[str, Sequence[torch.Tensor]]) -> None:
        """Keep the numbers of block `index`."""
        self.add(index, self.read(block))

    def read(self, block: Mapping[str, Sequence[torch.Tensor]]) -> list[list[float]]:
        """Numbers that the formulas read of one block: those of its tensors, part by part."""
        branches = [part for part in self._seen if isinstance(part, Branch)]
        alone = branch_numbers(branches, block)
        return [alone[part] if isinstance(part, Branch) else _numbers(part, block) for part in self._seen]

    def add(self, index: int, numbers: Sequence[list[float]]) -> None:
        """Keep what was read of block `index`."""
        for seen, found in zip(self._seen.values(), numbers, strict=True):
            seen[index] = found

    def _found(self, part: Part) -> list[list[float]]:
        return [numbers for _, numbers in sorted(self._seen[part].items())]


def _parts(proxy: Proxy) -> list[Part]:
    """All branch values that `Scorer.score` needs."""
    try:
        proxy = proxy.pruned()
    except BadProxy:
        return []
    pair = proxy.pair
    own: list[Part] = [pair] if pair.joins_entries else [*pair.branches]
    return [*own, *(extension.branch for extension in proxy.extensions)]


def branch_numbers(
    branches: Sequence[Branch], block: Mapping[str, Sequence[torch.Tensor]]
) -> dict[Branch, list[float]]:
    """Means of each branch over one block, a number per tensor. Common beginnings of chains are computed once, and so
    is a tensor that a letter and its role terminal share."""
    chains: dict[str, set[Chain]] = {}
    for branch in branches:
        chains.setdefault(branch.input, set()).add(branch.chain)
    held = {name: _tensors(TERMINALS[name], block) for name in chains}
    readers: dict[tuple[str, int], list[tuple[str, int]]] = {}
    for name, tensors in held.items():
        for place, x in enumerate(tensors):
            readers.setdefault((name.partition(".")[0], id(x)), []).append((name, place))
    found = {(b.input, b.chain): [math.nan] * len(held[b.input]) for b in branches}
    for several in readers.values():
        name, place = several[0]
        wanted = set().union(*(chains[name] for name, _ in several))
        for steps, (x, _) in along(_begun(held[name][place], TERMINALS[name].axis), wanted, _step):
            mean = _mean(x)
            for reader, at in several:
                if steps in chains[reader]:
                    found[reader, steps][at] = mean
    return {branch: found[branch.input, branch.chain] for branch in branches}


def _tensors(source: Input, block: Mapping[str, Sequence[torch.Tensor]]) -> Sequence[torch.Tensor]:
    """Tensors of an input in a block; numbers without axes for a count."""
    if (count := source.count) is None:
        return block.get(source.name, ())
    sizes = ([(x.numel(), x.shape[TERMINALS[of].axis]) for x in block.get(of, ())] for of in count.of)
    counted = [count.value(*chain(*beside)) for beside in zip(*sizes, strict=False)]
    return [torch.tensor(n, dtype=torch.float64) for n in (counted[:1] if count.once else counted)]


def _step(before: tuple[torch.Tensor, Frame], name: str) -> tuple[torch.Tensor, Frame]:
    """A tensor and its frame after one operator."""
    (x, frame), operator = before, UNARY[name]
    return operator.apply(x, frame), ScalarFrame() if operator.kind is Kind.REDUCE else frame


def _numbers(part: Part, block: Mapping[str, Sequence[torch.Tensor]]) -> list[float]:
    """Numbers that a formula reads from one block; empty if the block lacks the input."""
    if isinstance(part, Branch):
        return branch_numbers([part], block)[part]
    if part.right is None or part.operator is None or part.operator.entries is None:
        raise BadProxy(f"{part}: joins no entries")
    xs, ys = block.get(part.left.input, ()), block.get(part.right.input, ())
    return [
        float(part.operator.entries(apply_branch(part.left, x), apply_branch(part.right, y)))
        for x, y in zip(xs, ys, strict=len(xs) > 0 and len(ys) > 0)
    ]


def _finite(worth: float) -> float | Invalid:
    """A value to its resolution, or that there is none."""
    value = float(resolved(np.array(worth)))
    return value if math.isfinite(value) else Invalid.NON_FINITE


def _mean(x: torch.Tensor) -> float:
    return float(x if x.ndim == 0 else x.mean(dtype=torch.float64))


def _join(operator: Binary, x: float, y: float) -> float:
    return float(operator.apply(torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)))


def _within(aggregate: str, values: Sequence[float]) -> float:
    """The value of one block, from those of its tensors."""
    if not values:
        return 0.0
    return float(np.sum(values) if aggregation(aggregate).sums_tensors else np.mean(values))


def _weighted(name: str, values: np.ndarray) -> float:
    with np.errstate(all="ignore"):  # what is not finite gets its name later
        return float(aggregation(name).weights(len(values)) @ values)
