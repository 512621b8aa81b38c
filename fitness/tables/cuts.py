"""CutTable: the branch table of subnets whose quantities are those of one whole network. Every branch is computed on
the parts of the whole network alone; the numbers of a subnet are picked from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fitness.features.cuts import Parts, parts_of
from fitness.tables.branches import BranchTable
from fitness.tables.chains import Chain
from primitives.budget import USUAL_T
from primitives.operators import AGGREGATION, Binary
from primitives.proxy import Branch

__all__ = ["CutTable"]


class CutTable(BranchTable):
    """N subnets of a whole network. What a formula makes of a subnet is what it makes of `Parts.joined`, at the price
    of the parts alone."""

    def __init__(self, parts: Parts, configs: Sequence[Mapping[str, Any]]) -> None:
        self.names = sorted(parts.sketches)
        self.whole = BranchTable([parts.sketches[part] for part in self.names])
        place = {part: i for i, part in enumerate(self.names)}
        pairs = [[(place[a], place[f]) for a, f in parts_of(config)] for config in configs]
        self.depths = np.array([len(found) for found in pairs])
        self.starts = np.concatenate([[0], np.cumsum(self.depths)])
        self.budgets = np.full(len(configs), USUAL_T)
        self.chosen = np.array([part for found in pairs for pair in found for part in pair])  # (2 B,)
        self.weights = {
            name: np.concatenate([a.weights(int(depth)) for depth in self.depths]) for name, a in AGGREGATION.items()
        }
        self.inputs = self.whole.inputs
        self._picked: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._means, self._grids, self._network = {}, {}, {}

    def pick(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """For an input, which tensors of the parts the subnets have, and the block of each: (M,) and (M,)."""
        if name not in self._picked:
            self._picked[name] = self._pick_of(self.whole.inputs[name].block)
        return self._picked[name]

    def _pick_of(self, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which tensors the subnets have, of those whose parts are `owner` in rising order, and the block of each."""
        parts = np.arange(len(self.names))
        first, end = np.searchsorted(owner, parts), np.searchsorted(owner, parts, "right")
        counts = (end - first)[self.chosen]
        ends = np.cumsum(counts)
        within = np.arange(int(counts.sum())) - np.repeat(ends - counts, counts)
        tensors = np.repeat(first[self.chosen], counts) + within
        return tensors, np.repeat(np.arange(len(self.chosen)) // 2, counts)

    def means(self, branch: Branch) -> np.ndarray:
        """The branch's number for each tensor of each subnet, (M,)."""
        return self.whole.means(branch)[self.pick(branch.input)[0]]

    def block(self, branch: Branch) -> np.ndarray:
        """The block of each tensor of the branch's input, (M,)."""
        return self.pick(branch.input)[1]

    def fill(self, name: str, chains: Iterable[Chain], jobs: int = 1) -> None:
        """Compute the means of many branches of one input, on the parts."""
        self.whole.fill(name, chains, jobs)

    def known(self) -> dict[str, dict[Chain, np.ndarray]]:
        """The means of the parts that are computed already, by input and chain."""
        return self.whole.known()

    def know(self, means: Mapping[Branch, np.ndarray]) -> None:
        """Take over means of the parts."""
        self.whole.know(means)

    def _joined_entries(self, left: Branch, right: Branch, operator: Binary) -> tuple[np.ndarray, np.ndarray]:
        """The join of aligned tensors, computed on the parts, then picked."""
        met, owner = self.whole._joined_entries(left, right, operator)
        tensors, block = self._pick_of(owner)
        return met[tensors], block
