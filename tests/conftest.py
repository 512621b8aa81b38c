"""Small real networks, a small benchmark file, and the published data where they are."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest

from fitness.features.bank import sketch_features
from fitness.features.collect import Features, collect
from fitness.ranking import RankTarget
from fitness.tables.branches import BranchTable
from gp.problem import SearchProblem
from models.architecture import Architecture
from models.spaces import SPACES
from models.tokens import TokenBatch


def tiny_config(rng: random.Random) -> dict:
    """A gpt2 configuration that builds and runs in milliseconds."""
    n_layer, d_model = rng.randint(1, 4), rng.choice((16, 32, 48))
    return {
        "n_layer": n_layer,
        "d_model": d_model,
        "d_embed": 32,
        "div_val": rng.choice((1, 2)),
        "n_head": [rng.choice((2, 4)) for _ in range(n_layer)],
        "d_inner": [rng.randint(20, 90) for _ in range(n_layer)],
        "n_token": 300,
        "tgt_len": 64,
        "cutoffs": [100, 200],
    }


@pytest.fixture(scope="session")
def tiny_architectures() -> list[Architecture]:
    rng = random.Random(5)
    return [SPACES["gpt2"].architecture(f"tiny{i}", tiny_config(rng)) for i in range(30)]


@pytest.fixture(scope="session")
def batch() -> TokenBatch:
    return TokenBatch.from_passage(2, 24)


@pytest.fixture(scope="session")
def tiny_features(tiny_architectures: list[Architecture], batch: TokenBatch) -> Features:
    deepest = max(tiny_architectures, key=lambda a: a.config["n_layer"])
    return collect(SPACES["gpt2"].build(deepest, 0), batch)


@pytest.fixture(scope="session")
def tiny_benchmark(tmp_path_factory: pytest.TempPathFactory, tiny_architectures: list[Architecture]) -> Path:
    """A benchmark file whose ground truth is a noisy count, so that a search finds something."""
    rng = random.Random(9)
    path = tmp_path_factory.mktemp("benchmark") / "tiny.jsonl"
    header = {"schema": 1, "space": "gpt2", "metric": "loss", "higher_is_better": False}
    lines = [json.dumps(header)]
    for architecture in tiny_architectures:
        size = SPACES["gpt2"].parameters(architecture).decoder
        record = {"id": architecture.id, "config": dict(architecture.config), "loss": 9 - size**0.3 + rng.gauss(0, 0.1)}
        lines.append(json.dumps(record))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def published() -> Path:
    """The folder of published benchmarks; tests that need it are skipped elsewhere."""
    folder = Path(os.environ.get("ZCP_DATA", "missing"))
    if not folder.is_dir():
        pytest.skip("ZCP_DATA does not name a folder with the published benchmarks")
    return folder


@pytest.fixture(scope="module")
def problem(tiny_architectures: list[Architecture], batch: TokenBatch) -> SearchProblem:
    """A small search: 14 networks whose size, with noise, is what they are worth."""
    chosen = tiny_architectures[:14]
    entries = [sketch_features(collect(SPACES["gpt2"].build(a, 0), batch)) for a in chosen]
    quality = np.array([SPACES["gpt2"].parameters(a).decoder for a in chosen]) ** 0.5
    target = RankTarget.create(quality + np.random.default_rng(3).normal(0, 60, len(chosen)))
    return SearchProblem(BranchTable(entries), target)
