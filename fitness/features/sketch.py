"""The sketch: a fixed, small, shape-aware summary of a tensor on which whole chains of operators can be evaluated.

A tensor of any size becomes NODES + GRID float32 numbers:

- *nodes*: the means of NODES strata of its sorted entries. Strata are narrow at both ends (Chebyshev spacing), so
  tails and extremes survive; their fixed weights make `mean f(x)` a dot product, exact for f(x) = x. No entry is
  moved for that: they are counted and summed in bins of their leading bits, so the cost grows with their number alone.
- *grid*: a sub-matrix of evenly spaced rows and columns, at the same positions for every tensor of a list (W and G,
  J and H), so that lines keep their structure for softmax and aligned tensors can meet entry by entry.

The true sizes travel along. Exact scoring over all entries (`primitives/scoring.py`) is the definition; this is an
accelerator, and its fidelity is measured and reported with every result.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from primitives.frames import Then
from primitives.inputs import INPUTS

__all__ = ["GRID", "NODES", "SKETCH_VERSION", "SketchFrame", "grid_shape", "sketches"]

SKETCH_VERSION = 2
NODES = 384
GRID = 1024
SHIFT = 16  # bits of a float32 below its bin: 128 bins between a power of two and the next
SPAN = 40 * 128  # bins of each sign: what is 2^40 times smaller than the largest entry shares one around zero
BINS = 2 * SPAN + 1
SORTED = 2048  # entries of a tensor that is small enough to be sorted
PART = 1 << 16  # entries that a processor's cache can hold with their bins
ROWS = 32  # tensors whose bins are held at a time
# (heads, rows, columns) by tensor list; lines along the softmax axis get the larger share.
_TOKENS = (1, 64, 16)
_GRIDS = {"weights": (1, 32, 32), "stream": _TOKENS, "ffn": _TOKENS, "queries": _TOKENS, "attention": (4, 8, 32)}


def _edges() -> np.ndarray:
    """Strata borders as shares of the sorted entries, (NODES + 1,), symmetric and dense at both ends."""
    return (1 - np.cos(np.pi * np.arange(NODES + 1) / NODES)) / 2


_EDGES = _edges()
WEIGHTS = torch.from_numpy(np.diff(_EDGES))  # (NODES,) float64, sums to 1
# Nothing is kept from one sketch to the next: a small block that stays pins what large ones leave, a process's peak.
_ONES = torch.ones(PART, dtype=torch.float64)


def grid_shape(name: str) -> tuple[int, int, int]:
    """(heads, rows, columns) of an input's grid; the product is GRID."""
    return _GRIDS[INPUTS[name].tensors.split(".")[0]]


def sketches(tensors: Sequence[tuple[str, torch.Tensor]]) -> np.ndarray:
    """(M, NODES + GRID) float32 summaries of M tensors, each with the name of its input, made on their device."""
    if not tensors:
        return np.zeros((0, NODES + GRID), np.float32)
    grids = torch.stack([_grid(x.detach(), grid_shape(name)) for name, x in tensors])
    rows = [_in_memory_order(x.detach().float()) for _, x in tensors]
    nodes = torch.cat([_nodes(rows[at : at + ROWS]) for at in range(0, len(rows), ROWS)])
    return torch.cat([nodes, grids], dim=1).cpu().numpy()


