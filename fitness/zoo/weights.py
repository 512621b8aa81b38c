"""Proxies of the weights alone: ZeroLM."""

from __future__ import annotations

import torch

from fitness.features.visit import Visited
from fitness.zoo.registry import hand_made
from fitness.zoo.tensors import total

__all__ = ["zero_lm"]

ALPHA = 0.5  # the source tunes it per search space; one half favours neither side


def _capacity(w: torch.Tensor) -> torch.Tensor:
    return w.double().square().sum() / min(w.shape)


@hand_made(
    "ZeroLM",
    r"\alpha S_{attn} + (1 - \alpha) S_{ffn}, S = \sum \|W\|_F^2 / \min(m, n), \alpha = 1/2",
    "Chen et al. 2025, arXiv 2503.18646",
)
def zero_lm(network: Visited) -> float:
    """Mean squared singular value of each map, attention and FFN weighed against each other."""
    return ALPHA * total(network, "W.attn", _capacity) + (1 - ALPHA) * total(network, "W.ffn", _capacity)
