"""Costs: what a network takes, counted from its description, and the time of a forward pass, measured."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import torch

from engine.repeatable import repeatable
from models.architecture import Architecture, BadArchitecture, ParameterCount
from models.spaces import SPACES
from models.tokens import TokenBatch

__all__ = ["CostLimits", "Costs", "Latency", "TrainingBatch", "costs_of", "latency_of", "training_memory"]

WARM_UPS, RUNS = 3, 15
FEWEST, LONG = 5, 1.0  # runs of a network whose runs take longer together than so many seconds


@dataclass(frozen=True)
class TrainingBatch:
    """The batch of a training step, for which memory is counted; sequences are as long as a network allows at most."""

    sequences: int = 8
    tokens: int = 1024


@dataclass(frozen=True)
class Costs:
    """All parameters; those of the blocks, without embeddings; floating-point operations of the blocks for one sequence
    (two per multiply-add); the number of blocks; the model width; the bytes of a training step."""

    params: int
    decoder_params: int
    flops: int
    depth: int
    width: int
    memory: int = 0


@dataclass(frozen=True)
class Latency:
    """Seconds of a forward pass over one sequence, the loss included: the median of `runs` and their quartiles."""

    median: float
    low: float
    high: float
    runs: int = RUNS


@dataclass(frozen=True)
class CostLimits:
    """The most that a network may take; None where there is no bound. `batch` is what memory is counted for."""

    params: float | None = None
    flops: float | None = None
    seconds: float | None = None
    memory: float | None = None
    batch: TrainingBatch = field(default_factory=TrainingBatch)

    def allows(self, costs: Costs) -> bool:
        """True if what is counted is within it."""
        pairs = ((costs.params, self.params), (costs.flops, self.flops), (costs.memory, self.memory))
        return all(_within(value, bound) for value, bound in pairs)

    def allows_time(self, latency: Latency | None) -> bool:
        """True if what is measured is within it; what was not measured is."""
        return latency is None or _within(latency.median, self.seconds)


def _within(value: float, bound: float | None) -> bool:
    return bound is None or value <= bound


def costs_of(
    architecture: Architecture, length: int, build: str | None = None, batch: TrainingBatch | None = None
) -> Costs:
    """Count the costs for a sequence of `length` tokens, and the memory for a training batch; BadArchitecture names a
    candidate that cannot be built."""
    space = SPACES[architecture.space]
    try:
        count = space.parameters(architecture, build)
        flops = 2 * space.multiply_adds(architecture, length, build)
        (longest, vocabulary), (depth, width) = space.limits(architecture), space.shape(architecture)
        memory = training_memory(count, depth, width, vocabulary, longest, batch or TrainingBatch())
        return Costs(count.total, count.decoder, flops, depth, width, memory)
    except BadArchitecture as error:
        raise BadArchitecture(f"{architecture.id}: {error}") from None


def training_memory(
    count: ParameterCount, depth: int, width: int, vocabulary: int, longest: int, batch: TrainingBatch
) -> int:
    """Bytes of a training step in float32 with Adam, an upper estimate:

        16 P + 4 B T (6 L D + 4/3 (attention + FFN parameters) / D + 3 V)

    P parameters take 16 bytes each: weight, gradient and Adam's two moments. Of each of B T tokens every block of width
    D keeps its two residual inputs and both norms' two outputs (6 D), and what its maps read and put out: 3 heads'
    widths and 2 of keys and values, 4 FFN widths if gated and 2 if not, which is 4/3 of the entries of the maps divided
    by D, give or take. V logits are held three times at the start of the backward pass. Attention is taken to be
    fused, so that maps of all pairs of tokens are not kept. Nothing is recomputed.
    """
    tokens = batch.sequences * min(batch.tokens, longest)
    kept = 6 * depth * width + 4 * (count.attention + count.ffn) / (3 * width) + 3 * vocabulary
    return round(16 * count.total + 4 * tokens * kept)


def latency_of(architecture: Architecture, batch: TokenBatch, build: str | None = None, device: str = "cpu") -> Latency:
    """Measured on the first sequence of the batch, with one thread, after a few passes to warm up: 15 runs, or as many
    as fit into a second, but at least five."""
    model: Any = SPACES[architecture.space].build(architecture, 0, build)
    model.to(device).eval()
    tokens = batch.tokens[:1].to(device)
    with repeatable(device), torch.no_grad():  # tables that networks cache must be usable in a backward pass
        for _ in range(WARM_UPS):
            _pass(model, tokens)
        seconds = list[float]()
        while len(seconds) < FEWEST or (len(seconds) < RUNS and sum(seconds) < LONG):
            seconds.append(_pass(model, tokens))
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return Latency(median, low, high, len(seconds))


def _pass(model: Any, tokens: torch.Tensor) -> float:
    """Seconds until the loss is a number, which waits for the device."""
    start = time.perf_counter()
    float(model.loss(tokens))
    return time.perf_counter() - start
