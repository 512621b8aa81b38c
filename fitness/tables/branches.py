"""BranchTable: the value of every branch for all architectures, from sketches. A branch does not depend on its
partner, so it is computed once; a proxy is then arithmetic on small arrays.

All tensors of an input, over all architectures, lie in one array of M sketches; a branch's chain runs over it in one
vectorised pass. `block` numbers the blocks of all architectures consecutively, B in all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
import torch
from joblib import Parallel, delayed

from fitness.features.bank import SketchEntry
from fitness.tables.chains import Chain, Tensors, run, walk
from primitives.budget import USUAL_T, parts
from primitives.inputs import COUNTS, INPUTS
from primitives.operators import AGGREGATION, BINARY, Binary, constant_of, fixed, turns
from primitives.proxy import Branch, Extension, Proxy
from primitives.scoring import resolved

__all__ = ["BranchTable", "covarying", "joined", "stream_scores"]

MAX_GRIDS = 256 << 20  # bytes of grids that are kept for joins entry by entry


class BranchTable:
    """Scores proxies on N architectures, which are trained with the `budgets` T (N,), 20 tokens a parameter by default.

    Memory: the sketches (5.6 kB a tensor), 8 M bytes per branch, 8 N per aggregated one, and at most MAX_GRIDS bytes
    of grids.
    """

    def __init__(self, entries: Sequence[SketchEntry], budgets: np.ndarray | None = None) -> None:
        depths = np.array([entry.blocks for entry in entries])
        self.starts = np.concatenate([[0], np.cumsum(depths)])  # first block of each architecture
        self.depths = depths
        self.budgets = np.full(len(depths), USUAL_T) if budgets is None else budgets  # (N,): T
        self.weights = {
            name: np.concatenate([a.weights(int(depth)) for depth in depths]) for name, a in AGGREGATION.items()
        }
        self.inputs = {name: Tensors.gather(entries, name, self.starts) for name in INPUTS}
        for name, source in COUNTS.items():
            if source.count is not None:
                beside = [self.inputs[of] for of in source.count.of]
                self.inputs[name] = Tensors.counted(name, source.count, beside)
        self._means: dict[Branch, np.ndarray] = {}
        self._grids: dict[Branch, torch.Tensor] = {}
        self._network: dict[tuple[str, Branch], np.ndarray] = {}

    @property
    def count(self) -> int:
        """N."""
        return len(self.depths)

    def scores(self, proxies: Sequence[Proxy], jobs: int = 1) -> np.ndarray:
        """(P, N) float64, by the rules of `primitives/scoring.py` (which see); not finite where a proxy has no score.
        `jobs` threads give the same numbers as one."""
        return resolved(self.values(proxies, jobs))

    def score(self, proxy: Proxy) -> np.ndarray:
        """(N,) float64."""
        return self.scores([proxy])[0]

    def values(self, proxies: Sequence[Proxy], jobs: int = 1) -> np.ndarray:
        """(P, N) float64: the scores before they are rounded to their resolution. Formulas that join numbers of
        networks are computed together, operator by operator; those that join block by block one by one."""
        formulas = [proxy.pruned() for proxy in proxies]
        worth = np.empty((len(formulas), self.count))
        with np.errstate(all="ignore"):
            for binary, places in _places(None if f.pair.joins_blocks else f.pair.binary or "" for f in formulas):
                pairs = [formulas[place].pair for place in places]
                worth[places] = self._blockwise(pairs, jobs) if binary is None else self._joined(binary, pairs)
            for number in range(max((len(f.extensions) for f in formulas), default=0)):
                self._extend(worth, [f.extensions[number : number + 1] for f in formulas])
        return worth

    def _extend(self, worth: np.ndarray, extensions: Sequence[tuple[Extension, ...]]) -> None:
        """Join one branch more to the rows of `worth` (P, N) that have one, operator by operator."""
        for binary, places in _places(e[0].binary if e else None for e in extensions):
            if binary is not None:
                rows = self._rows((e.aggregate, e.branch) for place in places for e in extensions[place])
                worth[places] = joined(BINARY[binary], worth[places], rows)

    def value(self, proxy: Proxy) -> np.ndarray:
        """(N,) float64: the score before it is rounded."""
        return self.values([proxy])[0]

    def _joined(self, binary: str, bases: Sequence[Proxy]) -> np.ndarray:
        """(P, N): one branch each, or two numbers per network joined by the same operator."""
        left = self._rows((base.aggregate, base.left) for base in bases)
        if not binary:
            return left
        right = self._rows((base.right_aggregate or base.aggregate, base.right) for base in bases if base.right)
        return joined(BINARY[binary], left, right)

    def _rows(self, branches: Iterable[tuple[str, Branch]]) -> np.ndarray:
        return np.stack([self.row(aggregate, branch) for aggregate, branch in branches])

    def row(self, aggregate: str, branch: Branch) -> np.ndarray:
        """(N,) float64: a branch as a number per network; kept."""
        constant, aggregate = constant_of(aggregate)
        if constant != 1:
            return constant * self.row(aggregate, branch)
        if turns(aggregate):
            return self.budgets * self.row(fixed(aggregate), branch)
        key = aggregate, branch
        if key not in self._network:
            blocks = self.block_values(self.means(branch), self.block(branch), aggregate)
            self._network[key] = self.network(blocks, aggregate)
        return self._network[key]

    def _blockwise(self, bases: Sequence[Proxy], jobs: int) -> np.ndarray:
        def alone(base: Proxy) -> np.ndarray:
            torch.set_num_threads(1)  # this thread's: sums must not depend on the number of cores
            with np.errstate(all="ignore"):
                return self._joined_by_block(base, *base.branches)

        parallel = Parallel(n_jobs=min(jobs, len(bases)), prefer="threads")
        return np.stack(parallel(delayed(alone)(base) for base in bases))

    def _joined_by_block(self, proxy: Proxy, left: Branch, right: Branch) -> np.ndarray:
        if turns(proxy.aggregate):
            return self.budgets * self._joined_by_block(parts(proxy)[0], left, right)
        aggregate, operator = proxy.aggregate, BINARY[str(proxy.binary)]
        if proxy.joins_entries:
            met, block = self._joined_entries(left, right, operator)
            return self.network(self.block_values(met, block, aggregate), aggregate)
        x, y = self.means(left), self.means(right)
        if left.source.tensors == right.source.tensors and len(x) == len(y):
            met = self.block_values(joined(operator, x, y), self.block(left), aggregate)
            return self.network(met, aggregate)
        x = self.block_values(x, self.block(left), aggregate)
        y = self.block_values(y, self.block(right), aggregate)
        return self.network(joined(operator, x, y), aggregate)

    def means(self, branch: Branch) -> np.ndarray:
        """The branch's number for each of its input's tensors, (M,)."""
        if branch not in self._means:
            letter, _, role = branch.input.partition(".")
            tensors = self.inputs[branch.input]
            if role:
                self._means[branch] = self.means(Branch(letter, branch.chain))[tensors.places]
            else:
                self._means[branch] = np.concatenate([run(part, branch.chain).means for part in tensors.parts()])
        return self._means[branch]

    def fill(self, name: str, chains: Iterable[Chain], jobs: int = 1) -> None:
        """Compute the means of many branches of one input; common beginnings are computed once. Those of a role
        terminal are selected from its letter's when they are asked for."""
        name, groups = name.partition(".")[0], dict[Chain, list[Chain]]()
        for chain in chains:
            if Branch(name, chain) not in self._means:
                groups.setdefault(chain[:1], []).append(chain)

        def fill_group(group: list[Chain]) -> None:
            torch.set_num_threads(1)
            found: dict[Chain, list[np.ndarray]] = {chain: [] for chain in group}
            with np.errstate(all="ignore"):
                for part in self.inputs[name].parts():
                    for chain, values in walk(part, group):
                        found[chain].append(values.means)
            self._means.update((Branch(name, chain), np.concatenate(means)) for chain, means in found.items())

        Parallel(n_jobs=jobs, prefer="threads")(delayed(fill_group)(groups[key]) for key in sorted(groups))

    def known(self) -> dict[str, dict[Chain, np.ndarray]]:
        """The means that are computed already, by input and chain."""
        found: dict[str, dict[Chain, np.ndarray]] = {}
        for branch, means in self._means.items():
            found.setdefault(branch.input, {})[branch.chain] = means
        return found

    def know(self, means: Mapping[Branch, np.ndarray]) -> None:
        """Take over means that this table would compute."""
        self._means.update(means)

    def block_values(self, values: np.ndarray, block: np.ndarray, aggregate: str) -> np.ndarray:
        """Numbers per tensor (M,) of blocks (M,) to numbers per block (B,); a block without any gets 0."""
        total = np.bincount(block, values, minlength=self.starts[-1])
        if AGGREGATION[aggregate].sums_tensors:
            return total
        return total / np.maximum(np.bincount(block, minlength=self.starts[-1]), 1)

    def network(self, blocks: np.ndarray, aggregate: str) -> np.ndarray:
        """Numbers per block (B,) to one per architecture (N,)."""
        return np.add.reduceat(blocks * self.weights[aggregate], self.starts[:-1])

    def block(self, branch: Branch) -> np.ndarray:
        """The block of each tensor of the branch's input, (M,)."""
        return self.inputs[branch.input].block

    def grid(self, branch: Branch) -> torch.Tensor:
        """The branch's entries on the grid, (M, heads, rows, columns) float32."""
        if branch not in self._grids:
            parts = [run(part, branch.chain, whole=True).grid for part in self.inputs[branch.input].parts()]
            grid = torch.cat(parts)
            while self._grids and sum(g.nbytes for g in self._grids.values()) + grid.nbytes > MAX_GRIDS:
                self._grids.pop(next(iter(self._grids)))
            self._grids[branch] = grid
        return self._grids[branch]

    def _joined_entries(self, left: Branch, right: Branch, operator: Binary) -> tuple[np.ndarray, np.ndarray]:
        """Mean over the entries of the join of aligned tensors, and their blocks; both (M,).

        The nodes know the means of the branches better than the grid does, so the grid only adds the covariance:
        E[xy] = E[x] E[y] + cov(x, y). For matmul x and y are column means, and the sum has `columns` terms.
        """
        block, in_left, in_right = self.aligned(left.input, right.input)
        x, y = (covarying(self.grid(b)[rows].double(), operator) for b, rows in ((left, in_left), (right, in_right)))
        covariance = ((x - x.mean(-1, keepdim=True)) * y).mean(-1).numpy()
        columns = self.inputs[left.input].columns[in_left] if operator.name == "matmul" else 1.0
        return columns * (self.means(left)[in_left] * self.means(right)[in_right] + covariance), block

    def aligned(self, left: str, right: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Blocks and positions of the tensors that two inputs of one list both have (a block may lack heads)."""
        x, y = self.inputs[left].block, self.inputs[right].block
        if len(x) == len(y):
            everything = np.arange(len(x))
            return x, everything, everything
        return np.intersect1d(x, y, return_indices=True)


def _places(kinds: Iterable[str | None]) -> list[tuple[str | None, list[int]]]:
    """The places of each kind, in the order of their first occurrence."""
    found: dict[str | None, list[int]] = {}
    for place, kind in enumerate(kinds):
        found.setdefault(kind, []).append(place)
    return list(found.items())


def stream_scores(proxy: Proxy, entries: Iterable[SketchEntry], chunk: int = 64) -> Iterator[np.ndarray]:
    """Scores of a stream of sketches, `chunk` at a time: memory does not grow with their number."""
    waiting = iter(entries)
    while part := list(islice(waiting, chunk)):
        yield BranchTable(part).scores([proxy])[0]


def covarying(grid: torch.Tensor, operator: Binary) -> torch.Tensor:
    """Values that covary in a join of grids (M, heads, rows, columns): entries, or column means for matmul;
    (M, entries)."""
    return (grid.mean(-2) if operator.name == "matmul" else grid).flatten(1)


def joined(operator: Binary, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Apply a binary operator to arrays of numbers that broadcast."""
    return operator.apply(torch.from_numpy(x), torch.from_numpy(y)).numpy()
