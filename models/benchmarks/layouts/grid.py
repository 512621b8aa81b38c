"""The published grid of LLaMA-style decoders: `grid.json`, a loss for each training, its settings in the key (Gadre
et al. 2024, arXiv 2403.08540, MIT).

    "d=1024_l=12_h=16-64-0.003-0.033-64-5149020160-400-3e-05": 2.68

is width, blocks and heads - batch - learning rate - weight decay - batch - tokens - warm-up - cool-down. A shape's
ground truth is the lowest loss over warm-ups, because a short one sometimes diverges, of its trainings with batch 64;
shapes that were trained with another batch only are left out, since the batch moves the loss more than the shape does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.benchmarks.benchmark import MAX_FILE, BadBenchmark, Benchmark, choose_metric, finish
from storage.datum import Datum
from storage.files import digest_of, load_json, read_limited

__all__ = ["BATCH", "GRID_FILE", "Training", "load_grid", "shape_config", "trainings"]

GRID_FILE = "grid.json"
WHAT = "a grid of losses"
BATCH = 64
VOCABULARY, LONGEST = 50_432, 2_048
NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:e-?[0-9]{1,2})?"
KEY = re.compile(
    rf"d=([0-9]{{1,5}})_l=([0-9]{{1,3}})_h=([0-9]{{1,4}})-([0-9]{{1,6}})-{NUMBER}-{NUMBER}-[0-9]{{1,6}}-([0-9]{{1,15}})-"
    rf"([0-9]{{1,7}})-{NUMBER}"
)


@dataclass(frozen=True)
class Training:
    """One training of a shape: its settings and the loss it reached."""

    width: int
    blocks: int
    heads: int
    batch: int
    tokens: int
    warmup: int
    loss: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """(width, blocks, heads)."""
        return self.width, self.blocks, self.heads


def load_grid(path: Path, name: str | None = None, metric: str | None = None) -> Benchmark:
    """Read a `grid.json`, or the folder that holds it. BadBenchmark names a bad key; BadFile a file that cannot be
    read."""
    file = path / GRID_FILE if path.is_dir() else path
    name = name or path.stem
    choose_metric(metric, "loss", ["loss"], name)
    best, tokens = dict[tuple[int, int, int], float](), dict[tuple[int, int, int], float]()
    for training in trainings(file):
        if training.batch == BATCH:
            best[training.shape] = min(training.loss, best.get(training.shape, math.inf))
            tokens[training.shape] = float(training.tokens)  # 20 a parameter, so the same in all of a shape's
    rows = [("d{}-l{}-h{}".format(*shape), shape_config(*shape), loss) for shape, loss in sorted(best.items())]
    digest = digest_of([(GRID_FILE, read_limited(file, MAX_FILE, WHAT))])
    amounts = [tokens[shape] for shape in sorted(best)]
    return finish(name, "llama", "loss", False, rows, digest, tokens=amounts)


def trainings(file: Path) -> Iterator[Training]:
    """Every training of a file."""
    for key, loss in Datum(str(file), load_json(file, MAX_FILE, WHAT), BadBenchmark).entries():
        if (found := KEY.fullmatch(key)) is None:
            raise BadBenchmark(
                f"{file}: got the key {key[:80]!r}, wanted d=WIDTH_l=BLOCKS_h=HEADS-BATCH-RATE-DECAY-BATCH-TOKENS-"
                "WARMUP-COOLDOWN; restore the file"
            )
        width, blocks, heads, batch, tokens, warmup = (int(part) for part in found.groups())
        yield Training(width, blocks, heads, batch, tokens, warmup, loss.number())


def shape_config(width: int, blocks: int, heads: int) -> Mapping[str, Any]:
    """The configuration of a shape as Open LM builds it: a gated feed-forward layer two thirds of 4 widths wide, the
    next multiple of 256; layer norms with gains alone, and an output map of its own."""
    inner = 256 * math.ceil((8 * width // 3) / 256)
    per_block = {"n_head": [heads] * blocks, "n_kv_head": [heads] * blocks, "d_ffn": [inner] * blocks}
    sizes = {"n_layer": blocks, "d_model": width, "n_token": VOCABULARY, "tgt_len": LONGEST}
    return {**sizes, **per_block, "norm": "layer", "norm_eps": 1e-5}
