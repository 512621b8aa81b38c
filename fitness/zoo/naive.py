"""Naive baselines: what counting alone achieves. A proxy that does not beat these has learnt nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from models.architecture import Architecture
from models.spaces import SPACES

__all__ = ["NAIVE", "naive_scores"]

Count = Callable[[Architecture, str | None], float]


def _parameters(role: str) -> Count:
    def count(architecture: Architecture, build: str | None) -> float:
        return float(getattr(SPACES[architecture.space].parameters(architecture, build), role))

    return count


def _shape(place: int) -> Count:
    return lambda architecture, build: float(SPACES[architecture.space].shape(architecture)[place])


def _depth_then_width(architecture: Architecture, build: str | None) -> float:
    """Lexicographic: width decides only between networks of equal depth."""
    depth, width = SPACES[architecture.space].shape(architecture)
    return depth + width / 1e6


def _flops(architecture: Architecture, build: str | None) -> float:
    """Two per multiply-add, for the longest sequence that the architecture reads."""
    space = SPACES[architecture.space]
    return 2.0 * space.multiply_adds(architecture, space.limits(architecture)[0], build)


def _attention_times_ffn(architecture: Architecture, build: str | None) -> float:
    count = SPACES[architecture.space].parameters(architecture, build)
    return float(count.attention) * float(count.ffn)


NAIVE: dict[str, tuple[str, Count]] = {
    "#params": ("all parameters", _parameters("total")),
    "decoder params": ("parameters of the blocks, without embeddings", _parameters("decoder")),
    "attention params": ("parameters of the attention layers", _parameters("attention")),
    "FFN params": ("parameters of the feed-forward layers", _parameters("ffn")),
    "attention x FFN": ("attention parameters times FFN parameters", _attention_times_ffn),
    "FLOPs": ("matrix products of the blocks, for the longest sequence", _flops),
    "depth": ("number of blocks", _shape(0)),
    "width": ("model width", _shape(1)),
    "depth, then width": ("depth, ties broken by width", _depth_then_width),
}
"""Name -> (what is counted, count(architecture, build))."""


def naive_scores(name: str, architectures: Sequence[Architecture], build: str | None = None) -> np.ndarray:
    """(N,) counts; larger is expected to be better."""
    return np.array([NAIVE[name][1](architecture, build) for architecture in architectures])
