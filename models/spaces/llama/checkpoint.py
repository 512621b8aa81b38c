"""Checkpoints with weights for a network of the space `llama`: those of `LlamaForCausalLM` with the same sizes
and the operations that the space has; feed-forward layers may be wider than the network's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from models.architecture import Architecture, BadArchitecture
from models.spaces.checkpoint import BadWeights, Checkpoint, wanted_by
from models.spaces.llama.configuration import MOST_BLOCKS, described
from models.spaces.llama.network import LlamaNetwork
from models.spaces.space import check_int
from models.spaces.tensor_names import placed

__all__ = ["check_checkpoint", "library_names", "whole_architecture"]

BASE, TABLE = "model", "model.embed_tokens.weight"

# What is the same in every network of the space, by Hugging Face's names; a field that is left out is so.
FIXED: Mapping[str, tuple[Any, ...]] = {
    "model_type": ("llama",),
    "attention_bias": (None, False),
    "mlp_bias": (None, False),
    "hidden_act": (None, "silu"),
}
DEFAULTS: Mapping[str, Any] = {"rms_norm_eps": 1e-6, "tie_word_embeddings": False}
FIELDS = {  # of the space, by Hugging Face's names
    "n_layer": "num_hidden_layers",
    "d_model": "hidden_size",
    "n_head": "num_attention_heads",
    "n_kv_head": "num_key_value_heads",
    "d_ffn": "intermediate_size",
    "head_dim": "head_dim",
    "n_token": "vocab_size",
    "tgt_len": "max_position_embeddings",
    "tied": "tie_word_embeddings",
    "norm_eps": "rms_norm_eps",
    "rope_theta": "rope_theta",
}
PER_BLOCK = ("n_head", "n_kv_head", "d_ffn")


def check_checkpoint(architecture: Architecture, weights: Checkpoint) -> None:
    """Refuse a checkpoint that is not one of the architecture; BadWeights names the field or the tensor."""
    where, config = f"{weights.folder / 'config.json'}", {**DEFAULTS, **weights.config}
    _check_kind(config, where)
    for field in ("n_head", "d_ffn"):
        if 0 in architecture.config[field]:
            raise BadWeights(f"{architecture.id}: {field}: got a block without any, which no checkpoint of LLaMA has")
    if runs := architecture.config.get("runs"):
        raise BadWeights(f"{architecture.id}: runs: got {runs}, wanted 1 with the weights of a checkpoint")
    for field, wanted in _wanted(architecture.config).items():
        got = _stated(config, field)
        if isinstance(got, bool) != isinstance(wanted, bool) or got != wanted:
            raise BadWeights(f"{where}: {field}: got {got!r}, wanted {wanted!r} for {architecture.id}")
    with torch.device("meta"):
        network = LlamaNetwork(architecture.config)
    library_names(weights).check(wanted_by(network), architecture.id)


def library_names(weights: Checkpoint) -> Checkpoint:
    """The checkpoint with the names of `LlamaForCausalLM`: without the prefix of a wrapper, found by the table of
    tokens, and with that of the base model."""
    try:
        return weights.named(placed(weights.tensors, [(TABLE,)], BASE, dict))
    except BadWeights as error:
        raise BadWeights(f"{weights.folder}: {error}") from None


def whole_architecture(weights: Checkpoint) -> Architecture:
    """The network of a checkpoint as it is, in the space `llama`; BadWeights names the field that it cannot have."""
    config, where = {**DEFAULTS, **weights.config}, f"{weights.folder / 'config.json'}"
    _check_kind(config, where)
    found = {name: _stated(config, field) for name, field in FIELDS.items()}
    try:
        depth = check_int(found, "n_layer", 1, MOST_BLOCKS)
        found |= {field: [found[field]] * depth for field in PER_BLOCK}
        found["tgt_len"] = found["tgt_len"] or 2048
        return described(weights.folder.name or "whole", found)
    except BadArchitecture as error:
        raise BadWeights(f"{where}: {error}") from None


def _check_kind(config: Mapping[str, Any], where: str) -> None:
    """Refuse a checkpoint of another family, or with operations that the space has not."""
    for field, known in FIXED.items():
        if config.get(field) not in known:
            raise BadWeights(f"{where}: {field}: got {config.get(field)!r}, wanted {known[-1]} for the space llama")


def _wanted(config: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that the checkpoint must state; a list where blocks of a checkpoint cannot differ and those of ours do."""
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
    """Fields of a config.json of any version of the library; those that it leaves out are LLaMA's."""
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
