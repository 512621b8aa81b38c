"""Weights of a trained LLaMA network cut to narrower feed-forward layers, as LoNAS cuts them: of every gate and up map
the first rows, of every down map the first columns. The embedded supernet of llama-elastic is read here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import nn

from models.architecture import Architecture, BadArchitecture
from models.spaces.llama.configuration import DEFAULTS
from storage.files import BadFile, read_limited

__all__ = ["MAX_WEIGHTS", "SUPERNET", "SUPERNET_FILE", "elastic_tensors", "fill", "sliced", "subnet"]

SUPERNET_FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "data" / "llama-elastic.safetensors"
SUPERNET_DIGEST = "c9f51426bb6044cceedcb905caff2610b16e18609bfecb3ab026cafe140d8dea"
MAX_WEIGHTS = 8 << 20  # bytes
FULL = 384
SUPERNET: Mapping[str, Any] = {
    "n_layer": 8,
    "d_model": 128,
    "n_head": [4] * 8,
    "n_kv_head": [2] * 8,
    "d_ffn": [FULL] * 8,
    "n_token": 256,
    "tgt_len": 128,
    **DEFAULTS,
}
FREE = "d_ffn"  # the one field in which subnets differ


def subnet(widths: Sequence[int]) -> dict[str, Any]:
    """The configuration of the supernet with these feed-forward widths."""
    return {**SUPERNET, FREE: list(widths)}


def sliced(tensors: Mapping[str, torch.Tensor], widths: Sequence[int]) -> dict[str, torch.Tensor]:
    """The tensors of a network, by Hugging Face's names, with block l cut to `widths[l]` feed-forward units; views."""
    found = dict(tensors)
    for block, width in enumerate(widths):
        name = f"model.layers.{block}.mlp."
        for rows in ("gate_proj.weight", "up_proj.weight"):
            found[name + rows] = found[name + rows][:width]
        found[name + "down_proj.weight"] = found[name + "down_proj.weight"][:, :width]
    return found


@torch.no_grad()
def fill(network: nn.Module, tensors: Mapping[str, torch.Tensor], prefix: str = "") -> None:
    """Copy tensors of the same names and shapes into a network, or into a part of one whose names begin with `prefix`
    there, in its own precision."""
    for name, parameter in network.named_parameters():
        parameter.copy_(tensors[prefix + name])


def elastic_tensors(architecture: Architecture) -> dict[str, torch.Tensor]:
    """The trained weights of a subnet of llama-elastic, float16; BadArchitecture unless it is one."""
    stored = _supernet()
    config = architecture.config
    if other := sorted(config.keys() - SUPERNET.keys()):
        raise BadArchitecture(
            f"{architecture.id}: {other[0]}: the build as_trained has weights for networks without this field only, "
            "those of llama-elastic; take the build as_initialised"
        )
    for field, value in SUPERNET.items():
        wanted = tuple(value) if isinstance(value, list) else value
        if field != FREE and config[field] != wanted:
            raise BadArchitecture(
                f"{architecture.id}: {field}: got {config[field]!r}, but the build as_trained has weights for "
                f"{wanted!r} only, the supernet of llama-elastic; take the build as_initialised"
            )
    if (widest := max(config[FREE])) > FULL:
        raise BadArchitecture(f"{architecture.id}: {FREE}: got {widest}, wanted at most {FULL}, those of the supernet")
    return sliced(stored, config[FREE])


@cache
def _supernet() -> dict[str, torch.Tensor]:
    content = read_limited(SUPERNET_FILE, MAX_WEIGHTS, "the weights of llama-elastic")
    if (got := hashlib.sha256(content).hexdigest()) != SUPERNET_DIGEST:
        raise BadFile(f"{SUPERNET_FILE}: got the digest {got[:16]}, wanted {SUPERNET_DIGEST[:16]}; restore the file")
    return load(content)
