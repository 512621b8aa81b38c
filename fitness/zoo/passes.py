"""Passes of their own that some proxies need: hooks that are gone afterwards, error or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from fitness.zoo.registry import NoValue

__all__ = ["activation_gradients", "forward_hooks", "preactivations"]


@contextmanager
def forward_hooks(modules: Iterable[nn.Module], hook: Callable[..., Any]) -> Iterator[None]:
    """`hook(module, inputs, output)` after each of the modules runs, while the block of code runs."""
    with ExitStack() as hooks:
        for module in modules:
            hooks.enter_context(module.register_forward_hook(hook))
        yield


def activation_gradients(model: nn.Module, tokens: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Each output of an FFN nonlinearity with the gradient of the loss at it, both (tokens, d_inner)."""
    outputs: list[torch.Tensor] = []
    network: Any = model
    modules = [module for tap in network.taps() for module in tap.activations]
    with torch.enable_grad(), forward_hooks(modules, lambda module, inputs, output: outputs.append(output)):
        gradients = torch.autograd.grad(network.loss(tokens), outputs)
    return [(a.detach().flatten(0, -2), g.flatten(0, -2)) for a, g in zip(outputs, gradients, strict=True)]


@torch.no_grad()
def preactivations(model: nn.Module, tokens: torch.Tensor) -> list[torch.Tensor]:
    """Each input of an FFN nonlinearity, (tokens, d_inner), from one forward pass. Raises NoValue where only what comes
    out is seen."""
    inputs: list[torch.Tensor] = []
    network: Any = model
    modules = [module for tap in network.taps() for module in tap.activations]
    if any(isinstance(module, nn.Identity) for module in modules):
        raise NoValue("what enters the nonlinearities of this network is not seen")
    with forward_hooks(modules, lambda module, given, output: inputs.append(given[0].flatten(0, -2))):
        network.hidden(tokens)
    return inputs
