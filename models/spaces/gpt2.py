"""The `gpt2` space: pre-LayerNorm decoders with a width and a head count per block (LiteTransformerSearch,
Javaheripi et al., NeurIPS 2022, arXiv 2203.02094), adaptive embedding and softmax included."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2Block

from models.architecture import Architecture, BadArchitecture, ParameterCount
from models.spaces.space import BlockTaps, WeightTap, check_choice, check_int, check_list

__all__ = ["Gpt2Space"]

INIT_STD = 0.02  # Radford et al. 2019; residual projections are scaled by 1/sqrt(2 L)


class Gpt2Space:
    """Configuration: n_layer L, d_model D, d_embed, div_val, n_head (L,), d_inner (L,), n_token, tgt_len, cutoffs.

    `sample` and `count` describe the published search space at WikiText-103 scale; `check` accepts every size
    that can be built, so that smaller benchmarks live in the same space.
    """

    name = "gpt2"
    version = 1
    builds: tuple[str, ...] = ("as_trained",)

    D_INNER = (512, 2048)
    N_LAYER = (2, 16)
    D_MODEL = (64, 128, 256, 512)
    D_EMBED = (128, 256, 512)
    N_HEAD = (2, 4, 8)
    DIV_VAL = (1, 2, 4)

    def check(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The normalised configuration; BadArchitecture names the first bad field."""
        known = {"n_layer", "d_model", "d_embed", "div_val", "n_head", "d_inner", "n_token", "tgt_len", "cutoffs"}
        if unknown := sorted(set(config) - known):
            raise BadArchitecture(f"{unknown[0]}: unknown field, wanted only {', '.join(sorted(known))}")
        n_layer = check_int(config, "n_layer", 1, 128)
        d_model = check_int(config, "d_model", 4, 16384)
        n_head = check_list(config, "n_head", n_layer, 1, d_model)
        for i, heads in enumerate(n_head):
            if d_model % heads:
                raise BadArchitecture(f"n_head[{i}]: got {heads}, wanted a divisor of d_model = {d_model}")
        n_token = check_int(config, "n_token", 2, 1_000_000)
        d_embed = check_int(config, "d_embed", 1, 16384)
        div_val = check_choice(config, "div_val", (1, 2, 4))
        cutoffs = config.get("cutoffs", ())
        if not isinstance(cutoffs, list | tuple) or not all(
            isinstance(c, int) and not isinstance(c, bool) and 0 < c < n_token for c in cutoffs
        ):
            raise BadArchitecture(f"cutoffs: got {cutoffs!r}, wanted a list of token numbers below {n_token}")
        if list(cutoffs) != sorted(set(cutoffs)):
            raise BadArchitecture(f"cutoffs: got {cutoffs!r}, wanted increasing numbers")
        if d_embed // div_val ** len(cutoffs) < 1:
            raise BadArchitecture(f"d_embed: got {d_embed}, too narrow for {len(cutoffs)} divisions by {div_val}")
        return {
            "n_layer": n_layer,
            "d_model": d_model,
            "d_embed": d_embed,
            "div_val": div_val,
            "n_head": n_head,
            "d_inner": check_list(config, "d_inner", n_layer, 1, 65536),
            "n_token": n_token,
            "tgt_len": check_int(config, "tgt_len", 1, 1 << 20),
            "cutoffs": tuple(cutoffs),
        }

    def sample(self, rng: random.Random) -> dict[str, Any]:
        """A configuration of the published space, every field drawn uniformly."""
        n_layer = rng.randint(*self.N_LAYER)
        return self.check(
            {
                "n_layer": n_layer,
                "d_model": rng.choice(self.D_MODEL),
                "d_embed": rng.choice(self.D_EMBED),
                "div_val": rng.choice(self.DIV_VAL),
                "n_head": [rng.choice(self.N_HEAD) for _ in range(n_layer)],
                "d_inner": [rng.randint(*self.D_INNER) for _ in range(n_layer)],
                "n_token": 50264,
                "tgt_len": 192,
                "cutoffs": (19997, 39997),
            }
        )

    def count(self) -> int:
        """Size of the published space."""
        per_block = len(self.N_HEAD) * (self.D_INNER[1] - self.D_INNER[0] + 1)
        blocks = sum(per_block**n for n in range(self.N_LAYER[0], self.N_LAYER[1] + 1))
        return len(self.D_MODEL) * len(self.D_EMBED) * len(self.DIV_VAL) * blocks

    def architecture(self, id: str, config: Mapping[str, Any]) -> Architecture:
        """A checked architecture."""
        return Architecture.create(id, self.name, self.check(config))

    def shape(self, architecture: Architecture) -> tuple[int, int]:
        """(depth, width)."""
        return architecture.config["n_layer"], architecture.config["d_model"]

    def limits(self, architecture: Architecture) -> tuple[int, int]:
        """(longest sequence, size of the vocabulary)."""
        return architecture.config["tgt_len"], architecture.config["n_token"]

    def parameters(self, architecture: Architecture, build: str | None = None) -> ParameterCount:
        """Counts that equal the published `params_summary.yaml` (Attn, FFN, nonembedding, AdaEmb, total)."""
        c = architecture.config
        L, D = c["n_layer"], c["d_model"]
        attention = L * (4 * D * D + 4 * D)
        ffn = sum(2 * D * f + f + D for f in c["d_inner"])
        decoder = attention + ffn + (2 * L + 1) * 2 * D
        tables = sum(size * width for size, width in _clusters(c))
        maps = sum(D * width for width in _projection_widths(c))
        embedding = tables + maps + c["tgt_len"] * D
        softmax = c["n_token"] + len(c["cutoffs"]) * (c["d_embed"] + 1) + sum(_untied_widths(c)) * D
        return ParameterCount(attention, ffn, decoder, embedding, decoder + embedding + softmax)

    def multiply_adds(self, architecture: Architecture, length: int, build: str | None = None) -> int:
        """The maps of every token, and per block Q K^T and S V over all pairs of tokens, masked ones included."""
        c = architecture.config
        L, D = c["n_layer"], c["d_model"]
        return length * (L * 4 * D * D + sum(2 * D * f for f in c["d_inner"])) + L * 2 * length * length * D

    def build(self, architecture: Architecture, init_seed: int, build: str | None = None) -> nn.Module:
        """A `Gpt2Model` whose every weight comes from the architecture's own generator."""
        with torch.device("meta"):
            model = Gpt2Model(architecture.config)
        model.to_empty(device="cpu")
        model.initialise(torch.Generator().manual_seed(architecture.seed(init_seed)))
        return model


