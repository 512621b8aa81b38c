"""The architectures of the embedded benchmark: levels of equal size, many shapes in each."""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Sequence
from itertools import count as count_from

from models.architecture import Architecture
from models.spaces.gpt2 import Gpt2Space

__all__ = ["sample_architectures"]

LEVELS = 25
SMALLEST, LARGEST = 50_000, 450_000  # decoder parameters of the first and the last level
TOLERANCE = 0.04  # sizes inside a level differ by at most this share, either way
PATIENCE = 50  # draws of one depth before the next has its turn
WIDTHS = tuple(range(32, 129, 16))
DEPTHS = tuple(range(1, 9))
HEADS = (1, 2, 4, 8)
INNER_LOW, INNER_HIGH, INNER_STEP = 64, 512, 8

SPACE = Gpt2Space()

# Relative d_inner of a block at position p in [0, 1] of the stack; s in [0, 1] is the steepness.
PROFILES: dict[str, Callable[[float, float, random.Random], float]] = {
    "flat": lambda p, s, rng: 1.0,
    "rising": lambda p, s, rng: 1 + s * (2 * p - 1),
    "falling": lambda p, s, rng: 1 - s * (2 * p - 1),
    "bulging": lambda p, s, rng: 1 + s * (1 - 4 * abs(p - 0.5)),
    "pinched": lambda p, s, rng: 1 - s * (1 - 4 * abs(p - 0.5)),
    "random": lambda p, s, rng: 1 + s * rng.uniform(-1, 1),
}


def sample_architectures(count: int = 500, seed: int = 2026) -> tuple[Architecture, ...]:
    """`count` distinct architectures: 25 levels of nearly equal decoder size, each feasible depth in turn."""
    rng = random.Random(seed)
    chosen: dict[str, Architecture] = {}
    for index in range(count):
        architecture = _draw_new(f"mini-{index:03d}", _target(index * LEVELS // count), index, chosen, rng)
        chosen[architecture.digest] = architecture
    return tuple(chosen.values())


def _draw_new(id: str, target: int, turn: int, taken: Container[str], rng: random.Random) -> Architecture:
    """An architecture of the depth whose turn it is; of the next depth where that one is used up."""
    draws = (_draw(id, target, attempt // PATIENCE, rng) for attempt in count_from(turn * PATIENCE))
    return next(a for a in draws if a is not None and a.digest not in taken)


def _target(level: int) -> int:
    """Decoder parameters of a level, in geometric progression."""
    return round(SMALLEST * (LARGEST / SMALLEST) ** (level / (LEVELS - 1)))


def _draw(id: str, target: int, turn: int, rng: random.Random) -> Architecture | None:
    """An architecture of about `target` decoder parameters, or None where rounding or a limit misses it."""
    shapes = {depth: widths for depth in DEPTHS if (widths := _feasible_widths(depth, target))}
    depth = list(shapes)[turn % len(shapes)]
    width = rng.choice(shapes[depth])
    config = {
        "n_layer": depth,
        "d_model": width,
        "d_embed": width,
        "div_val": 1,
        "n_head": _heads(depth, rng),
        "d_inner": _inner_widths(depth, _mean_inner(depth, width, target), rng),
        "n_token": 256,
        "tgt_len": 128,
        "cutoffs": [],
    }
    architecture = SPACE.architecture(id, config)
    size = SPACE.parameters(architecture).decoder
    return architecture if abs(size - target) <= TOLERANCE * target else None


def _mean_inner(depth: int, width: int, target: int) -> float:
    """The mean d_inner that brings a decoder of this depth and width to `target` parameters."""
    fixed = depth * (4 * width * width + 4 * width + width) + (2 * depth + 1) * 2 * width
    return (target - fixed) / (depth * (2 * width + 1))


def _feasible_widths(depth: int, target: int) -> Sequence[int]:
    """Widths for which the mean d_inner stays inside the limits."""
    return [w for w in WIDTHS if INNER_LOW <= _mean_inner(depth, w, target) <= INNER_HIGH]


def _inner_widths(depth: int, mean: float, rng: random.Random) -> list[int]:
    """One d_inner per block, following a drawn profile around `mean`."""
    profile, steepness = PROFILES[rng.choice(list(PROFILES))], rng.uniform(0.3, 0.9)
    widths = [mean * profile(i / max(depth - 1, 1), steepness, rng) for i in range(depth)]
    rescale = mean * depth / sum(widths)
    return [min(INNER_HIGH, max(INNER_LOW, INNER_STEP * round(w * rescale / INNER_STEP))) for w in widths]


def _heads(depth: int, rng: random.Random) -> list[int]:
    """One head count per block: the same everywhere, or drawn for each."""
    if rng.random() < 0.5:
        return [rng.choice(HEADS)] * depth
    return [rng.choice(HEADS) for _ in range(depth)]
