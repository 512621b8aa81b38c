"""PairTable: every chain of one input joined with every chain of another, for all architectures at once.

What BranchTable.score does for one proxy joined inside its aggregation, as matrix products: a linear join needs the
branches' network values; a product of numbers is, per architecture, a product of (P, blocks) and (blocks, Q); joins
entry by entry add the covariances of their grids, again one matrix product per architecture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from joblib import Parallel, delayed

from fitness.tables.branches import BranchTable, covarying, joined
from fitness.tables.chains import Chain, walk
from primitives.inputs import INPUTS
from primitives.operators import AGGREGATION, BINARY, ENTRYWISE, UNARY, Kind
from primitives.proxy import Branch, Proxy
from primitives.scoring import resolved

__all__ = ["PairTable"]

TENSORS = 16  # whose grids are held at once, at least
WALKED = 1500  # grids that are held at once, of all chains together
ROWS = 1 << 15  # proxies per batch of scores


class PairTable:
    """Scores of `aggregate[ operator( left chain, right chain ) ]` for P chains of `left` and Q of `right`.

    Memory: N P Q float64 for each kind of product (58 MB for two unary operators and 50 architectures).
    """

    def __init__(
        self, table: BranchTable, left: str, right: str, chains: Sequence[Chain], aggregate: str, jobs: int = 1
    ) -> None:
        self.table, self.left, self.right = table, left, right
        self.chains, self.aggregate, self.jobs = list(chains), aggregate, jobs
        self.same_list = INPUTS[left].tensors == INPUTS[right].tensors
        for name in (left, right):
            table.fill(name, chains, jobs)
        self._entries = np.array([not any(UNARY[o].kind is Kind.REDUCE for o in chain) for chain in chains])
        self._network = {name: np.stack([self._network_value(name, c) for c in self.chains]) for name in (left, right)}
        self._products: dict[str, np.ndarray] = {}

    def batches(self, operator: str) -> Iterator[tuple[slice, np.ndarray]]:
        """(rows of P, scores (rows, Q, N) float64) for all P in order; not finite where there is no score."""
        size = max(1, ROWS // len(self.chains))
        for at in range(0, len(self.chains), size):
            rows = slice(at, at + size)
            with np.errstate(all="ignore"):
                yield rows, resolved(self._scores(operator, rows))

    def distinct(self, operator: str) -> bool:
        """True if the operator differs from all others here: matmul is the product except on aligned entries."""
        return operator != "matmul" or self.same_list

    def _scores(self, operator: str, rows: slice) -> np.ndarray:
        if BINARY[operator].linear:
            return joined(BINARY[operator], self._network[self.left][rows, None], self._network[self.right][None])
        if operator not in ENTRYWISE:
            return self._one_by_one(operator, rows)
        if not self._products:
            self._products = self._joins()
        return np.ascontiguousarray(self._products[operator][:, rows].transpose(1, 2, 0))

    def _one_by_one(self, operator: str, rows: slice) -> np.ndarray:
        """(rows, Q, N) of an operator that is no sum of products, which has no quicker way."""
        left, right = ([Branch(name, chain) for chain in self.chains] for name in (self.left, self.right))
        proxies = [[Proxy(self.aggregate, x, operator, y) for y in right] for x in left[rows]]
        return np.array([[self.table.value(proxy) for proxy in line] for line in proxies])

    def _means(self, name: str, chain: Chain) -> np.ndarray:
        return self.table.means(Branch(name, chain))

    def _blocks(self, name: str, chain: Chain) -> np.ndarray:
        return self.table.block_values(self._means(name, chain), self.table.inputs[name].block, self.aggregate)

    def _network_value(self, name: str, chain: Chain) -> np.ndarray:
        with np.errstate(all="ignore"):
            return self.table.network(self._blocks(name, chain), self.aggregate)

    def _joins(self) -> dict[str, np.ndarray]:
        """(N, P, Q) by operator."""
        table = self.table
        if self.same_list and len(table.inputs[self.left].block) == len(table.inputs[self.right].block):
            block = table.inputs[self.left].block
            x, y = (np.stack([self._means(n, c) for c in self.chains]) for n in (self.left, self.right))
            numbers = self._joined(x * self._tensor_weights(block), y, block)
        else:
            x, y = (np.stack([self._blocks(n, c) for c in self.chains]) for n in (self.left, self.right))
            numbers = self._joined(x * table.weights[self.aggregate], y, np.arange(len(x[0])))
        if not self.same_list:
            return dict.fromkeys(ENTRYWISE, numbers)
        joins = {name: numbers.copy() for name in ENTRYWISE}
        for name, values in self._entry_products().items():
            joins[name][np.ix_(np.arange(table.count), self._entries, self._entries)] = values
        return joins

    def _joined(self, x: np.ndarray, y: np.ndarray, block: np.ndarray) -> np.ndarray:
        """Sum over the columns of x (P, C) times y (Q, C) that belong to each architecture, (N, P, Q)."""
        borders = np.searchsorted(block, self.table.starts)
        result = np.empty((self.table.count, len(x), len(y)))
        left, right = torch.from_numpy(x), torch.from_numpy(y).T
        for n, (start, stop) in enumerate(pairwise(borders)):
            torch.matmul(left[:, start:stop], right[start:stop], out=torch.from_numpy(result[n]))
        return result

    def _tensor_weights(self, block: np.ndarray) -> np.ndarray:
        """Weight of each tensor in the value of the network, (M,)."""
        weights = self.table.weights[self.aggregate][block]
        if AGGREGATION[self.aggregate].sums_tensors:
            return weights
        return weights / np.bincount(block, minlength=self.table.starts[-1])[block]

    def _entry_products(self) -> dict[str, np.ndarray]:
        """(N, P', Q') for the chains that leave entries: E[x] E[y] + cov(x, y) of each tensor, weighted."""
        table = self.table
        chains = [chain for chain, entries in zip(self.chains, self._entries, strict=True) if entries]
        block, in_left, in_right = table.aligned(self.left, self.right)
        weights = dict.fromkeys(ENTRYWISE, self._tensor_weights(block))
        weights["matmul"] = weights["matmul"] * table.inputs[self.left].columns[in_left]
        x = np.stack([self._means(self.left, c)[in_left] for c in chains])
        y = np.stack([self._means(self.right, c)[in_right] for c in chains])
        joins = {name: self._joined(x * weight, y, block) for name, weight in weights.items()}
        borders = np.searchsorted(block, table.starts)

        most = max(TENSORS, WALKED // len(chains))

        def add_covariances(group: range) -> None:
            torch.set_num_threads(1)
            with np.errstate(all="ignore"):  # what is not finite has no score, and is counted as such
                add(group)

        def add(group: range) -> None:
            for at in range(borders[group.start], borders[group.stop], most):
                stop = min(at + most, borders[group.stop])
                left = self._grids(self.left, chains, in_left[at:stop])
                right = self._grids(self.right, chains, in_right[at:stop])
                for name, result in joins.items():
                    scale = torch.from_numpy(weights[name][at:stop]).unsqueeze(-1) / left[name].shape[-1]
                    x, y = left[name], right[name]
                    x -= x.mean(-1, keepdim=True)  # of one side is enough for a covariance
                    x *= scale
                    for n in group:
                        own = slice(max(borders[n] - at, 0), max(min(borders[n + 1], stop) - at, 0))
                        result[n] += (x[:, own].flatten(1) @ y[:, own].flatten(1).T).numpy()

        groups = _groups(borders, most)
        Parallel(n_jobs=self.jobs, prefer="threads")(delayed(add_covariances)(group) for group in groups)
        return joins

    def _grids(self, name: str, chains: Sequence[Chain], rows: np.ndarray) -> dict[str, torch.Tensor]:
        """(P', tensors, entries) float64 by operator, what a covariance needs of grids; `rows` rise."""
        tensors = self.table.inputs[name].rows(slice(rows[0], rows[-1] + 1))
        chosen = slice(None) if len(rows) == rows[-1] + 1 - rows[0] else torch.from_numpy(rows - rows[0])
        places = {chain: place for place, chain in enumerate(chains)}
        found: dict[str, torch.Tensor] = {}
        for chain, values in walk(tensors, chains, whole=True):
            grid = values.grid[chosen].double()
            for operator in ENTRYWISE:
                terms = covarying(grid, BINARY[operator])
                if operator not in found:
                    found[operator] = torch.empty(len(chains), *terms.shape, dtype=torch.float64)
                found[operator][places[chain]] = terms
        return found


def _groups(borders: np.ndarray, most: int) -> list[range]:
    """Neighbouring architectures that have at most `most` tensors together, or one that has more."""
    groups, first = list[range](), 0
    for n in range(1, len(borders)):
        if n == len(borders) - 1 or borders[n + 1] - borders[first] > most:
            groups.append(range(first, n))
            first = n
    return groups
