"""Tensors of an input over all blocks, in float64, as several families sum over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from fitness.features.visit import Visited

__all__ = ["pairs", "saliency", "total"]


def pairs(network: Visited, left: str, right: str) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Aligned tensors of two inputs, block after block, such as each weight matrix with its gradient."""
    for block in network.features.blocks:
        yield from zip(block[left], block[right], strict=True)


def total(network: Visited, name: str, value: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """The sum of `value` over all tensors of an input."""
    return sum(float(value(x)) for block in network.features.blocks for x in block[name])


def saliency(network: Visited, role: str = "") -> float:
    """sum |W * G| over the weight matrices of a role (".attn", ".ffn", or all)."""
    return sum(float((w * g).abs().sum(dtype=torch.float64)) for w, g in pairs(network, f"W{role}", f"G{role}"))
