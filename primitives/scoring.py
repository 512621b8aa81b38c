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

import numpy as np
import torch

from primitives.budget import USUAL_T, combined, parts
from primitives.frames import ExactFrame, ScalarFrame
from primitives.invalid import Invalid
from primitives.operators import BINARY, UNARY, Binary, Kind, aggregation
from primitives.proxy import BadProxy, Branch, Proxy

__all__ = ["RESOLUTION", "SCORING_VERSION", "Blocks", "PassingScorer", "Scorer", "apply_branch", "resolved", "score"]

RESOLUTION = 17  # binary digits of a score: 2^-17 is 7.6e-6
SCORING_VERSION = 2  # changes whenever the exact score of some formula would

Blocks = Sequence[Mapping[str, Sequence[torch.Tensor]]]
"""Per block, the tensors of each input by name; absent inputs are missing or empty."""

Part = Branch | Proxy
"""What a formula reads of each block: the means of a branch, or of the join of two entry by entry."""


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
    frame: ExactFrame | ScalarFrame = ExactFrame(x, branch.source.axis) if x.dim() else ScalarFrame()
    for name in branch.chain:
        operator = UNARY[name]
        x = operator.apply(x, frame)
        if operator.kind is Kind.REDUCE:
            frame = ScalarFrame()
    return x


class Scorer:
    """Scores many proxies on one network; the means of a branch are computed once."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks
        self._memo: dict[Part, list[list[float]]] = {}

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
            worth = _join(BINARY[e.binary], worth, _aggregate(e.aggregate, self._found(e.branch)))
        return _finite(worth)

    def _with_budget(self, proxy: Proxy, budget: float) -> float | Invalid:
        scores = [self.score(part) for part in parts(proxy)]
        if reason := next((value for value in scores if isinstance(value, Invalid)), None):
            return reason
        return _finite(float(combined(proxy, [np.array(value) for value in scores], np.array(budget))))

    def _value(self, proxy: Proxy) -> float:
        if proxy.joins_entries:
            return _aggregate(proxy.aggregate, self._found(proxy))
        left = self._found(proxy.left)
        if proxy.right is None or proxy.operator is None:
            return _aggregate(proxy.aggregate, left)
        right = self._found(proxy.right)
        if proxy.right_aggregate is not None:
            outer = _aggregate(proxy.aggregate, left), _aggregate(proxy.right_aggregate, right)
            return _join(proxy.operator, *outer)
        same_list = proxy.left.source.tensors == proxy.right.source.tensors
        joined = []
        for xs, ys in zip(left, right, strict=True):
            if not same_list or len(xs) != len(ys):
                xs, ys = [_within(proxy.aggregate, xs)], [_within(proxy.aggregate, ys)]
            joined.append([_join(proxy.operator, x, y) for x, y in zip(xs, ys, strict=True)])
        return _aggregate(proxy.aggregate, joined)

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
    def letters(self) -> frozenset[str]:
        """The inputs that the formulas read."""
        branches = [b for part in self._seen for b in ([part] if isinstance(part, Branch) else part.branches)]
        return frozenset(branch.input.split(".")[0] for branch in branches)

    def see(self, index: int, block: Mapping[str, Sequence[torch.Tensor]]) -> None:
        """Keep the numbers of block `index`."""
        self.add(index, self.read(block))

    def read(self, block: Mapping[str, Sequence[torch.Tensor]]) -> list[list[float]]:
        """What the formulas read of one block: the numbers of its tensors, part by part."""
        return [_numbers(part, block) for part in self._seen]

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


def _numbers(part: Part, block: Mapping[str, Sequence[torch.Tensor]]) -> list[float]:
    """Numbers that a formula reads from one block; empty if the block lacks the input."""
    if isinstance(part, Branch):
        return [_mean(apply_branch(part, x)) for x in block.get(part.input, ())]
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
    return float(x.mean(dtype=torch.float64))


def _join(operator: Binary, x: float, y: float) -> float:
    return float(operator.apply(torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)))


def _within(aggregate: str, values: Sequence[float]) -> float:
    """The value of one block, from those of its tensors."""
    if not values:
        return 0.0
    return float(np.sum(values) if aggregation(aggregate).sums_tensors else np.mean(values))


def _aggregate(name: str, per_block: list[list[float]]) -> float:
    values = np.array([_within(name, values) for values in per_block])
    with np.errstate(all="ignore"):  # what is not finite gets its name later
        return float(aggregation(name).weights(len(values)) @ values)
