"""The two halves of DSS: synaptic diversity of attention maps, synaptic saliency of FFN maps
(Zhou et al., CVPR 2022, arXiv 2203.12217)."""

from __future__ import annotations

import torch

from fitness.features.visit import Visited
from fitness.zoo.registry import hand_made
from fitness.zoo.tensors import pairs, saliency

__all__ = ["nuclear_norm", "synaptic_diversity", "synaptic_saliency"]


def nuclear_norm(x: torch.Tensor) -> float:
    """Sum of the singular values of (m, n): roots of the eigenvalues of the smaller Gram matrix, in float64, several
    times faster than a decomposition of x and equal to it to 1e-5."""
    x = x.double()
    gram = x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x
    return float(torch.linalg.eigvalsh(gram).clamp_min(0).sqrt().sum())


@hand_made("synaptic diversity", r"\sum_{attn} \|W\|_* \|G\|_*", "Zhou et al. 2022, arXiv 2203.12217")
def synaptic_diversity(network: Visited) -> float:
    """Nuclear norms as a smooth measure of rank; GPT-2's joined map of query, key and value is one matrix."""
    return sum(nuclear_norm(w) * nuclear_norm(g) for w, g in pairs(network, "W.attn", "G.attn"))


@hand_made("synaptic saliency", r"\sum_{ffn} |W \odot G|", "Zhou et al. 2022, arXiv 2203.12217")
def synaptic_saliency(network: Visited) -> float:
    """SNIP's saliency on the FFN maps alone."""
    return saliency(network, ".ffn")
