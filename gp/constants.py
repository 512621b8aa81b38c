"""The constants of a formula: what each branch that is added or taken off counts beside the first one, by ridge
regression of the target's ranks on the parts of the sum (linear scaling after Keijzer 2003, doi
10.1007/3-540-36599-0_7, part by part). Constants belong to what a formula is worth, not to its tree: evolution varies
the formula without them, and every evaluation fits them anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import EllipsisType

import numpy as np
from scipy import stats

from fitness.tables.branches import BranchTable
from primitives.operators import BINARY, times
from primitives.operators.aggregation import LARGEST
from primitives.proxy import Branch, Extension, Proxy

__all__ = ["SHRINKAGE", "fitted", "ridge_slopes", "summands", "weighed"]

SHRINKAGE = 0.1  # ridge penalty, as a share of the length of each standardised part
_PARTS = 3

Rows = Callable[[str, Branch], np.ndarray]
"""(aggregation, branch) -> its value for each network, (N,)."""


def fitted(
    proxies: Sequence[Proxy],
    table: BranchTable,
    quality: np.ndarray,
    places: np.ndarray | EllipsisType,
    shrinkage: float = SHRINKAGE,
) -> list[Proxy]:
    """The formulas with the constants that fit `quality` (n,) best on these places of the table; those that neither
    add nor take off stay as they are, and so does a part whose constant would turn its sign or leave the bounds."""
    found = list(proxies)
    sizes: dict[int, list[int]] = {}
    for at, proxy in enumerate(proxies):
        if _is_sum(proxy):
            sizes.setdefault(max(_PARTS, len(proxy.branches)), []).append(at)
    for size, open_ones in sizes.items():
        parts = np.stack([_padded(summands(proxies[at], table), size)[:, places] for at in open_ones])
        for at, constants in zip(open_ones, _constants(parts, quality, shrinkage), strict=True):
            found[at] = _with(proxies[at], constants)
    return found


def weighed(rest: np.ndarray, part: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """rest (n,) + constant * part for each row of `part` (K, n), each with the constant that fits `quality` best."""
    parts = np.stack(np.broadcast_arrays(rest, part), 1)
    return rest + _constants(parts, quality, SHRINKAGE)[:, 1:] * part


def _is_sum(proxy: Proxy) -> bool:
    return proxy.pair.is_linear or any(BINARY[extension.binary].linear for extension in proxy.extensions)


def summands(proxy: Proxy, table: BranchTable) -> np.ndarray:
    """(parts, N): what is added up, signs included; a later product multiplies all parts before it."""
    pair = proxy.pair
    if pair.is_linear and pair.right is not None:
        parts = [table.row(pair.aggregate, pair.left)]
        parts.append(_added(table.row(pair.right_aggregate or pair.aggregate, pair.right), str(pair.binary)))
    else:
        parts = [table.value(pair)]
    for extension in proxy.extensions:
        row = table.row(extension.aggregate, extension.branch)
        if BINARY[extension.binary].linear:
            parts.append(_added(row, extension.binary))
        else:
            parts = [part * row for part in parts]
    return np.stack(parts)


def _padded(parts: np.ndarray, size: int) -> np.ndarray:
    """(size, N): with rows of zeros where there are fewer parts."""
    return np.concatenate([parts, np.zeros((size - len(parts), parts.shape[1]))])


def _added(row: np.ndarray, binary: str) -> np.ndarray:
    """The row of a branch with the sign that a sum or a difference gives it."""
    return -row if binary == "difference" else row


def _constants(parts: np.ndarray, quality: np.ndarray, shrinkage: float) -> np.ndarray:
    """(P, parts): what each part (P, parts, n) counts beside the first; 1 where that is nothing sensible."""
    slopes = ridge_slopes(parts, quality, shrinkage)
    with np.errstate(all="ignore"):
        constants = slopes / slopes[:, :1]
    return np.where((constants >= 1 / LARGEST) & (constants <= LARGEST), constants, 1.0)


def ridge_slopes(parts: np.ndarray, quality: np.ndarray, shrinkage: float) -> np.ndarray:
    """(P, parts): the slopes of a ridge regression of the ranks of `quality` (n,) on the parts (P, parts, n); 0 for a
    part that is constant or not finite."""
    with np.errstate(all="ignore"):
        centred = parts - parts.mean(-1, keepdims=True)
        lengths = np.sqrt((centred * centred).sum(-1, keepdims=True))
        usable = np.isfinite(lengths) & (lengths > 0)
        units = np.where(usable, centred / lengths, 0.0)
        ranks = stats.rankdata(quality)
        penalty = shrinkage * np.eye(parts.shape[1])
        slopes = np.linalg.solve(
            units @ units.transpose(0, 2, 1) + penalty, (units @ (ranks - ranks.mean()))[..., None]
        )
        slopes = slopes / lengths
    return slopes[..., 0]


def _with(proxy: Proxy, constants: np.ndarray) -> Proxy:
    """The formula with constants before the branches that are added or taken off; `constants` are those of its parts,
    in their order."""
    rest, other = iter(map(float, constants[1:])), proxy.right_aggregate
    if proxy.is_linear and proxy.right is not None:
        other = times(next(rest), other or proxy.aggregate)
    extensions = tuple(
        Extension(e.binary, times(next(rest), e.aggregate), e.branch) if BINARY[e.binary].linear else e
        for e in proxy.extensions
    )
    return Proxy(proxy.aggregate, proxy.left, proxy.binary, proxy.right, other, extensions).canonical()
