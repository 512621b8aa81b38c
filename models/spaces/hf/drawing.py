"""Weights that are drawn alike for all Hugging Face families, whatever their configurations say.

A formula reads untrained weights, so a family that starts with twice the standard deviation would stand elsewhere for
that alone; and GPT-2 divides it in its residual projections by the root of twice the depth (Radford et al. 2019), which
makes norms shrink with depth.
"""

from __future__ import annotations

import torch
from torch import nn

from models.architecture import Architecture

__all__ = ["STANDARD_DEVIATION", "draw_common", "without_initialiser"]

STANDARD_DEVIATION = 0.02  # the library's default


def without_initialiser(architecture: Architecture) -> Architecture:
    """The architecture without the initialiser fields of its configuration."""
    plainly = {name: value for name, value in architecture.config.items() if not name.startswith("init")}
    return Architecture.create(architecture.id, architecture.space, plainly)


@torch.no_grad()
def draw_common(model: nn.Module, seed: int) -> None:
    """Draw every weight matrix, tables of tokens and positions too, from Normal(0, 0.02); gains, biases and other
    vectors stay as the library makes them, and so do tables that are not trained; so does a model without numbers."""
    if next(model.parameters()).is_meta:
        return
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.dim() > 1 and parameter.requires_grad:
            parameter.normal_(0.0, STANDARD_DEVIATION, generator=generator)
    for module in model.modules():
        if isinstance(module, nn.Embedding) and module.padding_idx is not None and module.weight.requires_grad:
            module.weight[module.padding_idx].zero_()
