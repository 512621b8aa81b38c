"""A `llama` network in pieces: its table, one block at a time, and its head, each made when it is wanted and with the
weights that it has in the whole network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch.nn import functional as F

from models.spaces.llama.blocks import Gain, LlamaBlock, Projection
from models.spaces.llama.configuration import run_blocks
from models.spaces.llama.network import block_of, block_taps
from models.spaces.space import BlockTaps, Fill

__all__ = ["LlamaParts"]

LOGITS = 1 << 26  # that are held at a time, unless one sequence has more


class LlamaParts:
    """`fill` gives a module the tensors whose names begin with a prefix."""

    def __init__(self, config: Mapping[str, Any], fill: Fill) -> None:
        self.config, self.fill, self.order = config, fill, run_blocks(config)
        self.blocks = len(self.order)

    @torch.no_grad()
    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T) -> (B, T, D), the input of the first block."""
        table = Projection(self.config["d_model"], self.config["n_token"])
        self.fill(table, "model.embed_tokens.")
        return F.embedding(tokens, table.weight)

    def block(self, index: int) -> LlamaBlock:
        """The block that runs at place `index`, with its weights."""
        block = block_of(self.config, place := self.order[index])
        self.fill(block, f"model.layers.{place}.")
        return block.eval()

    def taps(self, block: LlamaBlock) -> BlockTaps:
        """Taps of the inputs of a block."""
        return block_taps(block)

    @torch.no_grad()
    def loss(self, x: torch.Tensor, tokens: torch.Tensor) -> float:
        """The loss of tokens (B, T), given the output of the last block (B, T, D)."""
        loss = self.head()
        return sum(float(loss(part, seen, len(tokens))) for part, seen in self._portions(x, tokens))

    def ending(self, x: torch.Tensor, tokens: torch.Tensor) -> tuple[float, torch.Tensor]:
        """The loss, and its gradient (B, T, D) at the output of the last block (B, T, D).

        Logits are made for some sequences at a time, each weighed by its share of the mean; where all fit at once, the
        numbers are those of the whole network to the last bit.
        """
        head, losses, gradients = self.head(), list[float](), list[torch.Tensor]()
        for part, seen in self._portions(x, tokens):
            wanted = part.detach().requires_grad_()
            with torch.enable_grad():
                loss = head(wanted, seen, len(tokens))
            gradients.append(torch.autograd.grad(loss, wanted)[0])
            losses.append(float(loss.detach()))
        return sum(losses), torch.cat(gradients)

    def _portions(self, x: torch.Tensor, tokens: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Some sequences at a time, as many as have LOGITS logits."""
        share = max(1, LOGITS // (tokens.shape[1] * self.config["n_token"]))
        return zip(x.split(share), tokens.split(share), strict=True)

    def head(self) -> Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]:
        """A function of the output of the last block (B, T, D), the tokens (B, T) and the number of sequences of the
        whole batch: the loss of these sequences, times their share of the batch."""
        config = self.config
        norm = Gain(config["d_model"], config["norm"], config["norm_eps"])
        head = Projection(config["d_model"], config["n_token"])
        self.fill(norm, "model.norm.")
        self.fill(head, "model.embed_tokens." if config["tied"] else "lm_head.")
        for parameter in (*norm.parameters(), *head.parameters()):
            parameter.requires_grad_(False)

        def loss(x: torch.Tensor, tokens: torch.Tensor, among: int) -> torch.Tensor:
            logits = head(norm(x)[:, :-1]).flatten(0, 1)
            return F.cross_entropy(logits, tokens[:, 1:].flatten()) * (len(tokens) / among)

        return loss
