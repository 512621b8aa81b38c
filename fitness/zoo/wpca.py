"""W-PCA: parameters times the number of principal components of the FFN's hidden states."""

from __future__ import annotations

import torch

from fitness.features.visit import Visited
from fitness.zoo.passes import preactivations
from fitness.zoo.registry import hand_made

__all__ = ["principal_components", "w_pca"]

SHARE = 0.99  # of the variance, as in the source


def principal_components(x: torch.Tensor, share: float = SHARE) -> int:
    """Number of principal components of the rows of (tokens, F) that hold `share` of their variance."""
    x = x.double() - x.double().mean(0)
    gram = x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x
    held = torch.linalg.eigvalsh(gram).clamp_min(0).flip(0).cumsum(0)
    return 1 + int((held < share * held[-1]).sum())


@hand_made(
    "W-PCA", r"\#params \cdot \sum_l PCA_{0.99}(x_l W_l + b_l)", "Wang et al. 2025, arXiv 2504.15983", own_pass=True
)
def w_pca(network: Visited) -> float:
    """All parameters of the network times the components of the FFN pre-activations, summed over blocks."""
    components = sum(principal_components(x) for x in preactivations(network.model, network.tokens))
    return float(sum(p.numel() for p in network.model.parameters()) * components)
