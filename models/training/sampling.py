"""The architectures of the embedded benchmarks: levels of equal size, many shapes in each."""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import count as count_from
from typing import Any

from models.architecture import Architecture
from models.spaces import SPACES

__all__ = ["GPT2_MINI", "LLAMA_MINI", "Family", "draw_of_size", "sample_architectures"]

LEVELS = 25
TOLERANCE = 0.04  # sizes inside a level differ by at most this share, either way
PATIENCE = 50  # draws of one depth before the next has its turn
INNER_STEP = 8
WIDTHS = tuple(range(32, 129, 16))
DEPTHS = tuple(range(1, 9))
HEADS = (1, 2, 4, 8)
Blocks = Mapping[str, list[int]]


@dataclass(frozen=True)
class Family:
    """Distribution of the shapes of one benchmark, and the field names of its space.

    `smallest` and `largest` are the decoder parameters of the first and the last level; `inner` the limits and the name
    of the feed-forward width of a block, `per_unit` the parameters of one unit of it at a width; `heads` draws the
    other fields per block; `fixed` counts the decoder parameters without feed-forward units.
    """

    prefix: str
    space: str
    smallest: int
    largest: int
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    inner: tuple[str, int, int]
    per_unit: Callable[[int], int]
    heads: Callable[[int, random.Random], Blocks]
    fixed: Callable[[int, int, Blocks], int]
    rest: Callable[[int], Mapping[str, Any]]

    def mean_inner(self, depth: int, width: int, target: int, heads: Blocks) -> float:
        """The mean feed-forward width that brings a decoder of this depth and width to `target` parameters."""
        return (target - self.fixed(depth, width, heads)) / (depth * self.per_unit(width))

    def feasible_widths(self, depth: int, target: int) -> Sequence[int]:
        """Widths for which the mean feed-forward width stays inside the limits, if no heads share anything."""
        _, low, high = self.inner
        return [w for w in self.widths if low <= self.mean_inner(depth, w, target, {}) <= high]


# Relative d_inner of a block at position p in [0, 1] of the stack; s in [0, 1] is the steepness.
PROFILES: dict[str, Callable[[float, float, random.Random], float]] = {
    "flat": lambda p, s, rng: 1.0,
    "rising": lambda p, s, rng: 1 + s * (2 * p - 1),
    "falling": lambda p, s, rng: 1 - s * (2 * p - 1),
    "bulging": lambda p, s, rng: 1 + s * (1 - 4 * abs(p - 0.5)),
    "pinched": lambda p, s, rng: 1 - s * (1 - 4 * abs(p - 0.5)),
    "random": lambda p, s, rng: 1 + s * rng.uniform(-1, 1),
}


def sample_architectures(count: int = 500, seed: int = 2026, family: Family | None = None) -> tuple[Architecture, ...]:
    """`count` distinct architectures of a family (that of gpt2-mini): 25 levels of nearly equal decoder size, each
    feasible depth in turn."""
    rng, family = random.Random(seed), family or GPT2_MINI
    chosen: dict[str, Architecture] = {}
    for index in range(count):
        target = _target(index * LEVELS // count, family)
        architecture = _draw_new(f"{family.prefix}-{index:03d}", target, index, chosen, rng, family)
        chosen[architecture.digest] = architecture
    return tuple(chosen.values())


def _draw_new(
    id: str, target: int, turn: int, taken: Container[str], rng: random.Random, family: Family
) -> Architecture:
    """An architecture of the depth whose turn it is; of the next depth where that one is used up."""
    draws = (draw_of_size(id, target, attempt // PATIENCE, rng, family) for attempt in count_from(turn * PATIENCE))
    return next(a for a in draws if a is not None and a.digest not in taken)


def _target(level: int, family: Family) -> int:
    """Decoder parameters of a level, in geometric progression."""
    return round(family.smallest * (family.largest / family.smallest) ** (level / (LEVELS - 1)))


def draw_of_size(id: str, target: int, turn: int, rng: random.Random, family: Family) -> Architecture | None:
    """An architecture of about `target` decoder parameters, or None where rounding or a limit misses it."""
    shapes = {depth: widths for depth in family.depths if (widths := family.feasible_widths(depth, target))}
    depth = list(shapes)[turn % len(shapes)]
    width = rng.choice(shapes[depth])
    heads, (name, *_) = family.heads(depth, rng), family.inner
    inner = _inner_widths(depth, family.mean_inner(depth, width, target, heads), rng, family)
    config = {"n_layer": depth, "d_model": width, **heads, name: inner, **family.rest(width)}
    space = SPACES[family.space]
    architecture = space.architecture(id, config)
    size = space.parameters(architecture).decoder
    return architecture if abs(size - target) <= TOLERANCE * target else None


def _inner_widths(depth: int, mean: float, rng: random.Random, family: Family) -> list[int]:
    """One feed-forward width per block, following a drawn profile around `mean`."""
    profile, steepness = PROFILES[rng.choice(list(PROFILES))], rng.uniform(0.3, 0.9)
    widths = [mean * profile(i / max(depth - 1, 1), steepness, rng) for i in range(depth)]
    rescale, (_, low, high) = mean * depth / sum(widths), family.inner
    return [min(high, max(low, INNER_STEP * round(w * rescale / INNER_STEP))) for w in widths]


def _heads(depth: int, rng: random.Random) -> Blocks:
    """One head count per block: the same everywhere, or drawn for each."""
    if rng.random() < 0.5:
        return {"n_head": [rng.choice(HEADS)] * depth}
    return {"n_head": [rng.choice(HEADS) for _ in range(depth)]}


def _grouped_heads(depth: int, rng: random.Random) -> Blocks:
    """Heads and key-value heads per block; one to eight query heads share a key-value head."""
    heads, same = _heads(depth, rng)["n_head"], rng.random() < 0.5
    groups = [rng.choice(HEADS)] * depth if same else [rng.choice(HEADS) for _ in range(depth)]
    return {"n_head": heads, "n_kv_head": [max(1, h // g) for h, g in zip(heads, groups, strict=True)]}


def _fixed_gpt2(depth: int, width: int, heads: Blocks) -> int:
    return depth * (4 * width * width + 4 * width + width) + (2 * depth + 1) * 2 * width


def _fixed_llama(depth: int, width: int, heads: Blocks) -> int:
    shares = [s / h for h, s in zip(heads["n_head"], heads["n_kv_head"], strict=True)] if heads else [1.0] * depth
    return round(sum(2 * width * width * (1 + share) for share in shares)) + (2 * depth + 1) * width


GPT2_MINI = Family(
    "mini",
    "gpt2",
    50_000,
    450_000,
    WIDTHS,
    DEPTHS,
    ("d_inner", 64, 512),
    lambda width: 2 * width + 1,
    _heads,
    _fixed_gpt2,
    lambda width: {"d_embed": width, "div_val": 1, "n_token": 256, "tgt_len": 128, "cutoffs": []},
)
LLAMA_MINI = Family(
    "llama",
    "llama",
    25_000,
    160_000,
    tuple(range(32, 113, 16)),
    tuple(range(1, 6)),
    ("d_ffn", 32, 256),
    lambda width: 3 * width,
    _grouped_heads,
    _fixed_llama,
    lambda width: {"n_token": 256, "tgt_len": 128},
)
