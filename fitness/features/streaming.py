"""Streaming: a network visited in the memory of one block, in no more passes than its readers need.

Where somebody reads gradients, a forward pass keeps the inputs of the blocks, nothing else, and a backward pass makes
one block at a time again, from the last to the first: forward with gradients, then back from the gradient of its
output. Where nobody does, there is one forward pass. What a block shows is read at once and dropped. On a CPU every
input equals that of the whole network to the last bit, because the same operations meet the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import torch

from fitness.features.collect import block_inputs, check_taps, filled
from fitness.features.recording import recording
from models.spaces.abilities import NetworkParts
from primitives.inputs import LETTERS

__all__ = ["Block", "See", "stream"]

Block = Mapping[str, tuple[torch.Tensor, ...]]
See = Callable[[int, Block], None]
"""Reads the inputs of block `index`; whoever keeps a tensor keeps the memory of its block."""


def stream(parts: NetworkParts, tokens: torch.Tensor, see: See, letters: Collection[str] = LETTERS) -> float:
    """The loss of tokens (B, T) on the device of the passes; `see` reads every block, in any order. Blocks show J and G
    where `letters`, the inputs that are read, name them, and all others."""
    x = parts.embed(tokens.cpu()).to(tokens.device)
    if not {"J", "G"} & set(letters):
        for index in range(parts.blocks):
            x = _forth(parts, index, x, see)
        return parts.loss(x, tokens)
    given = [x]
    for index in range(parts.blocks):
        with torch.no_grad():
            given.append(parts.block(index).to(tokens.device)(given[-1]))
    loss, gradient = parts.ending(given.pop(), tokens)
    for index in reversed(range(parts.blocks)):
        gradient = _back(parts, index, given.pop(), gradient, see, "G" in letters)
    return loss


def _forth(parts: NetworkParts, index: int, x: torch.Tensor, see: See) -> torch.Tensor:
    """Output of a block from its input (B, T, D); `see` reads the block without gradients."""
    block = parts.block(index).to(x.device)
    taps = parts.taps(block)
    with recording((taps,)) as record, torch.no_grad():
        output: torch.Tensor = block(x)
    check_taps((taps,), record)
    see(index, block_inputs(taps, record, 0, None, None))
    return output


def _back(
    parts: NetworkParts, index: int, x: torch.Tensor, gradient: torch.Tensor, see: See, weights: bool
) -> torch.Tensor:
    """The gradient at a block's input `x` (B, T, D) from the one at its output; `see` reads the block, which shows the
    gradients of its `weights` if told so."""
    block = parts.block(index).to(x.device)
    taps, x = parts.taps(block), x.detach().requires_grad_()
    with recording((taps,)) as record, torch.enable_grad():
        output = block(x)
    check_taps((taps,), record)
    wanted = [x, *(tap.parameter for tap in taps.weights if weights)]
    jacobian, *own = filled(wanted, torch.autograd.grad(output, wanted, gradient, allow_unused=True))
    see(index, block_inputs(taps, record, 0, jacobian, own if weights else None))
    return jacobian
