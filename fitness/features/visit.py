"""Visits: a network is built and run once, by one process, and every taker keeps what it wants of it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from fitness.features.bank import FeatureBank, SketchEntry, joined, sketch_features
from fitness.features.collect import Features, collect
from fitness.features.streaming import Block, stream
from models.architecture import Architecture
from models.spaces import PARTED, SPACES, WEIGHTED
from models.spaces.checkpoint import Checkpoint
from models.tokens import TokenBatch

__all__ = ["Reader", "SketchTaker", "Taker", "Visit", "VisitState", "Visited", "visit"]


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
        device: str = "cpu", weights: Checkpoint | None = None,
    ) -> Visited:  # fmt: skip
        """Build the network, or load its weights, and collect its features; the time for that is not counted."""
        model: Any = (
            SPACES[architecture.space].build(architecture, init_seed, build)
            if weights is None
            else WEIGHTED[architecture.space].loaded(architecture, weights)
        )
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


class Reader(Protocol):
    """What reads a network whose blocks pass by, the last one first."""

    def see(self, index: int, block: Block) -> None:
        """Reduce what block `index` shows to a few numbers."""
        ...

    def done(self, loss: float, finite: bool) -> None:
        """Write what was found to the bank; `finite` unless the network overflows."""
        ...


class Taker(Protocol):
    """What somebody wants of networks, and keeps in the bank; it travels to worker processes."""

    def lacks(self, bank: FeatureBank, architecture: Architecture) -> bool:
        """Whether the bank lacks some of it."""
        ...

    def take(self, bank: FeatureBank, architecture: Architecture, visited: Visited) -> None:
        """Write what the bank lacks of it."""
        ...

    def reader(self, bank: FeatureBank, architecture: Architecture) -> Reader | None:
        """What takes it from blocks that pass by; None where the whole network is needed."""
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

    def reader(self, bank: FeatureBank, architecture: Architecture) -> Reader | None:
        return SketchReader(bank, architecture)

    def damaged(self, bank: FeatureBank, architecture: Architecture) -> Path | None:
        path = bank.sketches.path(bank.entry(architecture))
        return path if path.exists() and self.lacks(bank, architecture) else None


class SketchReader:
    """The sketch of a network whose blocks pass by."""

    def __init__(self, bank: FeatureBank, architecture: Architecture) -> None:
        self.bank, self.architecture, self.blocks = bank, architecture, dict[int, SketchEntry]()

    def see(self, index: int, block: Block) -> None:
        self.blocks[index] = sketch_features(Features((dict(block),), 0.0))

    def done(self, loss: float, finite: bool) -> None:
        self.bank.save_sketch(self.architecture, joined([self.blocks[i] for i in sorted(self.blocks)], loss))


@dataclass(frozen=True)
class Visit:
    """What one worker does with one network, which has the weights of a checkpoint if there is one and is `streamed`
    block by block if told so; `wait` for another process that works on the same one."""

    bank: FeatureBank
    batch: TokenBatch
    architecture: Architecture
    takers: Sequence[Taker]
    wait: bool = False
    weights: Checkpoint | None = None
    streamed: bool = False


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
        if task.streamed:
            _pass_by(task, lacking, device)
            return VisitState.MADE
        visited = Visited.run(architecture, task.batch, bank.key.init_seed, bank.key.build, device, task.weights)
        for taker in lacking:
            taker.take(bank, architecture, visited)
        return VisitState.MADE


def _pass_by(task: Visit, takers: Sequence[Taker], device: str) -> None:
    """Visit the network block by block; each block is told to be finite or not as it passes."""
    bank, architecture, finite = task.bank, task.architecture, True
    readers = [reader for taker in takers if (reader := taker.reader(bank, architecture)) is not None]

    def see(index: int, block: Block) -> None:
        nonlocal finite
        finite = finite and Features((dict(block),), 0.0).finite
        for reader in readers:
            reader.see(index, block)

    parts = PARTED[architecture.space].parts(architecture, bank.key.init_seed, bank.key.build, task.weights)
    loss = stream(parts, task.batch.tokens.to(device), see)
    for reader in readers:
        reader.done(loss, finite and math.isfinite(loss))
