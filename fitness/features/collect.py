"""Features: the six inputs of every block, from one forward and one backward pass on one token batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from fitness.features.recording import Recording, recording
from models.spaces.space import BlockTaps
from models.tokens import TokenBatch
from primitives.inputs import LETTERS
from storage.errors import CannotCompute

__all__ = [
    "EXTRACTOR_VERSION",
    "FeatureError",
    "Features",
    "block_inputs",
    "check_taps",
    "collect",
    "filled",
    "without_pass",
]

EXTRACTOR_VERSION = 1  # changes whenever the numbers of an extraction would


class FeatureError(CannotCompute, RuntimeError):
    """A network whose inputs cannot be read; the message names what is missing."""


@dataclass(frozen=True)
class Features:
    """`blocks[l][name]` lists the tensors of an input in block l, with the shapes of `primitives.inputs`;
    weights and gradients are views into the model, so they live no longer than it does."""

    blocks: tuple[dict[str, tuple[torch.Tensor, ...]], ...]
    loss: float

    @property
    def finite(self) -> bool:
        """True if the network ran without overflow: its loss and every entry of every input are numbers."""
        return math.isfinite(self.loss) and all(
            _finite(x) for block in self.blocks for name in LETTERS for x in block.get(name, ())
        )


def _finite(x: torch.Tensor) -> bool:
    """True if every entry is a number: exactly when their sum is, in float64; in float32, which takes a tenth of the
    time, the sum of large numbers may overflow."""
    return math.isfinite(float(x.sum())) or math.isfinite(float(x.sum(dtype=torch.float64)))


def collect(model: nn.Module, batch: TokenBatch, gradients: bool = True) -> Features:
    """One forward and one backward pass in eval mode, or the forward pass alone, which shows no J and G; the model is
    left bit-identical and without hooks.

    Raises FeatureError when a tap yields nothing (such as attention weights under an implementation that has none).
    """
    was_training = model.training
    model.eval()
    try:
        taps: tuple[BlockTaps, ...] = model.taps()  # type: ignore[operator]
        tokens = batch.tokens.to(next(model.parameters()).device)
        with recording(taps) as record, torch.set_grad_enabled(gradients):
            loss = model.loss(tokens)  # type: ignore[operator]
        check_taps(taps, record)
        shown = _gradients(taps, record, loss) if gradients else [(None, None)] * len(taps)
        blocks = [block_inputs(tap, record, i, *shown[i]) for i, tap in enumerate(taps)]
        return Features(tuple(blocks), float(loss.detach()))
    finally:
        model.train(was_training)


def without_pass(model: nn.Module) -> Features:
    """Inputs that need no pass: the weights, and a tensor of one entry for each A of a block, which says that there is
    one."""
    model.eval()
    taps: tuple[BlockTaps, ...] = model.taps()  # type: ignore[operator]
    blocks = [_by_role(tap, "W", [each.parameter.detach() for each in tap.weights]) for tap in taps]
    one = torch.empty(1, 1)
    return Features(tuple(b | {"A": (one,) * len(tap.activations)} for b, tap in zip(blocks, taps, strict=True)), 0.0)


Gradients = tuple[torch.Tensor | None, Sequence[torch.Tensor] | None]
"""The gradient of a block's input, and those of its weights."""


def _gradients(taps: Sequence[BlockTaps], record: Recording, loss: torch.Tensor) -> list[Gradients]:
    """The gradients of each block, from one backward pass."""
    wanted = [record.inputs[i] for i in range(len(taps))]
    weights = [tap.parameter for block in taps for tap in block.weights]
    found = filled(wanted + weights, torch.autograd.grad(loss, wanted + weights, allow_unused=True))
    shown, at = list[Gradients](), len(taps)
    for index, block in enumerate(taps):
        shown.append((found[index], found[at : at + len(block.weights)]))
        at += len(block.weights)
    return shown


def filled(tensors: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor | None]) -> list[torch.Tensor]:
    """The gradients, zero where nothing reached a tensor."""
    pairs = zip(tensors, gradients, strict=True)
    return [torch.zeros_like(x) if gradient is None else gradient for x, gradient in pairs]


def check_taps(taps: tuple[BlockTaps, ...], record: Recording) -> None:
    """Refuse a pass in which a tap of some block showed nothing; FeatureError names the input."""
    for i, tap in enumerate(taps):
        for name, store, modules in (
            ("A", record.activations, tap.activations),
            ("H", record.heads, tap.heads),
            ("Q", record.queries, tap.queries),
            ("S", record.attentions, tap.attentions),
        ):
            if len(store[i]) != len(modules):
                advice = "" if store[i] else "; build the model with eager attention"
                raise FeatureError(
                    f"block {i}: input {name}: got {len(store[i])} tensors, wanted {len(modules)}{advice}"
                )


def block_inputs(
    taps: BlockTaps,
    record: Recording,
    index: int,
    jacobian: torch.Tensor | None,
    gradients: Sequence[torch.Tensor] | None,
) -> dict[str, tuple[torch.Tensor, ...]]:
    """Tensors of each input of block `index` by name, from its taps, the gradient at its input and the gradients of its
    weights; an input is missing if its gradient was not taken."""
    block = {
        "A": tuple(_tokens_first(x) for x in record.activations[index]),
        "H": tuple(_tokens_first(x) for x in record.heads[index]),
        "Q": tuple(_tokens_first(x[..., : taps.query_width]) for x in record.queries[index]),
        "S": tuple(x.flatten(0, 1) for x in record.attentions[index]),
    }
    if jacobian is not None:
        block["J"] = (_tokens_first(jacobian),)
    block |= _by_role(taps, "W", [tap.parameter.detach() for tap in taps.weights])
    return block if gradients is None else block | _by_role(taps, "G", gradients)


def _by_role(taps: BlockTaps, letter: str, tensors: Sequence[torch.Tensor]) -> dict[str, tuple[torch.Tensor, ...]]:
    """The weights of a block or their gradients: all, and those of each role."""
    pairs = [(tap.role, tap.as_out_in(x)) for tap, x in zip(taps.weights, tensors, strict=True)]
    roles = {f"{letter}.{role}": tuple(x for r, x in pairs if r == role) for role in ("attn", "ffn")}
    return {letter: tuple(x for _, x in pairs)} | roles


def _tokens_first(x: torch.Tensor) -> torch.Tensor:
    """(B, T, D) -> (tokens, D)."""
    return x.detach().flatten(0, -2)
