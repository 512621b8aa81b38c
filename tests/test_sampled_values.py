"""The values that architectures of each space are drawn from, as they are published or documented."""

from __future__ import annotations

import random
from typing import Any

import pytest

from models.spaces import SPACES
from models.spaces.llama.space import RATIOS

DRAWS = 1000
FULL = {128: 384, 256: 704, 384: 1024, 512: 1408}  # two thirds of four widths, the next multiple of 64
WANTED: dict[str, dict[str, set[Any]]] = {
    "llama": {
        "n_layer": set(range(2, 17)),
        "d_model": set(FULL),
        "n_head": {2, 4, 8, 16},
        "n_token": {32000},
        "tgt_len": {2048},
        "tied": {False},
        "norm": {"rms"},
        "norm_eps": {1e-6},
        "rope_theta": {10_000},
    },
    "gpt2": {
        "n_layer": set(range(2, 17)),
        "d_model": {64, 128, 256, 512},
        "d_embed": {128, 256, 512},
        "div_val": {1, 2, 4},
        "n_head": {2, 4, 8},
        "n_token": {50264},
        "tgt_len": {192},
        "cutoffs": {19997, 39997},
    },
    "flexibert": {
        "hidden_size": {128, 256},
        "operation": {"DCT", "DFT", "DSC5", "DSC9", "SDP", "WMA"},
        "heads": {2, 4},
        "ffn_dim": {512, 1024},
        "ffn_stack": {1, 3},
    },
}


def seen(space: str) -> tuple[list[dict[str, Any]], dict[str, set[Any]]]:
    """Drawn configurations, and all values of each field, those of single blocks where it is a list."""
    rng = random.Random(0)
    drawn = [SPACES[space].sample(rng) for _ in range(DRAWS)]
    values: dict[str, set[Any]] = {}
    for config in drawn:
        for name, value in config.items():
            values.setdefault(name, set()).update(value if isinstance(value, list | tuple) else [value])
    return drawn, values


@pytest.mark.parametrize("space", WANTED)
def test_every_value_is_drawn_and_no_other(space: str) -> None:
    _, values = seen(space)
    assert {name: values[name] for name in WANTED[space]} == WANTED[space]


def test_depths_and_widths_of_gpt2_and_flexibert_reach_their_ends() -> None:
    inner = seen("gpt2")[1]["d_inner"]
    assert {512, 2048} >= {min(inner), max(inner)} and len(inner) > 1500
    assert {len(config["operation"]) for config in seen("flexibert")[0]} == {2, 4}


def test_llama_draws_groups_of_one_or_two_and_lonas_ratios() -> None:
    drawn, _ = seen("llama")
    groups, ratios = set[float](), set[float]()
    for config in drawn:
        groups |= {h / k for h, k in zip(config["n_head"], config["n_kv_head"], strict=True)}
        ratios |= {round(f / FULL[config["d_model"]], 3) for f in config["d_ffn"]}
    assert groups == {1.0, 2.0} and ratios == set(RATIOS) == {1.0, 0.875, 0.75, 0.625, 0.5}
