"""Visits: a network is built and run once, by one worker, and every taker takes what it wants of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from engine.repeatable import repeatable
from fitness.features.bank import FeatureBank, SketchEntry, sketch_features
from fitness.features.collect import FeatureError, Features, collect
from models.architecture import Architecture
from models.spaces import SPACES
from models.tokens import TokenBatch

__all__ = ["SketchTaker", "Taker", "Visit", "Visited", "visit"]


@dataclass(frozen=True, eq=False)
class Visited:
    """An untrained network in eval mode, the token batch (B, T) on its device, and the features collected from both
    in `seconds`. Most proxies read the features; some run passes of their own."""

    model: nn.Module
    tokens: torch.Tensor
    features: Features
    seconds: float = 0.0

    @classmethod
    def run(
        cls, architecture: Architecture, batch: TokenBatch, init_seed: int = 0, build: str | None = None,
        device: str = "cpu",
    ) -> Visited:  # fmt: skip
        """Build the network and collect its features; the time to build it is not counted."""
        model: Any = SPACES[architecture.space].build(architecture, init_seed, build)
        model.to(device).eval()
        start = time.perf_counter()
        features = collect(model, batch)
        return cls(model, batch.tokens.to(device), features, time.perf_counter() - start)

    @property
    def sequences(self) -> int:
        """B, the number of sequences in the batch."""
        return self.tokens.shape[0]

    @cached_property
    def overflows(self) -> bool:
        """Whether the network produces NaN or infinities: then nothing that reads its features is a score."""
        return not self.features.finite


class Taker(Protocol):
    """What somebody wants of networks. It travels to workers, which take it; the bank is written by its owner."""

    def lacking(self, bank: FeatureBank, architecture: Architecture) -> Taker | None:
        """The taker of what the bank lacks; None where it has all."""
        ...

    def take(self, visited: Visited) -> Any:
        """What there is to keep of a network: plain data and arrays."""
        ...

    def keep(self, bank: FeatureBank, architecture: Architecture, taken: Any) -> None:
        """Write what was taken."""
        ...

    def damaged(self, bank: FeatureBank, architecture: Architecture) -> Path | None:
        """The file that should hold it, if it is there and not to be trusted."""
        ...


class SketchTaker:
    """The sketch of a network."""

    def lacking(self, bank: FeatureBank, architecture: Architecture) -> SketchTaker | None:
        return self if bank.load_sketch(architecture) is None else None

    def take(self, visited: Visited) -> SketchEntry:
        return sketch_features(visited.features)

    def keep(self, bank: FeatureBank, architecture: Architecture, taken: SketchEntry) -> None:
        bank.save_sketch(architecture, taken)

    def damaged(self, bank: FeatureBank, architecture: Architecture) -> Path | None:
        path = bank.sketches.path(bank.entry(architecture))
        return path if path.exists() and bank.load_sketch(architecture) is None else None


@dataclass(frozen=True)
class Visit:
    """What a worker does with one network, as plain data: it can be sent anywhere, and needs no file there."""

    architecture: Architecture
    batch: TokenBatch
    init_seed: int
    build: str
    takers: Sequence[Taker]

    def __str__(self) -> str:
        return self.architecture.id


def visit(task: Visit, device: str) -> list[Any]:
    """What each taker takes, from a network that is built once. FeatureError if the device is too small for it."""
    try:
        with repeatable(device):
            visited = Visited.run(task.architecture, task.batch, task.init_seed, task.build, device)
            return [taker.take(visited) for taker in task.takers]
    except torch.OutOfMemoryError:
        raise FeatureError(
            f"{task.architecture.id}: takes more memory than {device} has; use a larger device or the CPU, lower "
            "--batch or --seq-len, or leave it out"
        ) from None
