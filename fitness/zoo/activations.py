"""Activation proxies: Fisher, and two that compare which units each sequence of the batch switches on."""

from __future__ import annotations

import torch

from fitness.features.visit import Visited
from fitness.zoo.passes import activation_gradients
from fitness.zoo.registry import NoValue, hand_made

__all__ = ["activation_distance", "code_kernel", "fisher", "nwot"]


@hand_made(
    "Fisher",
    r"\sum_{channels} \tfrac12 \overline{(a \odot \partial \mathcal L / \partial a)^2}",
    "Turner et al. 2020 (BlockSwap), arXiv 1906.04113",
    own_pass=True,
)
def fisher(network: Visited) -> float:
    """Fisher information of the channels after each FFN nonlinearity, the mean taken over tokens."""
    channels = (
        0.5 * (a.double() * g.double()).square().mean(0) for a, g in activation_gradients(network.model, network.tokens)
    )
    return sum(float(delta.sum()) for delta in channels)


def code_kernel(network: Visited) -> torch.Tensor:
    """(B, B) float64: in how many places (token, unit) two sequences agree on which unit is active (a > 0)."""
    B = network.sequences
    kernel = torch.zeros(B, B, dtype=torch.float64)
    for block in network.features.blocks:
        for a in block["A"]:  # (B T, F), sequence after sequence
            code = (a > 0).reshape(B, -1).double()
            kernel += (code @ code.T + (1 - code) @ (1 - code).T).cpu()
    return kernel


@hand_made("NWOT", r"\ln |\det K|, K_{ij} = n - d_H(c_i, c_j)", "Mellor et al. 2021, arXiv 2006.04647")
def nwot(network: Visited) -> float:
    """Log-determinant of the kernel of binary activation codes, a code being that of a whole sequence."""
    sign, value = torch.linalg.slogdet(code_kernel(network))
    if sign <= 0:
        raise NoValue("two sequences switch on the same units, so the kernel of the codes is singular")
    return float(value)


@hand_made(
    "activation distance",
    r"\sum_{ij} K_{ij}, K_{ij} = n - d_H(c_i, c_j)",
    "Mellor et al. 2021, arXiv 2006.04647; summed as in Serianni and Kalita 2023, arXiv 2306.00288",
)
def activation_distance(network: Visited) -> float:
    """Sum of the same kernel: how alike the sequences are to the network."""
    return float(code_kernel(network).sum())
