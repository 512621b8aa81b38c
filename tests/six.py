"""Six small benchmarks of three spaces, and a search on all of them, for what reads a hall of several benchmarks."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import tiny_config

from models.spaces import SPACES

COUNT = 22
NAMES = ("gpt-a", "gpt-b", "flex-a", "flex-b", "llama-a", "llama-b")


def flexibert_config(rng: random.Random) -> dict[str, Any]:
    """A flexibert configuration that builds and runs in milliseconds."""
    depth = rng.randint(1, 3)
    return {
        "hidden_size": rng.choice((16, 32, 48)), "operation": ["SDP"] * depth, "heads": [2] * depth,
        "ffn_dim": [rng.randint(20, 90) for _ in range(depth)], "ffn_stack": [1] * depth,
    }  # fmt: skip


def llama_config(rng: random.Random) -> dict[str, Any]:
    """A llama configuration that builds and runs in milliseconds."""
    depth = rng.randint(1, 3)
    return {
        "n_layer": depth, "d_model": rng.choice((16, 32, 48)), "n_head": [2] * depth, "n_kv_head": [1] * depth,
        "d_ffn": [rng.randint(20, 90) for _ in range(depth)], "n_token": 300, "tgt_len": 64, "tied": True,
    }  # fmt: skip


CONFIGS: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    "gpt": tiny_config, "flex": flexibert_config, "llama": llama_config,
}  # fmt: skip
SPACE = {"gpt": "gpt2", "flex": "flexibert", "llama": "llama"}


def write_six(folder: Path) -> list[Path]:
    """The six as files; the label is a noisy count, of either direction."""
    return [_written(folder / f"{name}.jsonl", seed) for seed, name in enumerate(NAMES)]


def _written(path: Path, seed: int) -> Path:
    rng, kind = random.Random(seed), path.stem.split("-")[0]
    space, higher = SPACES[SPACE[kind]], bool(seed % 2)
    header = {"schema": 1, "space": space.name, "metric": f"m{seed}", "higher_is_better": higher}
    lines = [json.dumps(header)]
    for place in range(COUNT):
        config = CONFIGS[kind](rng)
        id = f"{path.stem}-{place}"
        size = space.parameters(space.architecture(id, config)).decoder ** 0.3
        value = (size if higher else 40 - size) + rng.gauss(0, 0.3)
        lines.append(json.dumps({"id": id, "config": config, f"m{seed}": value}))
    path.write_text("\n".join(lines) + "\n")
    return path
