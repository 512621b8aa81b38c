"""What every space promises: bounds of its fields, counts of its arithmetic, and the same draws from the same seed."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.architecture import BadArchitecture
from models.spaces import DRAWABLE, SPACES
from models.spaces.flexibert.plans import OPERATIONS
from models.spaces.llama.weights import SUPERNET

GPT2: dict[str, Any] = {"n_layer": 1, "d_model": 64, "d_embed": 64, "div_val": 1, "n_head": [4], "d_inner": [96], "n_token": 300,
                        "tgt_len": 64, "cutoffs": []}  # fmt: skip
BERT: dict[str, Any] = {"hidden_size": 64, "operation": ["SDP"], "heads": [4], "ffn_dim": [96], "ffn_stack": [2]}
CONFIGURED: dict[str, Any] = {"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4,
                              "intermediate_size": 48, "vocab_size": 300, "attention_dropout": 0.5}  # fmt: skip
TINY = {"gpt2": GPT2, "flexibert": BERT, "llama": SUPERNET, "hf": CONFIGURED}
BOUNDS = [
    ("gpt2", {"n_layer": n, "n_head": [4] * n, "d_inner": [96] * n}, 1 <= n <= 128) for n in (0, 1, 128, 129)
] + [
    ("gpt2", {field: value}, fits)
    for field, values in {
        "d_model": ((3, False), (4, True), (16384, True), (16388, False)),
        "d_embed": ((0, False), (1, True), (16384, True), (16385, False)),
        "n_token": ((1, False), (2, True), (1_000_000, True), (1_000_001, False)),
        "tgt_len": ((0, False), (1, True), (1 << 20, True), ((1 << 20) + 1, False)),
        "n_head": (([0], False), ([1], True), ([64], True), ([128], False)),
        "d_inner": (([0], False), ([1], True), ([65536], True), ([65537], False)),
        "cutoffs": (([0], False), ([1], True), ([299], True), ([300], False), ([5, 5], False), ([5, 9], True)),
        "div_val": ((0, False), (1, True), (2, True), (3, False), (4, True)),
    }.items()
    for value, fits in values
] + [
    ("gpt2", {"d_embed": 16, "div_val": 4, "cutoffs": [10, 20]}, True),
    ("gpt2", {"d_embed": 15, "div_val": 4, "cutoffs": [10, 20]}, False),
] + [
    ("flexibert", {field: value}, fits)
    for field, values in {
        "hidden_size": ((3, False), (4, True), (16384, True), (16388, False)),
        "heads": (([0], False), ([1], True), ([64], True), ([128], False)),
        "ffn_dim": (([0], False), ([1], True), ([65536], True), ([65537], False)),
        "ffn_stack": (([0], False), ([1], True), ([16], True), ([17], False)),
    }.items()
    for value, fits in values
] + [
    ("flexibert", {"operation": ["SDP"] * n} | {field: [4] * n for field in ("heads", "ffn_dim", "ffn_stack")},
     1 <= n <= 128) for n in (0, 1, 128, 129)
]  # fmt: skip


@pytest.mark.parametrize(("space", "change", "fits"), BOUNDS, ids=lambda value: str(value)[:40])
def test_a_field_is_accepted_exactly_inside_its_bounds(space: str, change: dict[str, Any], fits: bool) -> None:
    config = (GPT2 if space == "gpt2" else BERT) | change
    if fits:
        assert SPACES[space].check(config)
        return
    with pytest.raises(BadArchitecture, match=next(iter(change))[:6]):
        SPACES[space].check(config)


@pytest.mark.parametrize(("space", "digest"), [("gpt2", "d0192f321e0c5180"), ("flexibert", "50ade7ea0268966a")])
def test_a_seed_draws_the_same_architecture_for_ever(space: str, digest: str) -> None:
    config = SPACES[space].sample(random.Random(7))
    assert SPACES[space].architecture("x", config).digest.startswith(digest)


@pytest.mark.parametrize("name", DRAWABLE)
def test_samples_are_checked_configurations_of_the_published_range(name: str) -> None:
    space = SPACES[name]
    drawn = [space.sample(random.Random(seed)) for seed in range(150)]
    if name == "gpt2":
        assert {c["n_layer"] for c in drawn} == set(range(2, 17)) and {c["d_model"] for c in drawn} == {
            64,
            128,
            256,
            512,
        }
        assert {c["d_embed"] for c in drawn} == {128, 256, 512} and {c["div_val"] for c in drawn} == {1, 2, 4}
        assert {h for c in drawn for h in c["n_head"]} == {2, 4, 8}
        assert all(512 <= f <= 2048 for c in drawn for f in c["d_inner"])
        assert {(c["n_token"], c["tgt_len"], c["cutoffs"]) for c in drawn} == {(50264, 192, (19997, 39997))}
    elif name == "llama":
        assert {c["n_layer"] for c in drawn} == set(range(2, 17))
        assert {c["d_model"] for c in drawn} == {128, 256, 384, 512} and {c["n_token"] for c in drawn} == {32000}
        assert {h for c in drawn for h in c["n_head"]} == {2, 4, 8, 16}
        assert {f for c in drawn if c["d_model"] == 128 for f in c["d_ffn"]} == {384, 336, 288, 240, 192}
    else:
        assert {c["hidden_size"] for c in drawn} == {128, 256} and {len(c["heads"]) for c in drawn} == {2, 4}
        for field, choices in {"heads": {2, 4}, "ffn_dim": {512, 1024}, "ffn_stack": {1, 3}}.items():
            assert {entry for c in drawn for entry in c[field]} == choices


def test_limits_and_shape_are_those_of_the_description() -> None:
    gpt2, bert = SPACES["gpt2"], SPACES["flexibert"]
    decoder, encoder = gpt2.architecture("x", GPT2), bert.architecture("x", BERT)
    assert gpt2.limits(decoder) == (64, 300) and gpt2.shape(decoder) == (1, 64)
    assert bert.limits(encoder) == (512, 30522) and bert.shape(encoder) == (1, 64)


def products(blocks: Any, x: torch.Tensor, **also: Any) -> int:
    """Multiply-adds of one forward pass, as torch counts them."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        for block in blocks:
            x = block(x, **also)
    return counter.get_total_flops() // 2


