"""The sketch: a fixed, small, shape-aware summary of a tensor on which whole chains of operators can be evaluated.

A tensor of any size becomes NODES + GRID float32 numbers:

- *nodes*: the means of NODES strata of its sorted entries. Strata are narrow at both ends (Chebyshev spacing), so
  tails and extremes survive; their fixed weights make `mean f(x)` a dot product, exact for f(x) = x.
- *grid*: a sub-matrix of evenly spaced rows and columns, at the same positions for every tensor of a list (W and G,
  J and H), so that lines keep their structure for softmax and aligned tensors can meet entry by entry.

The true sizes travel along. Exact scoring over all entries (`primitives/scoring.py`) is the definition; this is an
accelerator, and its fidelity is measured and reported with every result.
"""

from __future__ import annotations

import numpy as np
import torch

from primitives.inputs import INPUTS

__all__ = ["GRID", "NODES", "SKETCH_VERSION", "SketchFrame", "grid_shape", "sketch"]

SKETCH_VERSION = 1
NODES = 384
GRID = 1024
# (heads, rows, columns) by tensor list; lines along the softmax axis get the larger share.
_TOKENS = (1, 64, 16)
_GRIDS = {"weights": (1, 32, 32), "stream": _TOKENS, "ffn": _TOKENS, "queries": _TOKENS, "attention": (4, 8, 32)}


def _edges() -> np.ndarray:
    """Strata borders as shares of the sorted entries, (NODES + 1,), symmetric and dense at both ends."""
    return (1 - np.cos(np.pi * np.arange(NODES + 1) / NODES)) / 2


_EDGES = _edges()
WEIGHTS = torch.from_numpy(np.diff(_EDGES))  # (NODES,) float64, sums to 1


def grid_shape(name: str) -> tuple[int, int, int]:
    """(heads, rows, columns) of an input's grid; the product is GRID."""
    return _GRIDS[INPUTS[name].tensors.split(".")[0]]


def sketch(x: torch.Tensor, name: str) -> np.ndarray:
    """(NODES + GRID,) float32 summary of one tensor of input `name`, computed on the CPU."""
    return np.concatenate([_nodes(x.detach().cpu().numpy()), _grid(x.detach().cpu(), grid_shape(name))])


def _nodes(x: np.ndarray) -> np.ndarray:
    """Means of the strata of the sorted entries; a border inside an entry shares it between its strata."""
    ordered = np.sort(x.ravel(order="K"))  # in whatever order they lie in memory, so nothing is transposed
    rank = _EDGES * len(ordered)
    below = np.minimum(rank.astype(np.int64), len(ordered) - 1)
    whole = np.add.reduceat(ordered, below[:-1], dtype=np.float64)  # runs to the end in the last stratum
    whole[-1] -= ordered[-1]
    whole[below[:-1] == below[1:]] = 0.0  # reduceat gives the entry itself for an empty run
    parts = (rank - below) * ordered[below]
    return ((whole + np.diff(parts)) / np.diff(rank)).astype(np.float32)


def _grid(x: torch.Tensor, shape: tuple[int, int, int]) -> np.ndarray:
    x = x if x.dim() == 3 else x.unsqueeze(0)
    heads, rows, columns = (_spread(length, count) for length, count in zip(x.shape, shape, strict=True))
    return x[heads[:, None, None], rows[:, None], columns].flatten().numpy()


def _spread(length: int, count: int) -> torch.Tensor:
    """`count` evenly spaced positions in range(length); positions repeat when there are fewer."""
    return ((torch.arange(count, dtype=torch.float64) + 0.5) * length / count).to(torch.int64)


class SketchFrame:
    """Reductions of sketches (M, NODES + GRID) with true sizes (M, 1), see `primitives.frames.Frame`.

    Means and extremes are those of the nodes until an operator has worked along lines (`lines_changed`); from then
    on those of the grid, because nodes know nothing of lines.
    """

    def __init__(self, name: str, size: torch.Tensor, line_size: torch.Tensor, lines_changed: bool = False) -> None:
        self.name, self.shape, self.axis = name, grid_shape(name), INPUTS[name].axis
        self._size, self._line_size = size, line_size
        self.lines_changed = lines_changed

    def with_lines_changed(self) -> SketchFrame:
        """The frame of what an operator along lines has made."""
        return SketchFrame(self.name, self._size, self._line_size, True)

    def mean(self, x: torch.Tensor) -> torch.Tensor:
        if self.lines_changed:
            return x[:, NODES:].mean(-1, keepdim=True, dtype=torch.float64)
        return (x[:, :NODES].double() @ WEIGHTS).unsqueeze(-1)

    def low(self, x: torch.Tensor) -> torch.Tensor:
        return self._known(x).amin(-1, keepdim=True)

    def high(self, x: torch.Tensor) -> torch.Tensor:
        return self._known(x).amax(-1, keepdim=True)

    def _known(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, NODES:] if self.lines_changed else x[:, :NODES]

    def line_mean(self, x: torch.Tensor) -> torch.Tensor:
        grid = x[:, NODES:].unflatten(-1, self.shape)
        lines = grid.mean(self.axis, keepdim=True, dtype=torch.float64).expand_as(grid).flatten(1)
        return torch.cat([self.mean(x).expand(-1, NODES), lines], dim=1)

    def line_high(self, x: torch.Tensor) -> torch.Tensor:
        grid = x[:, NODES:].unflatten(-1, self.shape)
        lines = grid.amax(self.axis, keepdim=True).expand_as(grid).flatten(1)
        return torch.cat([self.high(x).expand(-1, NODES).to(x.dtype), lines], dim=1)

    def size(self) -> torch.Tensor:
        return self._size

    def line_size(self) -> torch.Tensor:
        return self._line_size
