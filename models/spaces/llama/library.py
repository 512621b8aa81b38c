"""The config.json of Hugging Face's `LlamaForCausalLM` for an architecture of the space `llama`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.architecture import BadArchitecture
from models.spaces.llama.configuration import checked, head_widths

__all__ = ["check_library", "library_fields"]


def check_library(config: Mapping[str, Any]) -> dict[str, Any]:
    """The normalised configuration; BadArchitecture if the library has no such network."""
    found = checked(config)
    library_fields(found)
    return found


def library_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of config.json for a checked configuration, whose network has as many parameters there;
    BadArchitecture names what the library does not have."""
    for field in ("n_head", "n_kv_head", "d_ffn"):
        if len(set(config[field])) > 1:
            raise BadArchitecture(
                f"{field}: got blocks that differ, wanted equal blocks, as the library has (--uniform)"
            )
    heads = config["n_head"][0]
    if not heads or not config["d_ffn"][0]:
        raise BadArchitecture(
            f"{'d_ffn' if heads else 'n_head'}: got 0, wanted blocks of both halves, as the library has"
        )
    if config["norm"] != "rms":
        raise BadArchitecture(f"norm: got {config['norm']}, wanted rms, as the library has")
    if "runs" in config:
        raise BadArchitecture(f"runs: got {config['runs']}, wanted 1, as the library has")
    if config["d_model"] % heads:
        raise BadArchitecture(f"n_head: got {heads}, wanted a divisor of d_model = {config['d_model']}")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "num_hidden_layers": config["n_layer"],
        "hidden_size": config["d_model"],
        "num_attention_heads": heads,
        "num_key_value_heads": config["n_kv_head"][0],
        "head_dim": head_widths(config)[0],
        "intermediate_size": config["d_ffn"][0],
        "vocab_size": config["n_token"],
        "max_position_embeddings": config["tgt_len"],
        "rms_norm_eps": config["norm_eps"],
        "rope_theta": config["rope_theta"],
        "tie_word_embeddings": config["tied"],
        "dtype": "float32",
    }
