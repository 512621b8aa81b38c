"""The network of a `llama` architecture: LLaMA blocks between a table of tokens and an output map, under the names of
Hugging Face's `LlamaForCausalLM`. Its description is in `models/spaces/llama/space.py`, which needs no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from models.spaces.llama.blocks import BlockSizes, Gain, LlamaBlock, Projection
from models.spaces.space import BlockTaps, Fill, WeightTap

__all__ = ["LlamaNetwork", "block_of", "block_taps", "draw"]

INIT_STD = 0.02  # Hugging Face's initializer_range of LLaMA


class LlamaDecoder(nn.Module):
    """The table of tokens, the blocks and the norm after them."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.embed_tokens = Projection(config["d_model"], config["n_token"])  # a table is an output map transposed
        self.layers = nn.ModuleList(block_of(config, i) for i in range(config["n_layer"]))
        self.norm = Gain(config["d_model"], config["norm"], config["norm_eps"])


class LlamaNetwork(nn.Module):
    """Tokens -> LLaMA blocks -> cross-entropy of the next token."""

    no_flow = "a gated feed-forward layer multiplies two flows, so a block's flow has no scale to pass on"

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.config = config
        self.model = LlamaDecoder(config)
        self.lm_head = None if config["tied"] else Projection(config["d_model"], config["n_token"])

    @classmethod
    def filled(cls, config: Mapping[str, Any], fill: Fill) -> LlamaNetwork:
        """A network for visits. A block that runs several times is as many modules on the same memory, so that each run
        has inputs, gradients and outputs of its own; trained apart, their weights would part."""
        network = cls(config)
        fill(network, "")
        network.model.layers = nn.ModuleList(_runs(network.model.layers, config))
        return network

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """The loss: what `torch.func.functional_call` calls with other weights."""
        return self.loss(tokens)

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T) -> (B, T, D)."""
        return F.embedding(tokens, self.model.embed_tokens.weight)

    def hidden(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T) -> (B, T, D): output of the final norm."""
        x = self.embed(tokens)
        for block in self.model.layers:
            x = block(x)
        return self.model.norm(x)

    def loss(self, tokens: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy (nats) of predicting tokens[:, 1:] from tokens[:, :-1]."""
        return self.predicted(self.hidden(tokens), tokens)

    def predicted(self, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy (nats) of tokens (B, T) given the output of the final norm (B, T, D)."""
        head = self.lm_head or self.model.embed_tokens
        return F.cross_entropy(head(hidden[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())

    def taps(self) -> tuple[BlockTaps, ...]:
        """Taps for A, J, G, H, W and S of each block."""
        blocks: list[Any] = list(self.model.layers)
        return tuple(block_taps(block) for block in blocks)


def block_of(config: Mapping[str, Any], index: int) -> LlamaBlock:
    """Block `index` of a checked configuration, its weights not drawn."""
    return LlamaBlock(BlockSizes.of(config, index))


def _runs(blocks: Any, config: Mapping[str, Any]) -> Iterator[nn.Module]:
    """The blocks in the order in which they run; a second run has the tensors of the first."""
    for index, block in enumerate(blocks):
        yield block
        for _ in range(1, config.get("runs", 1)):
            with torch.device("meta"):
                again = block_of(config, index)
            again.load_state_dict(block.state_dict(), assign=True)
            yield again.requires_grad_()


def block_taps(block: LlamaBlock) -> BlockTaps:
    """Modules of one block to watch: A is what the down projection reads; W and G are q, k, v and o, then
    gate, up and down. A block may lack attention or the FFN."""
    attention = (block.self_attn,) if block.sizes.heads else ()
    feeding = (block.mlp,) if block.sizes.ffn else ()
    maps = (
        *(("attn", m) for a in attention for m in (a.q_proj, a.k_proj, a.v_proj, a.o_proj)),
        *(("ffn", m) for f in feeding for m in (f.gate_proj, f.up_proj, f.down_proj)),
    )
    return BlockTaps(
        block=block,
        activations=tuple(f.act_fn for f in feeding),
        heads=tuple(a.o_proj for a in attention),
        queries=tuple(a.q_proj for a in attention),
        attentions=attention,
        weights=tuple(WeightTap(role, m.weight) for role, m in maps),
    )


@torch.no_grad()
def draw(module: nn.Module, seed: int, prefix: str = "") -> None:
    """Draw every tensor of a network, or of a part of one whose names begin with `prefix` there: matrices Normal(0,
    0.02), each from a generator named by the seed and its name; gains 1. So a block that is drawn alone has the weights
    that it has in the network. Tensors without numbers stay so."""
    for name, parameter in module.named_parameters():
        if parameter.ndim == 1:
            parameter.fill_(1.0)
        elif not parameter.is_meta:
            parameter.normal_(0.0, INIT_STD, generator=_generator(seed, prefix + name))


def _generator(seed: int, name: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)
