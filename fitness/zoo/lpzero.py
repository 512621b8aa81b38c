"""The two champions that LPZero published, one per space (Dong et al., EMNLP Findings 2024, arXiv 2410.04808), and
FlexiBERT's as the released code reads it: *Head* there is what the query map gives out (docs/flexibert.md).

They are formulas of our language; written out here as well, so that the engine can be checked against them.
"""

from __future__ import annotations

import numpy as np
import torch

from fitness.features.visit import Visited
from fitness.zoo.registry import hand_made

__all__ = ["lpzero_flexibert", "lpzero_flexibert_released", "lpzero_gpt2"]

SOURCE = "Dong et al. 2024, arXiv 2410.04808"


@hand_made(
    "LPZero GPT-2",
    r"\overline{\overline{W^2} + \overline{softmax(G)^2}}",
    SOURCE,
    text="mean[ sum( l1_norm(pow2(W)), pow2(softmax(G)) ) ]",
)
def lpzero_gpt2(network: Visited) -> float:
    """Mean squared weight plus mean squared softmax of the gradients along the fan-in, mean over maps, then blocks."""
    blocks = []
    for block in network.features.blocks:
        pairs = zip(block["W"], block["G"], strict=True)
        blocks.append(np.mean([float(_mean_square(w) + _mean_square(g.softmax(-1))) for w, g in pairs]))
    return float(np.mean(blocks))


@hand_made(
    "LPZero FlexiBERT",
    r"\overline{\overline{H^2} + logsoftmax(\|A\|_F)}",
    SOURCE,
    text="mean[ sum( pow2(revert(H)), logsoftmax(frobenius_norm(A)) ) ]",
)
def lpzero_flexibert(network: Visited) -> float:
    """Mean squared output of the heads, mean over blocks: the softmax of a single number is 1, so its part is 0."""
    return float(np.mean([float(_mean_square(H)) for block in network.features.blocks for H in block["H"]]))


@hand_made(
    "LPZero FlexiBERT as released",
    r"\overline{\overline{Q^2} + logsoftmax(\|A\|_F)}",
    SOURCE + ", as in the released code",
    text="mean[ sum( pow2(revert(Q)), logsoftmax(frobenius_norm(A)) ) ]",
)
def lpzero_flexibert_released(network: Visited) -> float:
    """Mean squared query, mean over blocks."""
    return float(np.mean([float(_mean_square(Q)) for block in network.features.blocks for Q in block["Q"]]))


def _mean_square(x: torch.Tensor) -> torch.Tensor:
    return x.square().mean(dtype=torch.float64)
