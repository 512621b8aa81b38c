"""The fields of a configuration as people write them: one number for all blocks, the names of Hugging Face, what is
left out because it is always the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.benchmarks.benchmark import BadBenchmark
from models.spaces.llama.configuration import DEFAULTS as LLAMA_DEFAULTS
from storage.datum import is_whole

__all__ = ["ALIASES", "DEFAULTS", "FIELDS", "PER_BLOCK", "REQUIRED", "for_all_blocks", "written_out"]

# Hugging Face's names (transformers, GPT2Config and its `attribute_map`) of our fields.
ALIASES: dict[str, dict[str, str]] = {
    "gpt2": {
        "n_embd": "d_model",
        "hidden_size": "d_model",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "n_inner": "d_inner",
        "intermediate_size": "d_inner",
        "vocab_size": "n_token",
        "n_positions": "tgt_len",
        "n_ctx": "tgt_len",
        "max_position_embeddings": "tgt_len",
    },
    "llama": {
        "hidden_size": "d_model",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "num_key_value_heads": "n_kv_head",
        "intermediate_size": "d_ffn",
        "vocab_size": "n_token",
        "max_position_embeddings": "tgt_len",
        "tie_word_embeddings": "tied",
        "rms_norm_eps": "norm_eps",
    },
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "gpt2": {"div_val": 1, "cutoffs": [], "n_token": 50257, "tgt_len": 1024},
    "llama": {"n_token": 32000, "tgt_len": 2048, **LLAMA_DEFAULTS},
}
PER_BLOCK: dict[str, tuple[str, ...]] = {
    "gpt2": ("n_head", "d_inner"),
    "flexibert": ("operation", "heads", "ffn_dim", "ffn_stack"),
    "llama": ("n_head", "n_kv_head", "d_ffn"),
}
REQUIRED: dict[str, tuple[str, ...]] = {
    "gpt2": ("n_layer", "d_model", "n_head"),
    "flexibert": ("hidden_size", "operation", "heads", "ffn_dim", "ffn_stack"),
    "llama": ("n_layer", "d_model", "n_head", "d_ffn"),
}
OPTIONAL: dict[str, tuple[str, ...]] = {"gpt2": ("d_embed",), "llama": ("head_dim", "runs")}
FIELDS = {  # of spaces whose fields are known here; those of `hf` are the library's
    space: {*names, *PER_BLOCK[space], *DEFAULTS.get(space, ()), *ALIASES.get(space, ()), *OPTIONAL.get(space, ())}
    for space, names in REQUIRED.items()
}


def written_out(space: str, config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The configuration under the space's own names, with a list for each block and with what was left out.

    `d_embed` is the model's width, `d_inner` four times that, and every head has keys and values of its own, unless
    something else is said.
    """
    found: dict[str, Any] = {}
    for written, value in config.items():
        name = ALIASES.get(space, {}).get(written, written)
        if name in found and found[name] != value:
            raise BadBenchmark(f"{where}: {name}: got {found[name]!r} and, as {written}, {value!r}; keep one of them")
        found[name] = value
    found = DEFAULTS.get(space, {}) | found
    if space == "llama" and found.get("n_kv_head") is None and "n_head" in found:
        found["n_kv_head"] = found["n_head"]
    if space == "gpt2":
        width = found.get("d_model")
        if found.get("d_embed", -1) in (-1, None):
            found["d_embed"] = width
        if found.get("d_inner") is None and is_whole(width):
            found["d_inner"] = 4 * width
    return for_all_blocks(space, found)


def for_all_blocks(space: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with a list where one value stands for every block."""
    per_block = [name for name in PER_BLOCK.get(space, ()) if name in config]
    lists = [len(config[name]) for name in per_block if isinstance(config[name], list)]
    depth = config.get("n_layer", max(lists, default=None))
    if not is_whole(depth) or not 0 < depth <= 1024:
        return dict(config)
    single = {name: [config[name]] * depth for name in per_block if is_whole(config[name])}
    return {**config, **single}
