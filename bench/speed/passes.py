"""Passes of streamed networks on the clock: seconds of making blocks, of passes and of reading, and the rate of a
matrix product beside them. Seconds are those of the processor, so that other jobs of the machine do not count."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

import fitness.features.visit as visit_module
from engine.threads import one_thread
from fitness.features.streaming import Block, See, stream
from models.architecture import Architecture
from models.spaces import PARTED
from primitives.grammar import parse
from primitives.scoring import PassingScorer

__all__ = ["SPACE", "Clock", "clocked", "flops_of", "matmul_rate", "uniform"]

SPACE = PARTED["llama"]


@dataclass
class Clock:
    """Seconds of all streamed visits, of making blocks and of reading what they show."""

    total: float = 0.0
    made: float = 0.0
    read: float = 0.0

    @property
    def passes(self) -> float:
        return self.total - self.made - self.read

    def run(self, parts: Any, tokens: torch.Tensor, see: See, letters: Collection[str]) -> float:
        """`stream`, with the clock at its doors."""
        fill, start = parts.fill, time.process_time()

        def timed_fill(module: Any, prefix: str) -> None:
            begin = time.process_time()
            fill(module, prefix)
            self.made += time.process_time() - begin

        def timed_see(index: int, block: Block) -> None:
            begin = time.process_time()
            see(index, block)
            self.read += time.process_time() - begin

        parts.fill = timed_fill
        loss = stream(parts, tokens, timed_see, letters)
        self.total += time.process_time() - start
        return loss


@contextmanager
def clocked() -> Iterator[Clock]:
    """The clock of all streamed visits of this process."""
    clock = Clock()
    visit_module.stream = clock.run
    try:
        yield clock
    finally:
        visit_module.stream = stream


def uniform(id: str, blocks: int, width: int, heads: int, ffn: int | list[int], tokens: int = 32000) -> Architecture:
    """A network whose blocks differ in their feed-forward widths at most."""
    widths = [ffn] * blocks if isinstance(ffn, int) else ffn
    lists = {"n_head": [heads] * blocks, "n_kv_head": [heads] * blocks, "d_ffn": widths}
    return SPACE.architecture(id, {"n_layer": blocks, "d_model": width, "n_token": tokens, "tgt_len": 2048, **lists})


def flops_of(architecture: Architecture, batch: int, length: int, formula: str) -> float:
    """Of the passes that the formula needs: forward; where it reads gradients forward again and back to inputs, and
    back to weights for G. Of the head, forward and to its input."""
    letters = PassingScorer([parse(formula)]).letters
    times = 4 if "G" in letters else 3 if "J" in letters else 1
    head = 2 * batch * (length - 1) * architecture.config["n_token"] * architecture.config["d_model"]
    return times * 2 * batch * SPACE.multiply_adds(architecture, length) + head * min(times, 2)


def matmul_rate(rows: int, width: int = 4096, out: int = 11008) -> float:
    """FLOP/s of (rows, width) times (width, out) on one thread, the best of five."""
    with one_thread():
        x, w = torch.randn(rows, width), torch.randn(out, width)
        times = []
        for _ in range(6):
            start = time.process_time()
            x @ w.T
            times.append(time.process_time() - start)
    return 2 * rows * width * out / min(times[1:])
