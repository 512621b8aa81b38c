"""The network of a `gpt2` architecture: GPT-2 blocks between an adaptive embedding and an adaptive softmax. Its
description is in `models/spaces/gpt2/space.py`, which needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from models.spaces.gpt2.blocks import Block
from models.spaces.gpt2.sizes import clusters, projection_widths, untied_widths
from models.spaces.space import BlockTaps, WeightTap

__all__ = ["Gpt2Model"]

INIT_STD = 0.02  # Radford et al. 2019; residual projections are scaled by 1/sqrt(2 L)


class Gpt2Model(nn.Module):
    """Adaptive embedding -> GPT-2 blocks -> adaptive softmax loss."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.config = config
        D = config["d_model"]
        self.ends = [0, *config["cutoffs"], config["n_token"]]
        self.tables = nn.ParameterList(nn.Parameter(torch.empty(n, w)) for n, w in clusters(config))
        self.projections = nn.ParameterList(nn.Parameter(torch.empty(D, w)) for w in projection_widths(config))
        self.positions = nn.Parameter(torch.empty(config["tgt_len"], D))
        self.h = nn.ModuleList(
            Block(D, heads, inner) for heads, inner in zip(config["n_head"], config["d_inner"], strict=True)
        )
        self.ln_f = nn.LayerNorm(D)
        self.untied = nn.ParameterList(nn.Parameter(torch.empty(D, w)) for w in untied_widths(config))
        self.token_bias = nn.Parameter(torch.empty(config["n_token"]))
        self.cluster_weight = nn.Parameter(torch.empty(len(config["cutoffs"]), config["d_embed"]))
        self.cluster_bias = nn.Parameter(torch.empty(len(config["cutoffs"])))

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Normal(0, 0.02) matrices, residual projections scaled by 1/sqrt(2 L), biases 0, LayerNorm gains 1."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif ".ln_" in f".{name}":
                parameter.fill_(1.0)
            else:
                depth_scale = (2 * len(self.h)) ** -0.5 if name.endswith("c_proj.weight") else 1.0
                parameter.normal_(0.0, INIT_STD * depth_scale, generator=generator)

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T) -> (B, T, D): table of the token's cluster, projected, scaled by sqrt(D), plus position."""
        if len(self.tables) == 1:
            x = F.embedding(tokens, self.tables[0])
            x = F.linear(x, self.projections[0]) if len(self.projections) else x
        else:
            x = self.positions.new_zeros((*tokens.shape, self.config["d_model"]))
            for i, (low, high) in enumerate(zip(self.ends, self.ends[1:], strict=False)):
                inside = (tokens >= low) & (tokens < high)
                if inside.any():
                    x = x.masked_scatter(
                        inside.unsqueeze(-1),
                        F.linear(F.embedding(tokens[inside] - low, self.tables[i]), self.projections[i]),
                    )
        return x * self.config["d_model"] ** 0.5 + self.positions[: tokens.shape[1]]

    def hidden(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T) -> (B, T, D): output of the final LayerNorm."""
        T = tokens.shape[1]
        causal = torch.full((T, T), torch.finfo(torch.float32).min, device=tokens.device).triu(1)
        x = self.embed(tokens)
        for block in self.h:
            x = block(x, causal)
        return self.ln_f(x)

    def loss(self, tokens: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy (nats) of predicting tokens[:, 1:] from tokens[:, :-1]."""
        hidden = self.hidden(tokens)[:, :-1].reshape(-1, self.config["d_model"])
        return self.adaptive_nll(hidden, tokens[:, 1:].reshape(-1)).mean()

    def adaptive_nll(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """(n, D), (n,) -> (n,): the first cluster and one slot per tail, then the tails that occur
        (Grave et al. 2017, arXiv 1609.04309, with the weights of the embedding)."""
        shortlist = self.ends[1]
        head = self._cluster_logits(x, 0)
        if self.config["cutoffs"]:
            tails = F.linear(self._project(x, 0), self.cluster_weight, self.cluster_bias)
            head = torch.cat([head, tails], dim=1)
        slot = target.clone()
        for i, (low, high) in enumerate(zip(self.ends[1:], self.ends[2:], strict=False)):
            slot[(target >= low) & (target < high)] = shortlist + i
        nll = F.cross_entropy(head, slot, reduction="none")
        for i, (low, high) in enumerate(zip(self.ends[1:], self.ends[2:], strict=False), start=1):
            inside = (target >= low) & (target < high)
            if inside.any():
                tail = F.cross_entropy(self._cluster_logits(x[inside], i), target[inside] - low, reduction="none")
                nll = nll.masked_scatter(inside, nll[inside] + tail)
        return nll

    def _project(self, x: torch.Tensor, cluster: int) -> torch.Tensor:
        """(n, D) -> (n, width of the cluster's table)."""
        if not len(self.projections):
            return x
        table = 0 if len(self.tables) == 1 else cluster
        return x @ (self.untied[0] if table == 0 else self.projections[table])

    def _cluster_logits(self, x: torch.Tensor, cluster: int) -> torch.Tensor:
        low, high = self.ends[cluster], self.ends[cluster + 1]
        table = self.tables[0][low:high] if len(self.tables) == 1 else self.tables[cluster]
        return F.linear(self._project(x, cluster), table, self.token_bias[low:high])

    def taps(self) -> tuple[BlockTaps, ...]:
        """Taps for A, J, G, H, W and S of each block."""
        blocks: list[Any] = list(self.h)
        return tuple(
            BlockTaps(
                block=block,
                activations=(block.mlp.act,),
                heads=(block.attn.c_proj,),
                queries=(block.attn.c_attn,),
                query_width=block.attn.width,
                attentions=(block.attn,),
                weights=tuple(
                    WeightTap(role, layer.weight, stored_in_out=True)
                    for role, layer in (
                        ("attn", block.attn.c_attn),
                        ("attn", block.attn.c_proj),
                        ("ffn", block.mlp.c_fc),
                        ("ffn", block.mlp.c_proj),
                    )
                ),
            )
            for block in blocks
        )
