"""Features of a real network: what the letters promise, and no trace left in the model."""

from __future__ import annotations

import contextlib
import random

import pytest
import torch
from conftest import tiny_config
from torch import nn

from fitness.features.collect import FeatureError, Features, collect
from fitness.features.fitting import check_batch
from fitness.features.recording import recording
from models.architecture import Architecture
from models.spaces import SPACES
from models.tokens import BadCorpus, TokenBatch
from primitives.grammar import parse
from primitives.inputs import INPUTS
from primitives.scoring import score


@pytest.fixture
def model(tiny_architectures: list[Architecture]) -> nn.Module:
    return SPACES["gpt2"].build(tiny_architectures[2], 0)


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules())


def test_collecting_and_scoring_leave_every_weight_bit_identical(model: nn.Module, batch: TokenBatch) -> None:
    before = {name: x.clone() for name, x in model.state_dict().items()}
    features = collect(model, batch)
    for name in INPUTS:
        score(parse(f"sum[ sum( to_std(exp({name})), to_mean(min_max(softmax({name}))) ) ]"), features.blocks)
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_hooks_are_gone_afterwards_even_after_an_error(model: nn.Module, batch: TokenBatch) -> None:
    collect(model, batch)
    assert hooks(model) == 0
    with pytest.raises(RuntimeError, match="boom"), recording(model.taps()):  # type: ignore[operator]
        assert hooks(model) > 0
        raise RuntimeError("boom")
    assert hooks(model) == 0


def test_training_mode_is_restored(model: nn.Module, batch: TokenBatch) -> None:
    model.train()
    collect(model, batch)
    assert model.training


def test_shapes_are_those_of_the_table(tiny_features: Features, batch: TokenBatch) -> None:
    tokens, length = batch.tokens.numel(), batch.tokens.shape[1]
    for block in tiny_features.blocks:
        width = block["J"][0].shape[1]
        assert block["J"][0].shape == block["H"][0].shape == (tokens, width)
        assert block["A"][0].shape[0] == tokens and block["A"][0].shape[1] == block["W.ffn"][0].shape[0]
        assert block["S"][0].shape[1:] == (length, length)
        assert [w.shape for w in block["W"]] == [g.shape for g in block["G"]]
        assert [w.shape for w in block["W.attn"]] == [(3 * width, width), (width, width)]
        assert len(block["W.attn"]) + len(block["W.ffn"]) == len(block["W"])


def test_attention_rows_are_causal_distributions(tiny_features: Features) -> None:
    for block in tiny_features.blocks:
        S = block["S"][0]
        assert torch.allclose(S.sum(-1), torch.ones(S.shape[:-1]), atol=1e-5)
        assert S.triu(1).abs().max() == 0


def test_gradients_equal_a_plain_backward_pass(tiny_architectures: list[Architecture], batch: TokenBatch) -> None:
    model = SPACES["gpt2"].build(tiny_architectures[2], 0).eval()
    features = collect(model, batch)
    seen = {}
    block = model.h[0]  # type: ignore[index]
    handle = block.register_forward_pre_hook(lambda m, args: seen.setdefault("x", args[0]).retain_grad())
    model.loss(batch.tokens).backward()  # type: ignore[operator]
    handle.remove()
    assert torch.allclose(features.blocks[0]["J"][0], seen["x"].grad.flatten(0, 1), atol=1e-7)
    assert torch.allclose(features.blocks[0]["G"][3], block.mlp.c_proj.weight.grad.T, atol=1e-7)
    assert torch.equal(features.blocks[0]["W"][3], block.mlp.c_proj.weight.T)


def test_missing_attention_weights_are_an_error_and_not_an_empty_list(model: nn.Module, batch: TokenBatch) -> None:
    for block in model.h:  # type: ignore[union-attr]
        eager = block.attn.forward
        block.attn.forward = lambda *given, eager=eager: (eager(*given)[0], None)  # as fused kernels answer
    with pytest.raises(FeatureError, match="block 0: input S: got 0 tensors, wanted 1; build .* eager"):
        collect(model, batch)


def test_token_batches_are_fixed_and_named(tmp_path: object) -> None:
    assert TokenBatch.from_passage().digest == TokenBatch.from_passage().digest != TokenBatch.from_passage(4, 63).digest
    assert TokenBatch.from_passage().tokens.shape == (4, 64)
    with pytest.raises(BadCorpus, match="got 3 bytes, wanted at least 4 x 64"):
        TokenBatch.from_text(b"abc")


@pytest.mark.parametrize(("token", "fits"), [(299, True), (300, False)])
def test_a_vocabulary_of_300_ends_with_token_299(token: int, fits: bool) -> None:
    network = SPACES["gpt2"].architecture("x", tiny_config(random.Random(1)))
    batch = TokenBatch(torch.tensor([[0, token]]), "made")
    assert network.config["n_token"] == 300
    with contextlib.nullcontext() if fits else pytest.raises(FeatureError, match="token 300, but its vocabulary has"):
        check_batch(network, batch)