def _nodes(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """(M, NODES) float32 means of the strata of flat tensors, from the number and the sum of the entries of each bin.

    Sums over strata are exact but for the bin that a border divides. Its entries count as evenly spaced, as far apart
    as their mean leaves room; in the outer bins so that they end at the smallest and at the largest entry. An entry
    with a border in it is shared.
    """
    low, high = torch.stack([torch.stack(x.aminmax()) for x in tensors]).unsqueeze(-1).unbind(1)  # (M, 1) each
    origin = _origin(low, high)
    low, high = low - origin, high - origin
    base = (torch.maximum(-low, high).view(torch.int32) >> SHIFT).sub_(SPAN).clamp_min_(0)
    counts, sums = torch.zeros(2, len(tensors), BINS, dtype=torch.float64, device=low.device)
    for row in zip(tensors, origin, base, counts, sums, strict=True):
        _tally(*row)
    ends = counts.cumsum(1)
    total = ends[:, -1:]
    rank = _on(_EDGES, ends) * total  # (M, NODES + 1)
    at = torch.searchsorted(ends, rank[:, :-1].contiguous(), right=True)  # the bin that holds the lower border
    count, end = counts.gather(1, at), ends.gather(1, at)
    mean, before = sums.gather(1, at) / count, rank[:, :-1] - (end - count)
    gap = 2 * _room(at, base, mean.abs()) / (count + 1)
    for outer, reach in ((end == total, high - mean), (end == count, mean - low)):
        gap[outer] = (2 * reach / (count - 1).clamp_min(1))[outer]
    entries = before.floor()
    below = entries * (mean - gap * (count - entries) / 2)
    below += (before - entries) * (mean + gap * (entries - (count - 1) / 2))
    strata = _sums_between(sums, at) + torch.nn.functional.pad(below, (0, 1)).diff()
    return (origin + strata / (WEIGHTS.to(ends.device) * total)).float()


def _origin(low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Center of the narrowest bins: zero, or the middle of entries that are far from zero and close to each other; a
    float32 within a factor of two of it differs from it by a float32."""
    near, far = torch.minimum(low.abs(), high.abs()), torch.maximum(low.abs(), high.abs())
    return (low / 2 + high / 2) * ((low.sign() * high.sign() > 0) & (2 * near >= far))


def _tally(x: torch.Tensor, origin: torch.Tensor, base: torch.Tensor, counts: torch.Tensor, sums: torch.Tensor) -> None:
    """Count and sum the entries of a flat tensor, less their origin, in bins (BINS,), which are in the order of their
    values; `base` is the first magnitude that has a bin of its own. Few entries have a bin each."""
    if len(x) <= SORTED:
        base.zero_()
        counts[: len(x)], sums[: len(x)] = 1, torch.from_numpy(np.sort((x - origin).cpu().numpy()))
        return
    ones = _ONES.to(x.device)
    for part in x.split(PART):
        part = part - origin
        bits = part.view(torch.int32)
        sign = bits >> 31  # 0 or -1, which turns a magnitude m into m or -m
        bin = ((bits & 0x7FFFFFFF) >> SHIFT).sub_(base).clamp_(0, SPAN).bitwise_xor_(sign).sub_(sign).add_(SPAN).long()
        counts.scatter_add_(0, bin, ones[: len(bin)])
        sums.scatter_add_(0, bin, part.double())


def _room(bins: torch.Tensor, base: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """How far entries can lie on both sides of their mean magnitude within a bin; nothing around zero, because zeros
    are zeros."""
    magnitude = (bins - SPAN).abs().int() + base
    lower, upper = torch.stack([magnitude, magnitude + 1]).bitwise_left_shift(SHIFT).view(torch.float32).double()
    return torch.minimum(mean - lower, upper - mean).clamp_min(0) * (bins != SPAN)


def _sums_between(sums: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """Sums (M, NODES) over the bins from each border's to before the next one's, or to the end."""
    starts = (at + torch.arange(len(at), device=at.device).unsqueeze(1) * BINS).flatten()
    lengths = torch.cat([starts, starts.new_full((1,), sums.numel())]).diff()
    return torch.segment_reduce(sums.flatten()[int(starts[0]) :], "sum", lengths=lengths, unsafe=True).view(at.shape)


def _in_memory_order(x: torch.Tensor) -> torch.Tensor:
    """The entries (n,) in whatever order they lie in memory, so that nothing is transposed."""
    return x.permute(sorted(range(x.dim()), key=lambda axis: -x.stride()[axis])).reshape(-1)


def _on(constants: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(constants).to(like.device)


def _grid(x: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    x = x if x.dim() == 3 else x.unsqueeze(0)
    return x[_places(tuple(x.shape), shape, x.device)].flatten()


def _places(lengths: tuple[int, ...], counts: tuple[int, ...], device: torch.device) -> tuple[torch.Tensor, ...]:
    """Evenly spaced positions along each axis, as indices of a grid; positions repeat where there are fewer."""
    axes = zip(lengths, counts, strict=True)
    spread = [((np.arange(count) + 0.5) * length / count).astype(np.int64) for length, count in axes]
    return tuple(torch.from_numpy(places).to(device) for places in np.ix_(*spread))


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

    def line_mean(self, x: torch.Tensor, then: Then | None = None) -> torch.Tensor:
        grid = x[:, NODES:].unflatten(-1, self.shape)
        lines, mean = grid.mean(self.axis, keepdim=True, dtype=torch.float64), self.mean(x)
        if then:  # before a line's number is repeated for each of its entries
            lines, mean = then(lines.flatten(1)).view_as(lines), then(mean)
        return torch.cat([mean.expand(-1, NODES), lines.expand_as(grid).flatten(1)], dim=1)

    def line_high(self, x: torch.Tensor) -> torch.Tensor:
        grid = x[:, NODES:].unflatten(-1, self.shape)
        lines = grid.amax(self.axis, keepdim=True).expand_as(grid).flatten(1)
        return torch.cat([self.high(x).expand(-1, NODES).to(x.dtype), lines], dim=1)

    def size(self) -> torch.Tensor:
        return self._size

    def line_size(self) -> torch.Tensor:
        return self._line_size
