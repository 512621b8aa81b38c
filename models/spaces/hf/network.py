"""HfNetwork: a network of Hugging Face's library on random weights, with taps on its blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

from models.architecture import Architecture, BadArchitecture
from models.spaces.hf.config import library_config
from models.spaces.hf.layout import HfBlock, layout_of
from models.spaces.hf.library import TAP, by_output, is_decoder, make, run
from models.spaces.space import BlockTaps, WeightTap

__all__ = ["BlockTap", "HfNetwork"]


class BlockTap(nn.Module):
    """Modules of a block to watch: its output[1] is S (B, K, T, T), `queries` puts out Q (B, T, D) and `activations` A
    (B, T, F)."""

    def __init__(self) -> None:
        super().__init__()
        self.queries, self.activations = nn.Identity(), nn.Identity()
        self.open = True

    def show(self, heads: torch.Tensor, weights: torch.Tensor, queries: torch.Tensor) -> None:
        """Output of attention, once per pass; some families call it twice with the same weights."""
        if self.open:
            self.open = False
            self(heads, weights, queries)

    def reopen(self, attention: nn.Module, given: object) -> None:
        """A new pass begins."""
        self.open = True

    def forward(
        self, heads: torch.Tensor, weights: torch.Tensor, queries: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Output of attention and the queries that it was given."""
        self.queries(queries)
        return heads, weights


def _through(tap: nn.Module, down: nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return (tap(given[0]), *given[1:])


def _show_queries(
    tap: nn.Module,
    split: Callable[[torch.Tensor], Sequence[torch.Tensor]],
    fused: nn.Module,
    given: object,
    output: torch.Tensor,
) -> None:
    tap(split(output)[0].flatten(2))


class HfNetwork(nn.Module):
    """`model` is the library's network; the weights come from `seed` alone, whatever was drawn before. Blocks
    want positions and masks from the whole, so none runs alone."""

    no_flow = "the blocks of this network do not run alone, on ones and without positions"

    def __init__(self, architecture: Architecture, seed: int) -> None:
        super().__init__()
        self.layout = layout_of(architecture)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            try:
                self.model = make(library_config(architecture.config))
            except (RuntimeError, MemoryError) as error:  # tables of positions may be larger than all weights
                reason = " ".join(str(error).split())[:200]
                raise BadArchitecture(f"{architecture.id}: cannot be made in memory ({reason})") from None
        self.decoder = is_decoder(self.model.config)
        self._named = dict(self.model.named_modules())
        self._tap = dict[str, BlockTap]()
        for block in self.layout.blocks:
            self._open(block)

    def _open(self, block: HfBlock) -> None:
        """A tap at the attention and before the last map of the FFN; attention that is watched by its output shows its
        queries there as well."""
        attention: Any = self._named[block.attention]
        tap = self._tap[block.block] = BlockTap()
        attention.__dict__[TAP] = tap.show
        attention.register_forward_pre_hook(tap.reopen)
        self._named[block.down].register_forward_pre_hook(partial(_through, tap.activations))
        if by_output(self.model.config) and block.query is None:
            fused = self._named[block.maps[0][0]]
            fused.register_forward_hook(partial(_show_queries, tap.queries, attention._split_heads))

    def train(self, mode: bool = True) -> HfNetwork:
        """Always in eval mode: nothing is ever dropped out."""
        return super().train(False)

    def loss(self, tokens: torch.Tensor) -> torch.Tensor:
        """Loss of tokens (B, T): a decoder's mean cross-entropy (nats) of predicting tokens[:, 1:]; of an encoder, a
        fixed random projection of the last hidden state (docs/flexibert.md says why not its sum)."""
        if self.decoder:
            logits = run(self.model, input_ids=tokens).logits[:, :-1]
            return F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())
        hidden = self.hidden(tokens)
        direction = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(0))
        return (hidden * direction.to(hidden)).sum()

    def hidden(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T) -> (B, T, D): the last hidden state, after the final norm if there is one."""
        base: Any = self.model.base_model
        return run(base, input_ids=tokens).last_hidden_state

    def taps(self) -> tuple[BlockTaps, ...]:
        """Taps for A, J, G, H, Q, W and S of each block."""
        return tuple(self._taps(block) for block in self.layout.blocks)

    def _taps(self, block: HfBlock) -> BlockTaps:
        attention: Any = self._named[block.attention]
        tap = self._tap[block.block]
        watched: Any = attention if by_output(self.model.config) else tap
        return BlockTaps(
            block=self._named[block.block],
            activations=(tap.activations,),
            heads=(self._named[block.output],),
            queries=(tap.queries if block.query is None else self._named[block.query],),
            attentions=(watched,),
            weights=tuple(self._weight(name, role) for name, role in block.maps),
        )

    def _weight(self, name: str, role: str) -> WeightTap:
        module: Any = self._named[name]
        return WeightTap(role, module.weight, stored_in_out=isinstance(module, Conv1D))
