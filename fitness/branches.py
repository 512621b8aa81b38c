"""BranchTable: the value of every branch for all architectures, from sketches. A branch does not depend on its
partner, so it is computed once; a proxy is then arithmetic on small arrays.

All tensors of an input, over all architectures, lie in one array of M sketches; a branch's chain runs over it in one
vectorised pass. `block` numbers the blocks of all architectures consecutively, B in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from joblib import Parallel, delayed

from fitness.bank import SketchEntry
from fitness.sketch import NODES, SketchFrame, grid_shape
from primitives.frames import ScalarFrame
from primitives.inputs import INPUTS
from primitives.operators import AGGREGATION, UNARY, Binary, Kind
from primitives.proxy import Branch, Proxy

__all__ = ["BranchTable"]


@dataclass(frozen=True, eq=False)
class _Tensors:
    """All tensors of one input: samples (M, NODES + GRID), true sizes (M, 1), block of each (M,)."""

    samples: torch.Tensor
    size: torch.Tensor
    line_size: torch.Tensor
    block: np.ndarray


class BranchTable:
    """Scores proxies on N architectures. Memory: the sketches (about 5.5 kB a tensor) and 8 M bytes per branch."""

    def __init__(self, entries: Sequence[SketchEntry]) -> None:
        depths = np.array([entry.blocks for entry in entries])
        self.starts = np.concatenate([[0], np.cumsum(depths)])  # first block of each architecture
        self.depths = depths
        self._weights = {
            name: np.concatenate([a.weights(int(depth)) for depth in depths]) for name, a in AGGREGATION.items()
        }
        self._inputs = {name: _gather(entries, name, self.starts) for name in INPUTS}
        self._means: dict[Branch, np.ndarray] = {}
        self._grids: dict[Branch, torch.Tensor] = {}

    @property
    def count(self) -> int:
        """N."""
        return len(self.depths)

    def scores(self, proxies: Sequence[Proxy], jobs: int = 1) -> np.ndarray:
        """(P, N) float64; not finite where a proxy has no score. `jobs` threads give the same numbers as one."""
        if not proxies:
            return np.zeros((0, self.count))
        if jobs == 1 or len(proxies) == 1:
            return np.stack([self._quiet_score(proxy) for proxy in proxies])
        parallel = Parallel(n_jobs=jobs, prefer="threads")
        return np.stack(parallel(delayed(self._quiet_score)(proxy) for proxy in proxies))

    def _quiet_score(self, proxy: Proxy) -> np.ndarray:
        torch.set_num_threads(1)  # this thread's: sums must not depend on the number of cores
        with np.errstate(all="ignore"):
            return self.score(proxy)

    def score(self, proxy: Proxy) -> np.ndarray:
        """(N,) float64, by the rules of `primitives/scoring.py` (which see)."""
        proxy = proxy.pruned()
        first, second = proxy.aggregate, proxy.right_aggregate or proxy.aggregate
        if proxy.right is None or proxy.operator is None:
            return self.network(self.block_values(self.means(proxy.left), self._block(proxy.left), first), first)
        if proxy.joins_entries:
            joined, block = self._joined_entries(proxy.left, proxy.right, proxy.operator)
            return self.network(self.block_values(joined, block, first), first)
        left, right = self.means(proxy.left), self.means(proxy.right)
        outside = proxy.right_aggregate is not None
        same_list = proxy.left.source.tensors == proxy.right.source.tensors and len(left) == len(right)
        if same_list and not outside and not proxy.operator.linear:
            joined = _apply(proxy.operator, left, right)
            return self.network(self.block_values(joined, self._block(proxy.left), first), first)
        x = self.block_values(left, self._block(proxy.left), first)
        y = self.block_values(right, self._block(proxy.right), second)
        if outside:
            return _apply(proxy.operator, self.network(x, first), self.network(y, second))
        return self.network(_apply(proxy.operator, x, y), first)

    def means(self, branch: Branch) -> np.ndarray:
        """The branch's number for each of its input's tensors, (M,)."""
        if branch not in self._means:
            self._means[branch] = self._run(branch, with_grid=False)[0]
        return self._means[branch]

    def block_values(self, values: np.ndarray, block: np.ndarray, aggregate: str) -> np.ndarray:
        """Numbers per tensor (M,) of blocks (M,) to numbers per block (B,); a block without any gets 0."""
        total = np.bincount(block, values, minlength=self.starts[-1])
        if AGGREGATION[aggregate].sums_tensors:
            return total
        return total / np.maximum(np.bincount(block, minlength=self.starts[-1]), 1)

    def network(self, blocks: np.ndarray, aggregate: str) -> np.ndarray:
        """Numbers per block (B,) to one per architecture (N,)."""
        return np.add.reduceat(blocks * self._weights[aggregate], self.starts[:-1])

    def _block(self, branch: Branch) -> np.ndarray:
        return self._inputs[branch.input].block

    def grid(self, branch: Branch) -> torch.Tensor:
        """The branch's entries on the grid, (M, heads, rows, columns) float32."""
        if branch not in self._grids:
            self._means[branch], grid = self._run(branch, with_grid=True)
            if len(self._grids) > 64:
                self._grids.pop(next(iter(self._grids)))
            self._grids[branch] = grid.unflatten(-1, grid_shape(branch.input))
        return self._grids[branch]

    def _run(self, branch: Branch, with_grid: bool) -> tuple[np.ndarray, torch.Tensor]:
        """The chain over all tensors at once: means (M,) and entries on the grid (M, GRID)."""
        tensors = self._inputs[branch.input]
        kinds = [UNARY[name].kind for name in branch.chain]
        x = tensors.samples if with_grid or Kind.LINE in kinds else tensors.samples[:, :NODES]
        lines = SketchFrame(branch.input, tensors.size, tensors.line_size)
        frame: SketchFrame | ScalarFrame = lines
        for name, kind in zip(branch.chain, kinds, strict=True):
            x = UNARY[name].apply(x, frame)
            if kind is Kind.REDUCE:
                frame = ScalarFrame()
            lines.lines_changed |= kind is Kind.LINE
        means = x if frame is not lines else lines.mean(x)
        return means.squeeze(-1).double().numpy(), x[:, NODES:]

    def _joined_entries(self, left: Branch, right: Branch, operator: Binary) -> tuple[np.ndarray, np.ndarray]:
        """Mean over the entries of the join of aligned tensors, and their blocks; both (M,).

        The nodes know the means of the branches better than the grid does, so the grid only adds the covariance:
        E[xy] = E[x] E[y] + cov(x, y). For matmul x and y are column means, and the sum has `columns` terms.
        """
        block, in_left, in_right = self._aligned(left, right)
        x, y = self.grid(left)[in_left].double(), self.grid(right)[in_right].double()
        columns: np.ndarray | float = 1.0
        if operator.name == "matmul":
            tensors = self._inputs[left.input]
            lines = tensors.size / tensors.line_size if INPUTS[left.input].axis == -2 else tensors.line_size
            columns = lines[in_left].squeeze(-1).numpy()
            x, y = x.mean(-2), y.mean(-2)
        x, y = x.flatten(1), y.flatten(1)
        covariance = ((x * y).mean(-1) - x.mean(-1) * y.mean(-1)).numpy()
        return columns * (self.means(left)[in_left] * self.means(right)[in_right] + covariance), block

    def _aligned(self, left: Branch, right: Branch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Blocks and positions of the tensors that both inputs have (a block may lack heads)."""
        x, y = self._block(left), self._block(right)
        if len(x) == len(y):
            everything = np.arange(len(x))
            return x, everything, everything
        return np.intersect1d(x, y, return_indices=True)


def _apply(operator: Binary, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return operator.apply(torch.from_numpy(x), torch.from_numpy(y)).numpy()


def _gather(entries: Sequence[SketchEntry], name: str, starts: np.ndarray) -> _Tensors:
    """Concatenate an input's tensors over all architectures; a role terminal is a selection of its letter."""
    letter, _, role = name.partition(".")
    samples, layouts = [], []
    for entry, start in zip(entries, starts, strict=False):
        layout = entry.layout[letter].copy()
        keep = np.ones(len(layout), bool) if not role else layout[:, 1] == ("attn", "ffn").index(role)
        layout[:, 0] += start
        samples.append(entry.samples[letter][keep])
        layouts.append(layout[keep])
    layout = np.concatenate(layouts)
    sizes = torch.from_numpy(layout[:, 2:].astype(np.float64))
    stacked = torch.from_numpy(np.concatenate(samples))
    return _Tensors(stacked, sizes[:, :1], sizes[:, 1:], layout[:, 0])
