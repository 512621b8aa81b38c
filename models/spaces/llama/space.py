"""The `llama` space: decoders of LLaMA (Touvron et al. 2023, arXiv 2302.13971) with heads, key-value heads (Ainslie et
al. 2023, arXiv 2305.13245) and a gated feed-forward width (Shazeer 2020, arXiv 2002.05202) per block, so that the
elastic widths of LoNAS (Munoz et al. 2024, arXiv 2404.10934) are points of it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.architecture import Architecture, ParameterCount
from models.spaces.llama.configuration import (
    NAME,
    attention_maps,
    checked,
    described,
    full_ffn,
    head_widths,
    is_cut,
    run_blocks,
)
from models.spaces.space import Fill, block_numbers
from models.spaces.variation import Fields

if TYPE_CHECKING:
    from torch import nn

    from models.spaces.abilities import NetworkParts
    from models.spaces.checkpoint import Checkpoint

__all__ = ["RATIOS", "LlamaSpace"]

RATIOS = (1.0, 0.875, 0.75, 0.625, 0.5)  # LoNAS's widths of a feed-forward layer, as shares of the full one


class LlamaSpace:
    """Configuration: n_layer L, d_model D, n_head (L,), n_kv_head (L,), d_ffn (L,), n_token, tgt_len; `tied`, whether
    the output map is the table of tokens; `norm`, "rms" or "layer" (means subtracted; gains and no biases in both);
    norm_eps and rope_theta. The last four have LLaMA's values if they are left out.

    A block with n_head and n_kv_head 0 has no attention, one with d_ffn 0 no feed-forward layer, and neither has the
    norm before it (Nemotron-NAS, Bercovich et al. 2024, arXiv 2411.19146). A head is floor(D / n_head) wide, or
    `head_dim` if that is given, an even number, because rotary positions turn pairs of features. With `runs` each block
    runs so many times in a row with the same weights (MobileLLM, Liu et al. 2024, arXiv 2402.14905).

    A subnet of a checkpoint also has `keep`, the indices (L,) of the checkpoint's blocks that it keeps, in order, and
    `order`, by which the units of narrower layers are kept (`unit_order.py`): the first ones (LoNAS; what
    a configuration without it means), those of the largest weights, or those of the largest weights times activations.
    """

    name = NAME
    version = 1
    builds: tuple[str, ...] = ("as_initialised", "as_trained")
    drawable = True
    fields: Fields | None = Fields(
        ("n_head", "n_kv_head", "d_ffn"),
        "n_layer",
        joint=("n_head", "n_kv_head"),
        held=("n_token", "tgt_len", "tied", "norm", "norm_eps", "rope_theta"),
        widths=("d_model", "d_ffn"),
        optional=("head_dim", "runs"),
    )

    N_LAYER = (2, 16)
    D_MODEL = (128, 256, 384, 512)
    N_HEAD = (2, 4, 8, 16)
    GROUPS = (1, 2)  # query heads of one key-value head

    def check(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The normalised configuration; BadArchitecture names the first bad field."""
        return checked(config)

    def sample(self, rng: random.Random) -> dict[str, Any]:
        """A configuration of the space that `count` counts, every field drawn uniformly: LoNAS's ratios of the full
        width in each block, 32,000 tokens, 2,048 positions."""
        n_layer, d_model = rng.randint(*self.N_LAYER), rng.choice(self.D_MODEL)
        n_head = [rng.choice(self.N_HEAD) for _ in range(n_layer)]
        return self.check(
            {
                "n_layer": n_layer,
                "d_model": d_model,
                "n_head": n_head,
                "n_kv_head": [heads // rng.choice(self.GROUPS) for heads in n_head],
                "d_ffn": [round(rng.choice(RATIOS) * full_ffn(d_model)) for _ in range(n_layer)],
                "n_token": 32000,
                "tgt_len": 2048,
            }
        )

    def count(self) -> int:
        """Size of the space that `sample` draws from."""
        per_block = len(self.N_HEAD) * len(self.GROUPS) * len(RATIOS)
        return len(self.D_MODEL) * sum(per_block**n for n in range(self.N_LAYER[0], self.N_LAYER[1] + 1))

    def architecture(self, id: str, config: Mapping[str, Any]) -> Architecture:
        """A checked architecture."""
        return described(id, config)

    def shape(self, architecture: Architecture) -> tuple[int, int]:
        """(blocks that run, width)."""
        return len(run_blocks(architecture.config)), architecture.config["d_model"]

    def numbers(self, architecture: Architecture) -> dict[str, float]:
        """Heads, key-value heads and the width of the feed-forward layers over the blocks, as logarithms; and how many
        heads all blocks, the first and the last have."""
        c = architecture.config
        n_head = c["n_head"]
        counts = {"heads": float(sum(n_head)), "heads first": float(n_head[0]), "heads last": float(n_head[-1])}
        heads = block_numbers("n_head", c["n_head"], ends=False) | block_numbers(
            "n_kv_head", c["n_kv_head"], ends=False
        )
        return heads | block_numbers("d_ffn", c["d_ffn"]) | counts

    def limits(self, architecture: Architecture) -> tuple[int, int]:
        """(longest sequence, size of the vocabulary)."""
        return architecture.config["tgt_len"], architecture.config["n_token"]

    def parameters(self, architecture: Architecture, build: str | None = None) -> ParameterCount:
        """Counts whose total is `LlamaForCausalLM.num_parameters()` of the same sizes."""
        c = architecture.config
        attention, ffn = sum(attention_maps(c)), sum(3 * c["d_model"] * f for f in c["d_ffn"])
        norms = 1 + sum((heads > 0) + (inner > 0) for heads, inner in zip(c["n_head"], c["d_ffn"], strict=True))
        decoder = attention + ffn + norms * c["d_model"]
        table = c["n_token"] * c["d_model"]
        return ParameterCount(attention, ffn, decoder, table, decoder + table * (1 if c["tied"] else 2))

    def multiply_adds(self, architecture: Architecture, length: int, build: str | None = None) -> int:
        """The maps of every token, and per block Q K^T and S V over all pairs of tokens, masked ones included."""
        c = architecture.config
        maps = sum(attention_maps(c)) + sum(3 * c["d_model"] * f for f in c["d_ffn"])
        mixed = sum(heads * width for heads, width in zip(c["n_head"], head_widths(c), strict=True))
        return c.get("runs", 1) * (length * maps + 2 * length * length * mixed)

    def build(self, architecture: Architecture, init_seed: int, build: str | None = None) -> nn.Module:
        """A `LlamaNetwork`. `as_initialised`: each tensor is drawn from a generator of its own, named by the seed, the
        architecture and the tensor. `as_trained`: a slice of the supernet of llama-elastic, whatever the seed."""
        from models.spaces.llama.network import LlamaNetwork

        return LlamaNetwork.filled(architecture.config, self._fill(architecture, init_seed, build))

    def parts(
        self, architecture: Architecture, init_seed: int, build: str | None = None, weights: Checkpoint | None = None
    ) -> NetworkParts:
        """The network, or that of `loaded`, in pieces."""
        from models.spaces.llama.parts import LlamaParts

        fill = self._fill(architecture, init_seed, build) if weights is None else _loading(architecture, weights)
        return LlamaParts(architecture.config, fill)

    def largest_part(self, architecture: Architecture) -> int:
        """Parameters of the widest block, or of a table."""
        c = architecture.config
        blocks = zip(attention_maps(c), c["d_ffn"], strict=True)
        return max(c["n_token"] * c["d_model"], *(maps + (3 * f + 2) * c["d_model"] for maps, f in blocks))

    def check_weights(self, architecture: Architecture, weights: Checkpoint) -> None:
        """Refuse a checkpoint of another family, of other sizes, or without some of the tensors."""
        from models.spaces.llama.checkpoint import check_checkpoint
        from models.spaces.llama.subnets import check_subnet

        (check_subnet if is_cut(architecture.config) else check_checkpoint)(architecture, weights)

    def loaded(self, architecture: Architecture, weights: Checkpoint) -> nn.Module:
        """A `LlamaNetwork` with the weights of a checkpoint, cut to the blocks and units of the architecture."""
        from models.spaces.llama.network import LlamaNetwork

        return LlamaNetwork.filled(architecture.config, _loading(architecture, weights))

    def _fill(self, architecture: Architecture, init_seed: int, build: str | None) -> Fill:
        if build == "as_trained":
            from models.spaces.llama.weights import elastic_tensors, fill

            tensors = elastic_tensors(architecture)
            return lambda module, prefix: fill(module, tensors, prefix)
        from models.spaces.llama.network import draw

        return lambda module, prefix: draw(module, architecture.seed(init_seed), prefix)


def _loading(architecture: Architecture, weights: Checkpoint) -> Fill:
    """Loader of the weights of a checkpoint into a network or a part of one."""
    from models.spaces.llama.checkpoint import library_names
    from models.spaces.llama.subnets import subnet_fill

    return subnet_fill(architecture, weights) if is_cut(architecture.config) else library_names(weights).fill
