"""Families of nested networks: one size grows, all others stay, so that each network contains the one before it.

They have no labels. What they are for is a belief that a formula can be held to: of two networks that differ in one
size alone, the larger one is no worse.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from models.architecture import Architecture
from models.spaces import SPACES

__all__ = ["NESTED", "SIZES", "NestedFamily", "nested_families"]

SIZES = ("depth", "width", "ffn")
SHARES = (0.5, 1.0)  # of the size of the largest of a family
TIMES = 8  # largest networks, each of which has a family per size
DEPTHS, WIDTHS, FFN = (4, 8), (64, 128, 256), (1, 2, 4)  # of the largest; feed-forward width as a multiple of the width
TOKENS = (1, 20, 400)  # training tokens of a family, per parameter of the blocks of its largest network


@dataclass(frozen=True)
class NestedFamily:
    """Networks in rising order of one size."""

    size: str
    architectures: tuple[Architecture, ...]


@dataclass(frozen=True)
class Growth:
    """Growth of a family in a space: a function that draws its largest network, and the fields of its width and of its
    feed-forward width (a number per block)."""

    largest: Callable[[random.Random, int, int, int], dict[str, Any]]
    width: tuple[str, ...]
    ffn: str


def _decoder(rng: random.Random, depth: int, width: int, length: int) -> dict[str, Any]:
    lists = {"n_head": [rng.choice((2, 4)) for _ in range(depth)], "d_inner": _feeding(rng, depth, width)}
    whole = {"n_layer": depth, "d_model": width, "d_embed": width, "div_val": 1, "cutoffs": ()}
    return {**whole, **lists, "n_token": 256, "tgt_len": length}


def _llama(rng: random.Random, depth: int, width: int, length: int) -> dict[str, Any]:
    heads = [rng.choice((2, 4)) for _ in range(depth)]
    lists = {"n_head": heads, "n_kv_head": [n // rng.choice((1, 2)) for n in heads]}
    whole = {"n_layer": depth, "d_model": width, "n_token": 256, "tgt_len": length}
    return {**whole, **lists, "d_ffn": _feeding(rng, depth, width)}


def _encoder(rng: random.Random, depth: int, width: int, length: int) -> dict[str, Any]:
    lists: dict[str, list[Any]] = {"heads": [rng.choice((2, 4)) for _ in range(depth)]}
    lists |= {"operation": ["SDP"] * depth, "ffn_stack": [rng.choice((2, 3)) for _ in range(depth)]}
    return {"hidden_size": width, **lists, "ffn_dim": _feeding(rng, depth, width)}


def _feeding(rng: random.Random, depth: int, width: int) -> list[int]:
    return [rng.choice(FFN) * width for _ in range(depth)]


NESTED: dict[str, Growth] = {
    "gpt2": Growth(_decoder, ("d_model", "d_embed"), "d_inner"),
    "llama": Growth(_llama, ("d_model",), "d_ffn"),
    "flexibert": Growth(_encoder, ("hidden_size",), "ffn_dim"),
}
"""The spaces that have families."""


def nested_families(space: str, length: int) -> tuple[NestedFamily, ...]:
    """The families of a space, TIMES for each of SIZES, always the same ones, whose networks read sequences of
    `length` bytes. The largest have 4 or 8 blocks and are 64 to 256 wide; all of a family are trained for the same
    tokens, 1, 20 or 400 for each parameter of the largest, which only formulas with T read."""
    rng, found = random.Random(f"nested:{space}"), []
    for number in range(TIMES):
        largest = NESTED[space].largest(rng, rng.choice(DEPTHS), rng.choice(WIDTHS), length)
        for size in SIZES:
            configs = [_smaller(space, largest, size, share) for share in SHARES]
            members = [SPACES[space].architecture(f"{size}-{number}-{i}", c) for i, c in enumerate(configs)]
            tokens = float(TOKENS[number % len(TOKENS)] * SPACES[space].parameters(members[-1]).decoder)
            found.append(NestedFamily(size, tuple(replace(member, tokens=tokens) for member in members)))
    return tuple(found)


def _smaller(space: str, config: Mapping[str, Any], size: str, share: float) -> dict[str, Any]:
    """The configuration with a share of one of its sizes."""
    growth, fields = NESTED[space], SPACES[space].fields
    smaller = dict(config)
    if size == "width":
        smaller |= {name: int(share * config[name]) for name in growth.width}
    elif size == "ffn":
        smaller[growth.ffn] = [int(share * width) for width in config[growth.ffn]]
    elif fields is not None:
        blocks = int(share * fields.length(config))
        smaller |= {name: config[name][:blocks] for name in fields.per_block}
        smaller |= {fields.depth: blocks} if fields.depth else {}
    return smaller
