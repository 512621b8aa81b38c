"""Visits: a network is built and run once, by one worker, and every taker takes what it wants of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from engine.memory import free_on
from engine.repeatable import repeatable
from fitness.features.collect import FeatureError, Features, collect, without_pass
from fitness.features.fitting import bytes_of, check_size
from fitness.features.streaming import Block, stream
from fitness.features.takers import Reader, Taker, counts_alone, letters_of, reads_gradients
from models.architecture import Architecture
from models.spaces import PARTED, SPACES, WEIGHTED
from models.spaces.checkpoint import ChangedWeights, Checkpoint
from models.spaces.shapes import shapes_alone
from models.tokens import TokenBatch
from primitives.inputs import LETTERS
from storage.errors import ZcpError

__all__ = ["Failure", "Visit", "Visited", "tried", "visit"]

LOUD = 2.0**20  # below that no sum of squares in a forward pass overflows


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
        cls,
        architecture: Architecture,
        batch: TokenBatch,
        init_seed: int = 0,
        build: str | None = None,
        device: str = "cpu",
        weights: Checkpoint | None = None,
        gradients: bool = True,
    ) -> Visited:
        """Build the network, or load its weights, and collect its features, those of a backward pass if `gradients`
        are asked for; the time of building is not counted."""
        model: Any = (
            SPACES[architecture.space].build(architecture, init_seed, build)
            if weights is None
            else WEIGHTED[architecture.space].loaded(architecture, weights)
        )
        model.to(device).eval()
        start = time.perf_counter()
        features = collect(model, batch, gradients)
        return cls(model, batch.tokens.to(device), features, time.perf_counter() - start)

    @property
    def sequences(self) -> int:
        """B, the number of sequences in the batch."""
        return self.tokens.shape[0]

    @cached_property
    def overflows(self) -> bool:
        """True if the network produces NaN or infinities: then nothing that reads its features is a score."""
        return not self.features.finite


@dataclass(frozen=True)
class Visit:
    """A task of a worker, one network, as plain data: it can be sent anywhere, and needs no file there but the
    weights of a checkpoint, if there is one. The network is `streamed` block by block if told so, or held as a
    whole."""

    architecture: Architecture
    batch: TokenBatch
    init_seed: int
    build: str
    takers: Sequence[Taker]
    weights: Checkpoint | None = None
    streamed: bool = False

    def __str__(self) -> str:
        return self.architecture.id


def visit(task: Visit, device: str) -> list[Any]:
    """Results of every taker from one build of the network. FeatureError if it does not fit on the device."""
    try:
        with repeatable(device):
            if counts_alone(task.takers) and task.weights is None and (found := _by_shapes(task)) is not None:
                return found
            if task.streamed:
                return _pass_by(task, device)
            visited = _whole(task, device)
            return [taker.take(visited) for taker in task.takers]
    except torch.OutOfMemoryError:
        raise FeatureError(
            f"{task.architecture.id}: takes more memory than {device} has; use a larger device or the CPU, lower "
            "--batch or --seq-len, or leave it out"
        ) from None


def _by_shapes(task: Visit) -> list[Any] | None:
    """Results of the takers' readers on the shapes of a network's tensors; None where some operation of the network
    wants numbers and the network is small enough to be visited."""
    architecture, readers = task.architecture, _readers(task)
    needs_pass = any(each.needs_pass for reader in readers for each in reader.inputs)
    try:
        with shapes_alone(needs_pass):
            model = SPACES[architecture.space].build(architecture, task.init_seed, task.build)
            features = collect(model, task.batch, gradients=False) if needs_pass else without_pass(model)
    except RuntimeError:
        check_size(architecture, task.streamed, False, free_on(("cpu",)))
        return None
    for index, block in enumerate(features.blocks):
        for reader in readers:
            reader.see(index, block)
    return [reader.taken(0.0, True) for reader in readers]


def _whole(task: Visit, device: str) -> Visited:
    """The network as a whole, without a backward pass where no taker reads gradients. Where some entry is LOUD, a
    gradient that nobody reads may overflow, so it is visited again with gradients, if these fit."""
    made = task.architecture, task.batch, task.init_seed, task.build, device, task.weights
    if not reads_gradients(task.takers):
        visited = Visited.run(*made, gradients=False)
        if all(_quiet(block) for block in visited.features.blocks):
            return visited
        del visited
        if (free := free_on((device,))) is not None and bytes_of(task.architecture) > free:
            raise FeatureError(
                f"{task.architecture.id}: has entries of {LOUD:,.0f} and more, so that its gradients have to be seen "
                "as well, which takes more memory than is free; use a machine with more, or leave it out"
            )
    return Visited.run(*made)


@dataclass(frozen=True)
class Failure:
    """Why a network could not be visited."""

    reason: str


def tried(task: Visit, device: str) -> list[Any] | Failure:
    """Like `visit`, but returns the reason if the network cannot be visited. A checkpoint that was changed is an error,
    because it concerns every network."""
    try:
        return visit(task, device)
    except ChangedWeights:
        raise
    except ZcpError as error:
        return Failure(str(error))
    except (RuntimeError, MemoryError) as error:  # of torch, on the CPU
        if "alloc" not in str(error) and not isinstance(error, MemoryError):
            raise
        return Failure(f"takes more memory than there is ({' '.join(str(error).split())[:200]})")


def _pass_by(task: Visit, device: str) -> list[Any]:
    """Results of the takers' readers on a network that is visited block by block, in the passes that they need. Where
    these are not all and some entry is LOUD, a gradient that nobody reads may overflow, so all passes are run.
    FeatureError if some taker needs the whole network."""
    letters = letters_of(_readers(task))
    if not letters >= {"J", "G"}:
        taken, quiet = _passed(task, device, letters, _quiet)
        if quiet:
            return taken
    return _passed(task, device, LETTERS, lambda block: Features((dict(block),), 0.0).finite)[0]


def _readers(task: Visit) -> list[Reader]:
    """A new reader for each taker."""
    readers = [reader for taker in task.takers if (reader := taker.reader()) is not None]
    if len(readers) < len(task.takers):
        raise FeatureError(f"{task.architecture.id}: --stream: something that is asked for needs the whole network")
    return readers


def _passed(
    task: Visit, device: str, letters: Collection[str], sound: Callable[[Block], bool]
) -> tuple[list[Any], bool]:
    """Results from passes with these inputs, and whether all blocks and the loss are finite."""
    readers, all_sound = _readers(task), True

    def see(index: int, block: Block) -> None:
        nonlocal all_sound
        all_sound = all_sound and sound(block)
        for reader in readers:
            reader.see(index, block)

    parts = PARTED[task.architecture.space].parts(task.architecture, task.init_seed, task.build, task.weights)
    loss = stream(parts, task.batch.tokens.to(device), see, letters)
    all_sound = all_sound and math.isfinite(loss)
    return [reader.taken(loss, all_sound) for reader in readers], all_sound


def _quiet(block: Block) -> bool:
    """True if no entry is LOUD, let alone infinite or NaN."""
    extremes = [torch.stack(x.aminmax()).abs().max() for name in LETTERS for x in block.get(name, ())]
    return all(float(extreme) < LOUD for extreme in extremes)
