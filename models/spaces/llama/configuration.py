"""Configurations of the space `llama`: checked, and the sizes that follow from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from models.architecture import Architecture, BadArchitecture
from models.spaces.space import check_choice, check_fields, check_int, check_list

__all__ = [
    "DEFAULTS",
    "MOST_BLOCKS",
    "NAME",
    "ORDERS",
    "attention_maps",
    "checked",
    "described",
    "full_ffn",
    "head_widths",
    "is_cut",
    "run_blocks",
]

NAME = "llama"
MOST_BLOCKS = 128
MOST_RUNS = 4
ORDERS = ("first", "magnitude", "activation")  # by which units are kept
DEFAULTS: Mapping[str, Any] = {"tied": False, "norm": "rms", "norm_eps": 1e-6, "rope_theta": 10_000}


def checked(config: Mapping[str, Any]) -> dict[str, Any]:
    """The normalised configuration; BadArchitecture names the first bad field."""
    known = ("n_layer", "d_model", "n_head", "n_kv_head", "d_ffn", "n_token", "tgt_len", *DEFAULTS)
    check_fields(config, *known, "head_dim", "runs", "keep", "order")
    config = {**DEFAULTS, **config}
    if isinstance(theta := config["rope_theta"], float) and theta.is_integer():
        config["rope_theta"] = int(theta)  # as the library writes it
    n_layer = check_int(config, "n_layer", 1, MOST_BLOCKS)
    found = {
        "n_layer": n_layer,
        "d_model": check_int(config, "d_model", 4, 16384),
        "n_head": check_list(config, "n_head", n_layer, 0, 1024),
        "n_kv_head": check_list(config, "n_kv_head", n_layer, 0, 1024),
        "d_ffn": check_list(config, "d_ffn", n_layer, 0, 65536),
        "n_token": check_int(config, "n_token", 2, 1_000_000),
        "tgt_len": check_int(config, "tgt_len", 1, 1 << 20),
        "tied": check_choice(config, "tied", (False, True)),
        "norm": check_choice(config, "norm", ("rms", "layer")),
        "norm_eps": check_choice(config, "norm_eps", (1e-5, 1e-6)),
        "rope_theta": check_int(config, "rope_theta", 1, 10**9),
    }
    found |= _cut(config, n_layer) | _head_dim(config, found) | _runs(config)
    _check_halves(found)
    _check_heads(found)
    return found


def described(id: str, config: Mapping[str, Any]) -> Architecture:
    """A checked architecture of the space."""
    return Architecture.create(id, NAME, checked(config))


def full_ffn(d_model: int) -> int:
    """LLaMA's width of a gated feed-forward layer: two thirds of 4 d_model, the next multiple of 64."""
    return 64 * math.ceil(8 * d_model / 3 / 64)


def head_widths(config: Mapping[str, Any]) -> list[int]:
    """The width of a head, block by block; 0 in a block without attention."""
    return [heads and config.get("head_dim", config["d_model"] // heads) for heads in config["n_head"]]


def attention_maps(config: Mapping[str, Any]) -> list[int]:
    """Entries of q, k, v and o together, block by block."""
    sizes = zip(config["n_head"], config["n_kv_head"], head_widths(config), strict=True)
    return [2 * config["d_model"] * (heads + shared) * width for heads, shared, width in sizes]


def _head_dim(config: Mapping[str, Any], checked: Mapping[str, Any]) -> dict[str, int]:
    """The field `head_dim`, where heads are not D / n_head wide anyway: one network has one description."""
    if config.get("head_dim") is None:
        return {}
    width = check_int(config, "head_dim", 2, 16384)
    usual = all(checked["d_model"] // heads == width for heads in checked["n_head"] if heads)
    return {} if usual else {"head_dim": width}


def run_blocks(config: Mapping[str, Any]) -> list[int]:
    """The blocks (indices) in the order in which a network runs them: each `runs` times in a row."""
    return [block for block in range(config["n_layer"]) for _ in range(config.get("runs", 1))]


def _runs(config: Mapping[str, Any]) -> dict[str, int]:
    """The field `runs`, where blocks run more than once."""
    if config.get("runs") is None or (runs := check_int(config, "runs", 1, MOST_RUNS)) == 1:
        return {}
    if config.get("keep") is not None or config.get("order") not in (None, ORDERS[0]):
        raise BadArchitecture(f"runs: got {runs}, wanted 1 in a subnet")
    return {"runs": runs}


def _cut(config: Mapping[str, Any], n_layer: int) -> dict[str, Any]:
    """The fields of a subnet, those that a configuration has."""
    found: dict[str, Any] = {}
    if config.get("keep") is not None:
        found["keep"] = keep = check_list(config, "keep", n_layer, 0, 1023)
        for left, right in pairwise(keep):
            if left >= right:
                said = "block {0} twice" if left == right else "block {1} after block {0}"
                raise BadArchitecture(f"keep: got {said.format(left, right)}, wanted each block once, in rising order")
    if config.get("order") is not None and check_choice(config, "order", ORDERS) != ORDERS[0]:
        found["order"] = config["order"]
    return found


def _check_halves(config: Mapping[str, Any]) -> None:
    """Refuse a block without attention and FFN, heads without keys and values, and subnets with such blocks."""
    for i, (heads, shared, ffn) in enumerate(zip(*(config[f] for f in ("n_head", "n_kv_head", "d_ffn")), strict=True)):
        if not heads and not ffn:
            raise BadArchitecture(f"d_ffn[{i}]: got 0 in a block without heads, wanted attention or an FFN in each")
        if bool(heads) != bool(shared):
            raise BadArchitecture(
                f"n_kv_head[{i}]: got {shared}, wanted {'at least 1' if heads else '0'} with n_head[{i}] = {heads}"
            )
        if not (heads and ffn) and is_cut(config):
            raise BadArchitecture(
                f"{'d_ffn' if heads else 'n_head'}[{i}]: got 0, wanted at least 1 in a subnet; drop the block"
            )


def _check_heads(config: Mapping[str, Any]) -> None:
    """Refuse heads that rotary positions cannot turn, and groups of heads that do not divide."""
    D, widths = config["d_model"], head_widths(config)
    for i, (heads, shared) in enumerate(zip(config["n_head"], config["n_kv_head"], strict=True)):
        if not heads:
            continue
        if not widths[i] or widths[i] % 2:
            raise BadArchitecture(
                f"n_head[{i}]: got {heads}, so heads of {widths[i]} features at d_model = {D}, wanted an even number"
            )
        if heads % shared:
            raise BadArchitecture(f"n_kv_head[{i}]: got {shared}, wanted a divisor of n_head[{i}] = {heads}")


def is_cut(config: Mapping[str, Any]) -> bool:
    """True if a configuration says of itself that it is a subnet."""
    return "keep" in config or "order" in config
