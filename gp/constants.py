"""The constants of a formula: what each branch that is added or taken off counts beside the first one, by ridge
regression of the target's ranks on the parts of the sum (linear scaling after Keijzer 2003, doi
10.1007/3-540-36599-0_7, part by part). Constants belong to what a formula is worth, not to its tree: evolution varies
the formula without them, and every evaluation fits them anew."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType

import numpy as np
from scipy import stats

from fitness.tables.branches import BranchTable
from primitives.operators import BINARY, times
from primitives.operators.aggregation import LARGEST
from primitives.proxy import Proxy

__all__ = ["SHRINKAGE", "fitted", "weighed"]

SHRINKAGE = 0.1  # ridge penalty, as a share of the length of each standardised part
_PARTS = 3


def fitted(
    proxies: Sequence[Proxy], table: BranchTable, quality: np.ndarray, places: np.ndarray | EllipsisType
) -> list[Proxy]:
    """The formulas with the constants that fit `quality` (n,) best on these places of the table; those that neither
    add nor take off stay as they are, and so does a part whose constant would turn its sign or leave the bounds."""
    open_ones = [at for at, proxy in enumerate(proxies) if _is_sum(proxy)]
    found = list(proxies)
    if open_ones:
        parts = np.stack([_parts(proxies[at], table)[:, places] for at in open_ones])
        for at, constants in zip(open_ones, _constants(parts, quality), strict=True):
            found[at] = _with(proxies[at], constants)
    return found


def weighed(rest: np.ndarray, part: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """rest (n,) + constant * part for each row of `part` (K, n), each with the constant that fits `quality` best."""
    parts = np.stack(np.broadcast_arrays(rest, part), 1)
    return rest + _constants(parts, quality)[:, 1:] * part


def _is_sum(proxy: Proxy) -> bool:
    third = proxy.extension
    return proxy.base.is_linear or (third is not None and BINARY[third.binary].linear)


def _parts(proxy: Proxy, table: BranchTable) -> np.ndarray:
    """(3, N): what is added up, signs included; zeros where there is nothing."""
    base, third = proxy.base, proxy.extension
    parts = np.zeros((_PARTS, table.count))
    parts[0] = table.value(base)
    if base.is_linear and base.right is not None:
        parts[0] = table.row(base.aggregate, base.left)
        parts[1] = table.row(base.right_aggregate or base.aggregate, base.right) * _sign(str(base.binary))
    if third is not None:
        row = table.row(third.aggregate, third.branch)
        if BINARY[third.binary].linear:
            parts[2] = row * _sign(third.binary)
        else:
            parts *= row
    return parts


def _sign(binary: str) -> float:
    return -1.0 if binary == "difference" else 1.0


def _constants(parts: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """(P, parts): what each part (P, parts, n) counts beside the first; 1 where that is nothing sensible."""
    with np.errstate(all="ignore"):
        centred = parts - parts.mean(-1, keepdims=True)
        lengths = np.sqrt((centred * centred).sum(-1, keepdims=True))
        usable = np.isfinite(lengths) & (lengths > 0)
        units = np.where(usable, centred / lengths, 0.0)
        ranks = stats.rankdata(quality)
        penalty = SHRINKAGE * np.eye(parts.shape[1])
        slopes = np.linalg.solve(
            units @ units.transpose(0, 2, 1) + penalty, (units @ (ranks - ranks.mean()))[..., None]
        )
        slopes = slopes / lengths
        constants = (slopes / slopes[:, :1])[..., 0]
    return np.where((constants >= 1 / LARGEST) & (constants <= LARGEST), constants, 1.0)


def _with(proxy: Proxy, constants: np.ndarray) -> Proxy:
    """The formula with constants before its second and third branch, where they are added or taken off."""
    base, third = proxy.base, proxy.extension
    if base.is_linear and base.right is not None:
        other = times(float(constants[1]), base.right_aggregate or base.aggregate)
        base = Proxy(base.aggregate, base.left, base.binary, base.right, other)
    if third is None:
        return base.canonical()
    linear = BINARY[third.binary].linear
    aggregate = times(float(constants[2]), third.aggregate) if linear else third.aggregate
    return base.extended(third.binary, aggregate, third.branch).canonical()