def test_multiply_adds_of_a_decoder_are_what_torch_counts() -> None:
    space = SPACES["gpt2"]
    config = GPT2 | {"n_layer": 3, "n_head": [4, 2, 8], "d_inner": [96, 40, 7]}
    architecture = space.architecture("x", config)
    model: Any = space.build(architecture, 0)
    mask = torch.zeros(1, 1, 24, 24)
    assert space.multiply_adds(architecture, 24) == products(model.h, torch.randn(1, 24, 64), mask=mask)


@pytest.mark.parametrize("build", SPACES["flexibert"].builds)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_multiply_adds_of_an_encoder_are_what_torch_counts(operation: str, build: str) -> None:
    space = SPACES["flexibert"]
    config = BERT | {"operation": [operation, "SDP"], "heads": [4, 2], "ffn_dim": [96, 40], "ffn_stack": [1, 3]}
    architecture = space.architecture("x", config)
    model: Any = space.build(architecture, 0, build)
    x = torch.randn(1, 24, 256 if build == "as_published" else 64)
    assert space.multiply_adds(architecture, 24, build) == products(model.blocks, x)


@pytest.mark.parametrize(("space", "build"), [(name, build) for name in SPACES for build in SPACES[name].builds])
def test_a_network_drops_nothing_out_so_training_sees_what_is_scored(space: str, build: str) -> None:
    model: Any = SPACES[space].build(SPACES[space].architecture("x", TINY[space]), 0, build)
    tokens = torch.arange(48).reshape(2, 24)
    assert float(model.train().loss(tokens)) == float(model.eval().loss(tokens))
