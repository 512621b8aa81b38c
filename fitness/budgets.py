"""The training budget of architectures as formulas read it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from models.architecture import Architecture
from models.budget import per_parameter
from primitives.budget import USUAL_T

__all__ = ["budget_of", "budgets_of"]


def budget_of(architecture: Architecture) -> float:
    """T: the binary logarithm of training tokens per parameter of the blocks, of 20 where nothing is known."""
    share = per_parameter(architecture)
    return USUAL_T if share is None else math.log2(share)


def budgets_of(architectures: Sequence[Architecture]) -> np.ndarray:
    """(N,) float64: T of each."""
    return np.array([budget_of(architecture) for architecture in architectures])
