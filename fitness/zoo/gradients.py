"""Gradient proxies that come from pruning at initialisation: GradNorm, SNIP, GraSP."""

from __future__ import annotations

from typing import Any

import torch

from fitness.features.visit import Visited
from fitness.zoo.registry import hand_made
from fitness.zoo.tensors import saliency, total

__all__ = ["grad_norm", "grasp", "snip"]


@hand_made("GradNorm", r"\sum_W \|G\|_F", "Abdelfattah et al. 2021, arXiv 2101.08134", text="sum[ frobenius_norm(G) ]")
def grad_norm(network: Visited) -> float:
    """Sum of the Frobenius norms of the gradients of all weight matrices of the blocks."""
    return total(network, "G", lambda g: g.double().norm())


@hand_made("SNIP", r"\sum |W \odot G|", "Lee et al. 2019, arXiv 1810.02340")
def snip(network: Visited) -> float:
    """Connection sensitivity, summed over all weight matrices of the blocks."""
    return saliency(network)


@hand_made("GraSP", r"-\sum W \odot H_{\mathcal L} g", "Wang et al. 2020, arXiv 2002.07376", own_pass=True)
def grasp(network: Visited) -> float:
    """Change of the gradient flow by a small change of each weight: the Hessian of the loss times its
    gradient, by a second backward pass, over the weight matrices of the blocks."""
    model: Any = network.model
    weights = [tap.parameter for block in model.taps() for tap in block.weights]
    with torch.enable_grad():
        g = torch.autograd.grad(model.loss(network.tokens), weights, create_graph=True)
        flow = torch.stack([(x * x.detach()).sum() for x in g]).sum()
        Hg = torch.autograd.grad(flow, weights)
    return -sum(float((w.detach() * h).sum(dtype=torch.float64)) for w, h in zip(weights, Hg, strict=True))
