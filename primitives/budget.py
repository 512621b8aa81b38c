"""The training budget in a formula: `T`, the binary logarithm of training tokens per parameter of the blocks.

No block shows it. A formula that reads it is made of formulas that do not, its parts: each is scored as any other, and
the budget joins their scores. So a network is visited once for all budgets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from primitives.operators import BINARY, constant_of, fixed, turns
from primitives.proxy import Proxy

__all__ = ["USUAL", "USUAL_T", "combined", "parts"]

USUAL = 20.0  # tokens a parameter where nothing is said (Hoffmann et al. 2022, arXiv 2203.15556)
USUAL_T = math.log2(USUAL)


def parts(proxy: Proxy) -> list[Proxy]:
    """The formulas without a budget whose scores the formula is made of; itself if it reads none."""
    if not proxy.reads_budget:
        return [proxy]
    base = proxy.pair
    if base.right is None or base.right_aggregate is None:
        found = [Proxy(fixed(base.aggregate), base.left, base.binary, base.right)]
    elif base.reads_budget:
        sides = ((base.aggregate, base.left), (base.right_aggregate, base.right))
        found = [Proxy(_plain(aggregate), branch) for aggregate, branch in sides]
    else:
        found = [base]
    return [*found, *(Proxy(_plain(e.aggregate), e.branch) for e in proxy.extensions)]


def combined(proxy: Proxy, scores: Sequence[np.ndarray], budget: np.ndarray) -> np.ndarray:
    """(N,) values of a formula that reads the budget T (N,), from the scores (N,) of its `parts`; not rounded."""
    base, waiting = proxy.pair, list(scores)
    if base.reads_budget or base.right_aggregate is None:
        value = waiting.pop(0) * _factor(base.aggregate, budget)
    else:
        value = waiting.pop(0)
    if base.reads_budget and base.right_aggregate is not None:
        value = _joined(str(base.binary), value, waiting.pop(0) * _factor(base.right_aggregate, budget))
    for e in proxy.extensions:
        value = _joined(e.binary, value, waiting.pop(0) * _factor(e.aggregate, budget))
    return value


def _plain(aggregate: str) -> str:
    return fixed(constant_of(aggregate)[1])


def _factor(aggregate: str, budget: np.ndarray) -> np.ndarray:
    """Factors of an aggregation: its constant, and the budget if it is read."""
    constant = constant_of(aggregate)[0]
    return constant * budget if turns(aggregate) else np.full(np.shape(budget), constant)


def _joined(binary: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return BINARY[binary].apply(torch.from_numpy(np.asarray(x)), torch.from_numpy(np.asarray(y))).numpy()
