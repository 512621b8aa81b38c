"""Adapter of a plain PyTorch network, such as nanoGPT's: taps on its blocks by the names of its modules.

Attention that goes through `scaled_dot_product_attention` hides its weights, so in a pass that is watched it is
computed step by step; attention written out with a softmax shows them anyway. The network is left as it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from models.spaces.space import BlockTaps, WeightTap
from storage.errors import WrongInput

__all__ = ["NANOGPT", "BadNetwork", "ModuleNames", "PlainNetwork", "plain_logits"]

SOFTMAX = (F.softmax, torch.softmax, torch.Tensor.softmax)

Logits = Callable[[nn.Module, torch.Tensor], torch.Tensor]


class BadNetwork(WrongInput):
    """A network whose inputs cannot be read; the message says what it got and what it wanted."""


@dataclass(frozen=True)
class ModuleNames:
    """Names of modules: the list of blocks; in a block its attention, the linear maps of attention in the order of
    their calls, queries (or all of q, k and v) first and the output map last, and those of the FFN, the one that leads
    back to the width of the model last."""

    blocks: str
    attention: str
    attention_maps: tuple[str, ...]
    ffn_maps: tuple[str, ...]


NANOGPT = ModuleNames("transformer.h", "attn", ("attn.c_attn", "attn.c_proj"), ("mlp.c_fc", "mlp.c_proj"))


def plain_logits(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """The logits (B, T, V) of `model(tokens)`: the output itself, its `logits`, or the first of several."""
    found: Any = model(tokens)
    found = getattr(found, "logits", found)
    found = found[0] if isinstance(found, tuple | list) else found
    if not isinstance(found, torch.Tensor) or found.shape[:2] != tokens.shape:
        got = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise BadNetwork(
            f"logits: got {got} of model(tokens), wanted (B, T, V) with B, T = {tuple(tokens.shape)}; give "
            "logits=lambda model, tokens: ... that returns them"
        )
    return found


class _Tap(nn.Module):
    """Modules of a block to watch: `activations` puts out A, its own output[1] is S (B, K, T, T)."""

    def __init__(self) -> None:
        super().__init__()
        self.activations = nn.Identity()

    def forward(self, weights: torch.Tensor) -> tuple[None, torch.Tensor]:
        return None, weights


class PlainNetwork(nn.Module):
    """A network with `loss` and `taps`; BadNetwork names a module that it does not have."""

    def __init__(self, model: nn.Module, names: ModuleNames = NANOGPT, logits: Logits = plain_logits) -> None:
        super().__init__()
        self.model, self.names, self.logits = model, names, logits
        blocks: Any = _module(model, names.blocks, "blocks")
        self._blocks = list(blocks)
        self._tap = [_Tap() for _ in self._blocks]

    @property
    def block_parameters(self) -> int:
        """Number of parameters of the blocks."""
        return sum(parameter.numel() for block in self._blocks for parameter in block.parameters())

    def loss(self, tokens: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy (nats) of predicting tokens[:, 1:] of tokens (B, T), with every tap shown."""
        with self._watched():
            logits = self.logits(self.model, tokens)[:, :-1]
        return F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())

    def taps(self) -> tuple[BlockTaps, ...]:
        """Taps for A, J, G, H, Q, W and S of each block."""
        return tuple(self._taps(block, tap) for block, tap in zip(self._blocks, self._tap, strict=True))

    def _taps(self, block: nn.Module, tap: _Tap) -> BlockTaps:
        names = self.names
        first, output = (
            _module(block, name, "attention_maps") for name in (names.attention_maps[0], names.attention_maps[-1])
        )
        roles = [("attn", "attention_maps", n) for n in names.attention_maps] + [
            ("ffn", "ffn_maps", n) for n in names.ffn_maps
        ]
        weights = tuple(_weight(_module(block, name, field), role) for role, field, name in roles)
        width = weights[len(names.attention_maps) - 1]
        return BlockTaps(
            block=block,
            activations=(tap.activations,),
            heads=(output,),
            queries=(first,),
            attentions=(tap,),
            weights=weights,
            query_width=width.as_out_in(width.parameter).shape[1],
        )

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Hooks that show the attention and the activations of each block."""
        attention = _Attention()
        with ExitStack() as stack:
            for block, tap in zip(self._blocks, self._tap, strict=True):
                inside = _module(block, self.names.attention, "attention")
                down = _module(block, self.names.ffn_maps[-1], "ffn_maps")
                stack.enter_context(inside.register_forward_pre_hook(partial(attention.enter, tap)))
                stack.enter_context(inside.register_forward_hook(attention.leave))
                stack.enter_context(down.register_forward_pre_hook(partial(_show, tap)))
            stack.enter_context(attention)
            yield


def _show(tap: _Tap, module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
    tap.activations(given[0])


def _module(model: nn.Module, name: str, field: str) -> Any:
    try:
        return model.get_submodule(name)
    except AttributeError:
        known = ", ".join(found for found, _ in model.named_modules() if found)[:300]
        raise BadNetwork(f"names: {field}: got {name}, wanted a module of {type(model).__name__}: {known}") from None


def _weight(module: nn.Module, role: str) -> WeightTap:
    weight = getattr(module, "weight", None)
    if not isinstance(weight, torch.Tensor) or weight.dim() != 2:
        raise BadNetwork(f"names: got {type(module).__name__} for a map of {role}, wanted a linear map with a weight")
    return WeightTap(role, weight, stored_in_out=type(module).__name__ == "Conv1D")


class _Attention(TorchFunctionMode):
    """Shows attention weights to the tap of the attention module that runs."""

    tap: _Tap | None = None

    def enter(self, tap: _Tap, module: nn.Module, given: object) -> None:
        """An attention module begins."""
        self.tap = tap

    def leave(self, module: nn.Module, given: object, output: object) -> None:
        """End of a pass."""
        self.tap = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.tap is None:
            return func(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            return self._step_by_step(*args, **kwargs)
        found = func(*args, **kwargs)
        if func in SOFTMAX and found.dim() == 4 and found.shape[-1] == found.shape[-2]:
            self.tap(found)
        return found

    def _step_by_step(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: object = None,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        """`scaled_dot_product_attention` of (B, K, T, D / K) as its documentation defines it, without dropout."""
        if enable_gqa:
            groups = query.shape[1] // key.shape[1]
            key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        if attn_mask is not None:
            shut = attn_mask.dtype == torch.bool
            scores = scores.masked_fill(~attn_mask, -torch.inf) if shut else scores + attn_mask
        weights = scores.softmax(-1)
        if self.tap is not None:
            self.tap(weights)
        return weights @ value
