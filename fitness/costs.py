"""Costs: what a network takes, counted from its description, and the time of a forward pass, measured."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch

from engine.repeatable import repeatable
from models.architecture import Architecture, BadArchitecture
from models.spaces import SPACES
from models.tokens import TokenBatch

__all__ = ["CostLimits", "Costs", "Latency", "costs_of", "latency_of"]

WARM_UPS, RUNS = 3, 15


@dataclass(frozen=True)
class Costs:
    """All parameters; those of the blocks, without embeddings; floating-point operations of the blocks for one sequence
    (two per multiply-add); the number of blocks; the model width."""

    params: int
    decoder_params: int
    flops: int
    depth: int
    width: int


@dataclass(frozen=True)
class Latency:
    """Seconds of a forward pass over one sequence, the loss included: the median of `runs` and their quartiles."""

    median: float
    low: float
    high: float
    runs: int = RUNS


@dataclass(frozen=True)
class CostLimits:
    """The most that a network may take; None where there is no bound."""

    params: float | None = None
    flops: float | None = None
    seconds: float | None = None

    def allows(self, costs: Costs) -> bool:
        """Whether what is counted is within it."""
        return _within(costs.params, self.params) and _within(costs.flops, self.flops)

    def allows_time(self, latency: Latency | None) -> bool:
        """Whether what is measured is within it; what was not measured is."""
        return latency is None or _within(latency.median, self.seconds)


def _within(value: float, bound: float | None) -> bool:
    return bound is None or value <= bound


def costs_of(architecture: Architecture, length: int, build: str | None = None) -> Costs:
    """Count the costs for a sequence of `length` tokens; BadArchitecture names a candidate that cannot be built."""
    space = SPACES[architecture.space]
    try:
        count = space.parameters(architecture, build)
        flops = 2 * space.multiply_adds(architecture, length, build)
        return Costs(count.total, count.decoder, flops, *space.shape(architecture))
    except BadArchitecture as error:
        raise BadArchitecture(f"{architecture.id}: {error}") from None


def latency_of(architecture: Architecture, batch: TokenBatch, build: str | None = None, device: str = "cpu") -> Latency:
    """Measured on the first sequence of the batch, with one thread, after a few passes to warm up."""
    model: Any = SPACES[architecture.space].build(architecture, 0, build)
    model.to(device).eval()
    tokens = batch.tokens[:1].to(device)
    with repeatable(device), torch.inference_mode():
        seconds = [_pass(model, tokens) for _ in range(WARM_UPS + RUNS)][WARM_UPS:]
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return Latency(median, low, high)


def _pass(model: Any, tokens: torch.Tensor) -> float:
    """Seconds until the loss is a number, which waits for the device."""
    start = time.perf_counter()
    float(model.loss(tokens))
    return time.perf_counter() - start
