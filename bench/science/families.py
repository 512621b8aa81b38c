"""Do counts, FLOPs and losses of Hugging Face networks agree with transformers? `python -m bench.science.families`

Every family of the library that predicts tokens, at a tiny size. A row for each that the space `hf` accepts:
parameters, FLOPs of the blocks for one sequence and the loss, here and there. There: the library reads the same
configuration as written, builds the network with its eager attention, gets the same weights, and says its own loss;
FLOPs are those that `torch.utils.flop_counter` sees inside the blocks. An encoder's loss is the fixed projection of its
last hidden state. Families that are refused or not tiny follow with the reason. Exit code 1 if a row differs.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from models.architecture import BadArchitecture
from models.spaces import SPACES
from models.tokens import TokenBatch

SIZES: dict[str, Any] = {
    "hidden_size": 32, "d_model": 32, "num_hidden_layers": 2, "num_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 48, "ffn_dim": 48, "hidden_dim": 48, "n_inner": 48,
    "vocab_size": 300, "max_position_embeddings": 64, "pad_token_id": 0, "embedding_size": 16,
    "word_embed_proj_dim": 32, "ffn_hidden_size": 48, "rotary_dim": 4, "q_lora_rank": 16, "kv_lora_rank": 8,
    "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 6,
}  # fmt: skip
PER_LAYER = {"vocab_size_per_layer_input": 300, "hidden_size_per_layer_input": 4, "num_kv_shared_layers": 0}
NAMED: dict[str, dict[str, Any]] = {
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "gemma4_text": {**PER_LAYER, "layer_types": ["sliding_attention", "full_attention"], "global_head_dim": 16},
    "gemma3n_text": {
        "vocab_size_per_layer_input": 300,
        "hidden_size_per_layer_input": 4,
        "num_hidden_layers": 4,
        "laurel_rank": 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "num_kv_shared_layers": 2,
        "altup_num_inputs": 2,
        "activation_sparsity_pattern": [0.0, 0.5, 0.0, 0.0],
        "intermediate_size": [48] * 4,
    },
    "ctrl": {"dff": 48},
}
BATCH = TokenBatch.from_passage(2, 24)
LENGTH = 24
MOST = 10_000_000  # parameters


@dataclass(frozen=True)
class Sums:
    """Parameters, FLOPs of the blocks for one sequence of LENGTH tokens, and the loss on BATCH."""

    params: int
    flops: int
    loss: float

    def agrees(self, other: Sums) -> bool:
        """True if the counts are equal and the losses differ by rounding alone."""
        near = abs(self.loss - other.loss) <= 1e-5 * max(1.0, abs(other.loss))
        return (self.params, self.flops) == (other.params, other.flops) and near


def families() -> list[str]:
    """The library's names of all families that predict next or masked tokens."""
    from transformers.models.auto import modeling_auto as names

    return sorted({*names.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *names.MODEL_FOR_MASKED_LM_MAPPING_NAMES})


def tiny(family: str) -> dict[str, Any]:
    """A small configuration in the family's own names; BadArchitecture for a model of several parts."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = CONFIG_MAPPING[family]
    if any(name.startswith("text") for name in kind.sub_configs):
        raise BadArchitecture("a model of several parts, whose text part has a name of its own in this list")
    declared, aliases = {field.name for field in dataclasses.fields(kind)}, kind.attribute_map
    sizes = {aliases.get(name, name): value for name, value in SIZES.items() if name in declared or name in aliases}
    if "kv_lora_rank" in declared:  # keys and values of all heads from one latent vector
        sizes["num_key_value_heads"] = 4
    return {"model_type": family, **sizes, **NAMED.get(family, {})}


def ours(config: dict[str, Any]) -> tuple[Sums, Any]:
    """Figures of the space `hf` and its network; BadArchitecture if it is refused."""
    space = SPACES["hf"]
    architecture = space.architecture(config["model_type"], config)
    params, flops = space.parameters(architecture).total, 2 * space.multiply_adds(architecture, LENGTH)
    if params > MOST:
        raise BadArchitecture(f"{params:,} parameters with these sizes, which is not tiny")
    network: Any = space.build(architecture, 0)
    with torch.no_grad():
        return Sums(params, flops, float(network.loss(BATCH.tokens))), network


def theirs(config: dict[str, Any], network: Any) -> Sums:
    """Figures of transformers for the original configuration, with the same weights."""
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

    fields = {name: value for name, value in config.items() if name != "model_type"}
    read = AutoConfig.for_model(config["model_type"], **fields).get_text_config(decoder=True)
    maker = AutoModelForCausalLM if network.decoder else AutoModel
    model = maker.from_config(read, attn_implementation="eager", dtype=torch.float32).eval()
    model.load_state_dict(network.model.state_dict(), strict=True)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=BATCH.tokens[:1])
    counts = counter.get_flop_counts()
    blocks = [f"{type(model).__name__}.{block.block}" for block in network.layout.blocks]
    flops = sum(sum(counts[block].values()) for block in blocks)
    return Sums(sum(p.numel() for p in model.parameters()), flops, _loss(model, network.decoder))


@torch.no_grad()
def _loss(model: Any, decoder: bool) -> float:
    if decoder:
        return float(model(input_ids=BATCH.tokens, labels=BATCH.tokens).loss)
    hidden = model(input_ids=BATCH.tokens).last_hidden_state
    return float((hidden * torch.randn(hidden.shape, generator=torch.Generator().manual_seed(0))).sum())


def main(chosen: Sequence[str]) -> int:
    """The table."""
    refused, wrong, right = dict[str, str](), 0, 0
    print(f"{'family':24} {'params':>10} {'there':>10} {'FLOPs':>12} {'there':>12} {'loss':>11} {'there':>11}")
    for family in chosen or families():
        try:
            mine, network = ours(tiny(family))
        except BadArchitecture as error:
            refused[family] = str(error)
            continue
        other = theirs(tiny(family), network)
        right, wrong = right + mine.agrees(other), wrong + (not mine.agrees(other))
        print(
            f"{family:24} {mine.params:10,} {other.params:10,} {mine.flops:12,} {other.flops:12,} {mine.loss:11.6f} "
            f"{other.loss:11.6f}{'' if mine.agrees(other) else '  differs'}",
            flush=True,
        )
    print(f"{right} of {right + wrong} families agree; {len(refused)} are refused:")
    for family, reason in refused.items():
        print(f"{family:24} {reason[:180]}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
