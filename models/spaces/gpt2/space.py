"""The `gpt2` space: pre-LayerNorm decoders with a width and a head count per block (LiteTransformerSearch,
Javaheripi et al., NeurIPS 2022, arXiv 2203.02094), adaptive embedding and softmax included."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.architecture import Architecture, BadArchitecture, ParameterCount
from models.spaces.gpt2.sizes import clusters, projection_widths, untied_widths
from models.spaces.space import block_numbers, check_choice, check_fields, check_int, check_list, initialised
from models.spaces.variation import Fields
from storage.datum import is_whole

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Gpt2Space", "clusters", "projection_widths", "untied_widths"]


class Gpt2Space:
    """Configuration: n_layer L, d_model D, d_embed, div_val, n_head (L,), d_inner (L,), n_token, tgt_len, cutoffs.

    `sample` and `count` describe the published search space at WikiText-103 scale; `check` accepts every size
    that can be built, so that smaller benchmarks live in the same space.
    """

    name = "gpt2"
    version = 1
    builds: tuple[str, ...] = ("as_trained",)
    drawable = True
    fields: Fields | None = Fields(
        ("n_head", "d_inner"),
        "n_layer",
        held=("n_token", "tgt_len", "cutoffs"),
        widths=("d_model", "d_embed", "d_inner"),
    )

    D_INNER = (512, 2048)
    N_LAYER = (2, 16)
    D_MODEL = (64, 128, 256, 512)
    D_EMBED = (128, 256, 512)
    N_HEAD = (2, 4, 8)
    DIV_VAL = (1, 2, 4)

    def check(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The normalised configuration; BadArchitecture names the first bad field."""
        check_fields(
            config, "n_layer", "d_model", "d_embed", "div_val", "n_head", "d_inner", "n_token", "tgt_len", "cutoffs"
        )
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
        if not isinstance(cutoffs, list | tuple) or not all(is_whole(c) and 0 < c < n_token for c in cutoffs):
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

    def numbers(self, architecture: Architecture) -> dict[str, float]:
        """Embedding and its divisor, heads, and the width of the feed-forward layers over the blocks; logarithms."""
        c = architecture.config
        embedding = {"d_embed": math.log(c["d_embed"]), "div_val": math.log(c["div_val"])}
        return embedding | block_numbers("n_head", c["n_head"], ends=False) | block_numbers("d_inner", c["d_inner"])

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
        tables = sum(size * width for size, width in clusters(c))
        maps = sum(D * width for width in projection_widths(c))
        embedding = tables + maps + c["tgt_len"] * D
        softmax = c["n_token"] + len(c["cutoffs"]) * (c["d_embed"] + 1) + sum(untied_widths(c)) * D
        return ParameterCount(attention, ffn, decoder, embedding, decoder + embedding + softmax)

    def multiply_adds(self, architecture: Architecture, length: int, build: str | None = None) -> int:
        """The maps of every token, and per block Q K^T and S V over all pairs of tokens, masked ones included."""
        c = architecture.config
        L, D = c["n_layer"], c["d_model"]
        return length * (L * 4 * D * D + sum(2 * D * f for f in c["d_inner"])) + L * 2 * length * length * D

    def build(self, architecture: Architecture, init_seed: int, build: str | None = None) -> nn.Module:
        """A `Gpt2Model` whose every weight comes from the architecture's own generator."""
        from models.spaces.gpt2.network import Gpt2Model

        return initialised(Gpt2Model(architecture.config), architecture.seed(init_seed))
