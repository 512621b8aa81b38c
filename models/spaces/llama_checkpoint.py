"""Which checkpoints have weights for a network of the space `llama`: those of `LlamaForCausalLM` with the same sizes
and the operations that the space has; feed-forward layers may be wider than the network's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from models.architecture import Architecture
from models.spaces.checkpoint import BadWeights, Checkpoint
from models.spaces.llama_network import LlamaNetwork

__all__ = ["check_checkpoint"]

# What is the same in every network of the space, by Hugging Face's names; a field that is left out is so.
FIXED: Mapping[str, tuple[Any, ...]] = {
    "model_type": ("llama",), "attention_bias": (None, False), "mlp_bias": (None, False), "hidden_act": (None, "silu"),
    "quantization_config": (None,),
}  # fmt: skip
DEFAULTS: Mapping[str, Any] = {"rms_norm_eps": 1e-6, "tie_word_embeddings": False}


def check_checkpoint(architecture: Architecture, weights: Checkpoint) -> None:
    """Refuse a checkpoint that is not one of the architecture; BadWeights names the field or the tensor."""
    where, config = f"{weights.folder / 'config.json'}", {**DEFAULTS, **weights.config}
    for field, known in FIXED.items():
        if config.get(field) not in known:
            wanted = known[-1] if known[-1] is not None else "none"
            raise BadWeights(f"{where}: {field}: got {config.get(field)!r}, wanted {wanted} for the space llama")
    for field, wanted in _wanted(architecture.config).items():
        got = _stated(config, field)
        if isinstance(got, bool) != isinstance(wanted, bool) or got != wanted:
            raise BadWeights(f"{where}: {field}: got {got!r}, wanted {wanted!r} for {architecture.id}")
    with torch.device("meta"):
        network = LlamaNetwork(architecture.config)
    weights.check(network.named_parameters(), architecture.id)


def _wanted(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the checkpoint must state; a list where blocks of a checkpoint cannot differ and those of ours do."""
    heads, shared = (sorted(set(config[field])) for field in ("n_head", "n_kv_head"))
    return {
        "num_hidden_layers": config["n_layer"],
        "hidden_size": config["d_model"],
        "num_attention_heads": heads[0] if len(heads) == 1 else heads,
        "num_key_value_heads": shared[0] if len(shared) == 1 else shared,
        "head_dim": config["d_model"] // heads[0],
        "tie_word_embeddings": config["tied"],
        "rms_norm_eps": config["norm_eps"] if config["norm"] == "rms" else "a layer norm",
        "rope_theta": config["rope_theta"],
        "rope_type": "default",
    }


def _stated(config: Mapping[str, Any], field: str) -> Any:
    """What a config.json says, in the words of any version of the library; what it leaves out is LLaMA's."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    rope = rope if isinstance(rope, dict) else {"rope_type": rope}
    if field == "rope_type":
        return rope.get("rope_type", rope.get("type", "default"))
    if field == "rope_theta":
        return config.get("rope_theta", rope.get("rope_theta", 10_000))
    if config.get(field) is not None:
        return config[field]
    if field == "num_key_value_heads":
        return config.get("num_attention_heads")
    width, heads = config.get("hidden_size"), config.get("num_attention_heads")
    if field == "head_dim" and isinstance(width, int) and isinstance(heads, int) and heads > 0:
        return width // heads
    return None
