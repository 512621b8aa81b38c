"""Blocks of the space llama without attention or without FFN: sizes, features, streams, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from fitness.features.collect import collect
from fitness.features.streaming import stream
from fitness.features.visit import Visited
from models.architecture import BadArchitecture
from models.spaces import SPACES
from models.spaces.llama.library import library_fields
from models.tokens import TokenBatch
from primitives import parse, score

SPACE = SPACES["llama"]
BASE = {"n_layer": 3, "d_model": 32, "n_token": 256, "tgt_len": 64}
SPARSE = {**BASE, "n_head": [4, 0, 2], "n_kv_head": [2, 0, 1], "d_ffn": [48, 80, 0], "head_dim": 8}


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"d_ffn": [48, 0, 0]}, r"d_ffn\[1\]"),
        ({"n_kv_head": [2, 1, 1]}, r"n_kv_head\[1\]"),
        ({"n_kv_head": [2, 0, 0]}, r"n_kv_head\[2\]"),
        ({"keep": [0, 1, 5]}, "subnet"),
    ],
)
def test_a_block_of_nothing_and_half_a_subnet_are_refused(change: dict[str, Any], wanted: str) -> None:
    with pytest.raises(BadArchitecture, match=wanted):
        SPACE.architecture("x", {**SPARSE, **change})


def test_a_network_has_the_parameters_that_are_counted() -> None:
    architecture = SPACE.architecture("sparse", SPARSE)
    network = SPACE.build(architecture, 0)
    assert SPACE.parameters(architecture).total == sum(p.numel() for p in network.parameters())
    assert not any("layers.1.self_attn" in name or "layers.2.mlp" in name for name, _ in network.named_parameters())
    assert "model.layers.1.input_layernorm.weight" not in dict(network.named_parameters())


def test_a_block_without_a_half_passes_its_input_on(batch: TokenBatch) -> None:
    """The loss equals that of plain torch over the same weights."""
    network = SPACE.build(SPACE.architecture("sparse", SPARSE), 0)
    w = {name: p.detach() for name, p in network.named_parameters()}

    def norm(x: torch.Tensor, gain: str) -> torch.Tensor:
        return F.rms_norm(x, x.shape[-1:], w[gain], 1e-6)

    def ffn(x: torch.Tensor, i: int) -> torch.Tensor:
        y, at = norm(x, f"model.layers.{i}.post_attention_layernorm.weight"), f"model.layers.{i}.mlp."
        gate, up = (F.linear(y, w[f"{at}{name}_proj.weight"]) for name in ("gate", "up"))
        return x + F.linear(F.silu(gate) * up, w[f"{at}down_proj.weight"])

    def attention(x: torch.Tensor, i: int) -> torch.Tensor:
        y = norm(x, f"model.layers.{i}.input_layernorm.weight")
        return x + network.model.layers[i].self_attn(y)[0]

    with torch.no_grad():
        x = F.embedding(batch.tokens, w["model.embed_tokens.weight"])
        x = attention(ffn(ffn(attention(x, 0), 0), 1), 2)
        logits = F.linear(norm(x, "model.norm.weight"), w["lm_head.weight"])
        wanted = F.cross_entropy(logits[:, :-1].flatten(0, 1), batch.tokens[:, 1:].flatten())
        assert float(network.loss(batch.tokens)) == pytest.approx(float(wanted), abs=1e-6)


def test_absent_inputs_are_absent_and_score_nothing(batch: TokenBatch) -> None:
    blocks = collect(SPACE.build(SPACE.architecture("sparse", SPARSE), 0), batch).blocks
    assert [(len(b["S"]), len(b["A"]), len(b["W.attn"]), len(b["W.ffn"]), len(b["J"])) for b in blocks] == [
        (1, 1, 4, 3, 1),
        (0, 1, 0, 3, 1),
        (1, 0, 4, 0, 1),
    ]
    whole = score(parse("sum[ l1_norm(S) ]"), blocks)
    assert whole == score(parse("sum[ l1_norm(S) ]"), [blocks[0], blocks[2]])


def test_a_stream_shows_what_a_visit_shows(batch: TokenBatch) -> None:
    architecture = SPACE.architecture("sparse", SPARSE)
    whole, seen = Visited.run(architecture, batch), dict[int, Any]()
    loss = stream(SPACE.parts(architecture, 0), batch.tokens, lambda i, block: seen.update({i: block}))
    assert loss == whole.features.loss
    for index, block in enumerate(whole.features.blocks):
        for name, tensors in block.items():
            assert all(torch.equal(x, y) for x, y in zip(tensors, seen[index].get(name, ()), strict=True)), name


def test_multiply_adds_are_those_of_the_halves_that_are_there() -> None:
    def work(**change: Any) -> int:
        return SPACE.multiply_adds(SPACE.architecture("x", {**BASE, **change}), 16)

    both = work(n_head=[4] * 3, n_kv_head=[4] * 3, d_ffn=[64] * 3)
    ffn = work(n_head=[4, 0, 0], n_kv_head=[4, 0, 0], d_ffn=[64] * 3, head_dim=8)
    assert both - ffn == 2 * (16 * 4 * 32 * 32 + 2 * 16 * 16 * 32)
    assert ffn - work(n_head=[4, 0, 0], n_kv_head=[4, 0, 0], d_ffn=[0, 64, 64], head_dim=8) == 16 * 3 * 32 * 64


def test_numbers_of_a_sparse_network_are_finite() -> None:
    numbers = SPACE.numbers(SPACE.architecture("sparse", SPARSE))
    assert all(abs(value) < 100 for value in numbers.values()) and numbers["heads"] == 6.0


def test_the_library_has_no_such_blocks() -> None:
    config = SPACE.check({**BASE, "n_head": [0] * 3, "n_kv_head": [0] * 3, "d_ffn": [64] * 3})
    with pytest.raises(BadArchitecture, match=r"n_head: got 0"):
        library_fields(config)
