"""Synaptic flow: saliency of a linear network with positive weights that is fed with ones. No data are needed.

A layer norm maps equal entries to 0 and would stop the flow, so layer norms and nonlinearities are passed over (a
batch norm with fresh statistics and a ReLU on positive numbers, as in the source, are the identity as well). Every
token of an all-ones input is the same and attention returns its value whatever the scores are, so one token tells
all; query and key get no flow. The flow is a product over depth: it is computed in float64 with one scale per block
that is kept as a logarithm, so that no depth overflows. (Fourier transforms and convolutions with a softmax, in
`flexibert` as published, are not linear and positive: there the flow is the formula's, but not the theory's.)
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from fitness.features.visit import Visited
from fitness.zoo.passes import forward_hooks
from fitness.zoo.registry import NoValue, hand_made

__all__ = ["flow", "log_synflow", "synflow"]


def flow(model: nn.Module) -> tuple[list[tuple[torch.Tensor, torch.Tensor]], float]:
    """Pairs (|W|, G) of every weight matrix of the blocks and `shift`: the gradient of R, the sum of the last
    block's output, is exp(shift) * G. Raises NoValue with the network's `no_flow`, why it has none."""
    network: Any = model
    if why := getattr(model, "no_flow", None):
        raise NoValue(why)
    taps = network.taps()
    passed_over = [m for tap in taps for m in tap.block.modules() if isinstance(m, nn.LayerNorm)]
    passed_over += [m for tap in taps for m in tap.activations]
    weights, shift = [], 0.0
    last = taps[0].weights[-1]  # the FFN's last map leads back to the model's width
    x = last.parameter.new_ones(1, 1, last.as_out_in(last.parameter).shape[0], dtype=torch.float64)
    with torch.enable_grad(), forward_hooks(passed_over, lambda module, inputs, output: inputs[0]):
        for tap in taps:
            positive = {name: _positive(p) for name, p in tap.block.named_parameters()}
            own = {id(p): positive[name] for name, p in tap.block.named_parameters()}
            weights += [own[id(weight.parameter)] for weight in tap.weights]
            x = functional_call(tap.block, positive, (x,))
            scale = float(x.detach().max())
            x, shift = x / scale, shift + math.log(scale)
        gradients = torch.autograd.grad(x.sum(), weights)
    return [(w.detach(), g) for w, g in zip(weights, gradients, strict=True)], shift


def _positive(parameter: torch.Tensor) -> torch.Tensor:
    """|W| of a matrix; 0 for biases and gains, which would break the scaling."""
    x = parameter.detach().double()
    return (x.abs() if x.dim() > 1 else torch.zeros_like(x)).requires_grad_()


@hand_made(
    "Synflow",
    r"\ln \sum | |W| \odot \partial R / \partial |W| |",
    "Tanaka et al. 2020, arXiv 2006.05467",
    own_pass=True,
)
def synflow(network: Visited) -> float:
    """The logarithm of the synaptic flow (which ranks like the flow itself)."""
    pairs, shift = flow(network.model)
    return math.log(sum(float((w * g).abs().sum()) for w, g in pairs)) + shift


@hand_made(
    "LogSynflow",
    r"\sum |W| \odot \left| \ln \partial R / \partial |W| \right|",
    "Cavagnero et al. 2023 (FreeREA), arXiv 2207.05135",
    own_pass=True,
)
def log_synflow(network: Visited) -> float:
    """The gradients of the flow enter by their logarithm; weights without flow (query, key) add nothing."""
    pairs, shift = flow(network.model)
    return sum(float(torch.where(g != 0, w * (g.abs().log() + shift).abs(), 0.0).sum()) for w, g in pairs)