def _clusters(config: Mapping[str, Any]) -> list[tuple[int, int]]:
    """(number of tokens, embedding width) of each table; a single one when div_val is 1."""
    if config["div_val"] == 1:
        return [(config["n_token"], config["d_embed"])]
    ends = [0, *config["cutoffs"], config["n_token"]]
    widths = [config["d_embed"] // config["div_val"] ** i for i in range(len(ends) - 1)]
    return [(high - low, width) for low, high, width in zip(ends, ends[1:], widths, strict=False)]


def _projection_widths(config: Mapping[str, Any]) -> list[int]:
    """Widths that need a map to d_model: all clusters if they differ, the one table only if it does."""
    widths = [width for _, width in _clusters(config)]
    return [] if widths == [config["d_model"]] else widths


def _untied_widths(config: Mapping[str, Any]) -> list[int]:
    """The softmax owns the projection of its first cluster only (tie_projs is false there)."""
    return _projection_widths(config)[:1]


class Gpt2Model(nn.Module):
    """Adaptive embedding -> GPT-2 blocks of Hugging Face -> adaptive softmax loss."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.config = config
        D = config["d_model"]
        self.ends = [0, *config["cutoffs"], config["n_token"]]
        self.tables = nn.ParameterList(nn.Parameter(torch.empty(n, w)) for n, w in _clusters(config))
        self.projections = nn.ParameterList(nn.Parameter(torch.empty(D, w)) for w in _projection_widths(config))
        self.positions = nn.Parameter(torch.empty(config["tgt_len"], D))
        self.h = nn.ModuleList(
            GPT2Block(_block_config(config, heads, inner), layer_idx=i)
            for i, (heads, inner) in enumerate(zip(config["n_head"], config["d_inner"], strict=True))
        )
        self.ln_f = nn.LayerNorm(D)
        self.untied = nn.ParameterList(nn.Parameter(torch.empty(D, w)) for w in _untied_widths(config))
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
            x = block(x, attention_mask=causal)
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
        """Where A, J, G, H, W and S of each block are found."""
        blocks: list[Any] = list(self.h)
        return tuple(
            BlockTaps(
                block=block,
                activations=(block.mlp.act,),
                heads=(block.attn.c_proj,),
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


def _block_config(config: Mapping[str, Any], heads: int, inner: int) -> GPT2Config:
    # gelu_pytorch_tanh is GPT-2's gelu_new as one fused kernel; eager attention is the one that returns S.
    own: dict[str, Any] = {"attn_implementation": "eager", "bos_token_id": None, "eos_token_id": None}
    return GPT2Config(
        n_embd=config["d_model"],
        n_layer=config["n_layer"],
        n_head=heads,
        n_inner=inner,
        n_positions=config["tgt_len"],
        vocab_size=config["n_token"],
        activation_function="gelu_pytorch_tanh",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=False,
        **own,
    )
