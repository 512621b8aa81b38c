"""Visits: a network is built and run once, by one process, and every taker keeps what it wants of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from fitness.features.bank import FeatureBank, sketch_features
from fitness.features.collect import Features, collect
from models.architecture import Architecture
from models.spaces import SPACES
from models.tokens import TokenBatch

__all__ = ["SketchTaker", "Taker", "Visit", "VisitState", "Visited", "visit"]


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
    """What somebody wants of networks, and keeps in the bank; it travels to worker processes."""

    def lacks(self, bank: FeatureBank, architecture: Architecture) -> bool:
        """Whether the bank lacks some of it."""
        ...

    def take(self, bank: FeatureBank, architecture: Architecture, visited: Visited) -> None:
        """Write what the bank lacks of it."""
        ...

    def damaged(self, bank: FeatureBank, architecture: Architecture) -> Path | None:
        """The file that should hold it, if it is there and not to be trusted."""
        ...


class SketchTaker:
    """The sketch of a network."""

    def lacks(self, bank: FeatureBank, architecture: Architecture) -> bool:
        return bank.load_sketch(architecture) is None

    def take(self, bank: FeatureBank, architecture: Architecture, visited: Visited) -> None:
        bank.save_sketch(architecture, sketch_features(visited.features))

    def damaged(self, bank: FeatureBank, architecture: Architecture) -> Path | None:
        path = bank.sketches.path(bank.entry(architecture))
        return path if path.exists() and self.lacks(bank, architecture) else None


@dataclass(frozen=True)
class Visit:
    """What one worker does with one network; `wait` for another process that works on the same one."""

    bank: FeatureBank
    batch: TokenBatch
    architecture: Architecture
    takers: Sequence[Taker]
    wait: bool = False


class VisitState(Enum):
    """How a visit ended."""

    MADE = "this process did the work"
    FOUND = "another process did it meanwhile"
    BUSY = "another process is doing it"


def visit(task: Visit, device: str) -> VisitState:
    """Build the network once; write what the bank still lacks, as the only process that works on it."""
    bank, architecture = task.bank, task.architecture
    with bank.claim(architecture, task.wait) as mine:
        if not mine:
            return VisitState.BUSY
        lacking = [taker for taker in task.takers if taker.lacks(bank, architecture)]
        if not lacking:
            return VisitState.FOUND
        visited = Visited.run(architecture, task.batch, bank.key.init_seed, bank.key.build, device)
        for taker in lacking:
            taker.take(bank, architecture, visited)
        return VisitState.MADE
