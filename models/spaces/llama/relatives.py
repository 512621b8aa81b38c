"""Relatives of LLaMA whose config.json is read as an architecture of the space `llama` where that is asked for
(`rank --space llama`): the library does not have them and their own code is never run, but their fields say plainly
which sizes each block has.

- `nemotron-nas`: blocks without attention or FFN, and sizes per block (Bercovich et al. 2024, arXiv 2411.19146)
- `openelm`: heads and widths that grow with depth (Mehta et al. 2024, arXiv 2404.14619)
- `mobilellm`: one table for input and output (Liu et al. 2024, arXiv 2402.14905), and blocks that run
  twice with the same weights
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from models.architecture import BadArchitecture
from storage.datum import is_number, is_whole

__all__ = ["RELATIVES", "as_llama"]

log = logging.getLogger("zcp.llama")
log.addHandler(logging.NullHandler())  # silent, unless the program that uses it listens
MOST = 1024  # blocks that a file may list


def as_llama(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration in the space `llama` of a config.json whose model_type is one of RELATIVES; BadArchitecture
    names the field that the space cannot have."""
    family = str(fields["model_type"])
    if (scaling := _rotary(fields)) is not None:
        log.warning("%s: positions are turned without the scaling %s, which the space llama has not", family, scaling)
    return RELATIVES[family](fields)


def _nemotron_nas(fields: Mapping[str, Any]) -> dict[str, Any]:
    width, heads = _whole(fields, "hidden_size"), _whole(fields, "num_attention_heads")
    n_head, n_kv_head, d_ffn = list[int](), list[int](), list[int]()
    for i, block in enumerate(_list(fields, "block_configs")):
        attention, ffn = (_half(block, part, f"block_configs[{i}].{part}") for part in ("attention", "ffn"))
        own = heads if attention else 0
        shared = own // _whole(attention, "n_heads_in_group", f"block_configs[{i}].attention.") if attention else 0
        n_head.append(own)
        n_kv_head.append(shared)
        d_ffn.append(_multiplied(ffn, width, f"block_configs[{i}].ffn") if ffn else 0)
    return {
        **_common(fields, len(n_head), width),
        "n_head": n_head,
        "n_kv_head": n_kv_head,
        "d_ffn": d_ffn,
        "head_dim": fields.get("head_dim") or width // heads,
        "norm_eps": fields.get("rms_norm_eps", 1e-5),
    }


def _half(block: Any, part: str, where: str) -> Mapping[str, Any] | None:
    """The fields of an attention or FFN; None where a block has none."""
    half = block.get(part) if isinstance(block, Mapping) else None
    if not isinstance(half, Mapping):
        raise BadArchitecture(f"{where}: got {str(half)[:40]}, wanted its fields")
    if half.get("replace_with_linear"):
        raise BadArchitecture(f"{where}: replace_with_linear: got true, wanted false, as in every block of llama")
    return None if half.get("no_op") else half


def _multiplied(ffn: Mapping[str, Any], width: int, where: str) -> int:
    """The width inside an FFN: two thirds of `ffn_mult` times the width, the next multiple of 256."""
    factor = ffn.get("ffn_mult")
    if not is_number(factor) or not 0 < factor <= 64:
        raise BadArchitecture(f"{where}.ffn_mult: got {str(factor)[:40]}, wanted a number above 0")
    return -(-int(2 * factor * width / 3) // 256) * 256


def _openelm(fields: Mapping[str, Any]) -> dict[str, Any]:
    width, step = _whole(fields, "model_dim"), _whole(fields, "ffn_dim_divisor")
    factors = _list(fields, "ffn_multipliers")
    for i, factor in enumerate(factors):
        if not is_number(factor) or not 0 < factor <= 64:
            raise BadArchitecture(f"ffn_multipliers[{i}]: got {str(factor)[:40]}, wanted a number above 0")
    if fields.get("ffn_with_glu", True) is not True:
        raise BadArchitecture("ffn_with_glu: got false, wanted true, as in every block of llama")
    if fields.get("normalize_qk_projections"):
        log.warning("openelm: queries and keys are read without their norms, for which the space llama has no gains")
    return {
        "n_layer": len(factors),
        "d_model": width,
        "n_head": _list(fields, "num_query_heads"),
        "n_kv_head": _list(fields, "num_kv_heads"),
        "d_ffn": [_divisible(factor * width, step) for factor in factors],
        "head_dim": _whole(fields, "head_dim"),
        "n_token": _whole(fields, "vocab_size"),
        "tgt_len": fields.get("max_context_length", 2048),
        "tied": bool(fields.get("share_input_output_layers", True)),
        "norm_eps": 1e-6,
        "rope_theta": fields.get("rope_freq_constant", 10_000),
    }


def _divisible(size: float, step: int) -> int:
    """The nearest multiple of a step, one more where that takes off a tenth."""
    found = max(step, int(size + step / 2) // step * step)
    return found + step if found < 0.9 * size else found


def _mobilellm(fields: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(shared := fields.get("layer_sharing") or False, bool):
        raise BadArchitecture(f"layer_sharing: got {str(shared)[:40]}, wanted true (each block runs twice) or false")
    depth, width, heads = (_whole(fields, f) for f in ("num_hidden_layers", "hidden_size", "num_attention_heads"))
    if depth > MOST:
        raise BadArchitecture(f"num_hidden_layers: got {depth}, wanted at most {MOST}")
    tied = fields.get("share_embedding", fields.get("tie_word_embeddings", False))
    return {
        **_common(fields, depth, width),
        "n_head": [heads] * depth,
        "n_kv_head": [_whole(fields, "num_key_value_heads")] * depth,
        "d_ffn": [_whole(fields, "intermediate_size")] * depth,
        "head_dim": fields.get("head_dim") or width // heads,
        "tied": bool(tied),
        "norm_eps": fields.get("rms_norm_eps", 1e-5),
        "runs": 1 + shared,
    }


def _common(fields: Mapping[str, Any], depth: int, width: int) -> dict[str, Any]:
    return {
        "n_layer": depth,
        "d_model": width,
        "n_token": _whole(fields, "vocab_size"),
        "tgt_len": fields.get("max_position_embeddings", 2048),
        "tied": bool(fields.get("tie_word_embeddings", False)),
        "rope_theta": fields.get("rope_theta", 10_000),
    }


def _rotary(fields: Mapping[str, Any]) -> str | None:
    """The kind of scaling of rotary positions, if there is one."""
    scaling = fields.get("rope_scaling")
    if not isinstance(scaling, Mapping):
        return None
    kind = str(scaling.get("rope_type", scaling.get("type", "default")))[:40]
    return None if kind == "default" else kind


def _whole(fields: Mapping[str, Any], name: str, where: str = "") -> int:
    value = fields.get(name)
    if not is_whole(value) or not 0 < value <= 1 << 20:
        raise BadArchitecture(f"{where}{name}: got {str(value)[:40]}, wanted a whole number from 1")
    return int(value)


def _list(fields: Mapping[str, Any], name: str) -> list[Any]:
    value = fields.get(name)
    if not isinstance(value, list) or not 0 < len(value) <= MOST:
        raise BadArchitecture(f"{name}: got {str(value)[:40]}, wanted a list with an entry for each block")
    return value


RELATIVES: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "mobilellm": _mobilellm,
    "nemotron-nas": _nemotron_nas,
    "openelm": _openelm,
}
"""Readers by model_type."""
