"""The training budget of architectures as formulas read it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from models.architecture import Architecture
from models.spaces import SPACES
from primitives.budget import USUAL_T

__all__ = ["budget_of", "budgets_of"]


def budget_of(architecture: Architecture) -> float:
    """T: the binary logarithm of training tokens per parameter of the blocks, of 20 where nothing is known."""
    if architecture.tokens is None:
        return USUAL_T
    return math.log2(architecture.tokens / SPACES[architecture.space].parameters(architecture).decoder)


def budgets_of(architectures: Sequence[Architecture]) -> np.ndarray:
    """(N,) float64: T of each."""
    return np.array([budget_of(architecture) for architecture in architectures])
