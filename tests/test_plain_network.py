"""The adapter of plain PyTorch networks: a nanoGPT has the score of its Hugging Face twin with the same weights."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
import nano_gpt

from fitness.features.collect import FeatureError, collect
from fitness.plain import rank_modules, score_module
from models import SPACES, TokenBatch
from models.spaces.plain_network import (
    NANOGPT,
    BadNetwork,
    ModuleNames,
    PlainNetwork,
    _Attention,
    _Tap,
    _weight,
    plain_logits,
)
from primitives.grammar import parse
from primitives.scoring import Scorer

LAYERS, WIDTH, HEADS = 2, 32, 4
TOKENS = TokenBatch.from_passage(2, 24)
FORMULAS = [f"sum[ frobenius_norm({letter}) ]" for letter in ("A", "J", "G", "W", "H", "S", "Q", "W.attn", "G.ffn")]


class ByHand(nano_gpt.CausalSelfAttention):
    """The same attention written out."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, T, D = x.shape
        q, k, v = (y.view(B, T, self.heads, D // self.heads).transpose(1, 2) for y in self.c_attn(x).split(D, 2))
        scores = q @ k.transpose(-2, -1) / (D // self.heads) ** 0.5
        scores = scores.masked_fill(torch.ones(T, T).tril() == 0, float("-inf"))
        return self.c_proj((F.softmax(scores, dim=-1) @ v).transpose(1, 2).reshape(B, T, D))


@pytest.fixture(scope="module")
def mine() -> Any:
    return nano_gpt.drawn(LAYERS, WIDTH, HEADS)


@pytest.fixture(scope="module")
def twins(mine: Any) -> list[float]:
    """Scores of the library's GPT-2 with these weights."""
    config = {
        "model_type": "gpt2",
        "n_layer": LAYERS,
        "n_embd": WIDTH,
        "n_head": HEADS,
        "vocab_size": 256,
        "n_positions": 64,
    }
    network: Any = SPACES["hf"].build(SPACES["hf"].architecture("twin", config), 0)
    theirs = dict(network.model.named_parameters())
    with torch.no_grad():
        for name, parameter in mine.named_parameters():
            stored = parameter.T if parameter.dim() == 2 and ".h." in name else parameter
            theirs.pop(name).copy_(stored)
    assert not theirs
    blocks = collect(network, TOKENS).blocks
    return [Scorer(blocks).score(parse(text)) for text in FORMULAS]  # type: ignore[misc]


def test_a_nano_gpt_has_the_scores_of_its_twin(mine: Any, twins: list[float]) -> None:
    before = {name: parameter.clone() for name, parameter in mine.named_parameters()}
    mine.train()
    assert [score_module(mine, TOKENS.tokens, text) for text in FORMULAS] == pytest.approx(twins, rel=1e-5)
    assert mine.training and all(torch.equal(before[name], p) for name, p in mine.named_parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in mine.modules())


def test_attention_that_is_written_out_shows_the_same(mine: Any, twins: list[float]) -> None:
    other = nano_gpt.drawn(LAYERS, WIDTH, HEADS)
    for block in other.transformer.h:
        block.attn.__class__ = ByHand
    assert [score_module(other, TOKENS.tokens, text) for text in FORMULAS] == pytest.approx(twins, rel=1e-5)


@pytest.mark.parametrize("given", ["mask", "bias", "groups", "scale"])
def test_attention_step_by_step_is_torchs(given: str) -> None:
    class Alone(nn.Module):
        def forward(self, q: torch.Tensor, **more: Any) -> torch.Tensor:
            return (
                F.scaled_dot_product_attention(q, *q.chunk(1), q, **more)
                if given != "groups"
                else F.scaled_dot_product_attention(q, q[:, :2], q[:, :2], enable_gqa=True)
            )

    generator = torch.Generator().manual_seed(0)
    q = torch.randn(2, 4, 5, 6, generator=generator)
    mask = torch.randn(5, 5, generator=generator)
    more: dict[str, Any] = {
        "mask": {"attn_mask": mask > -0.5},
        "bias": {"attn_mask": mask},
        "scale": {"scale": 0.3, "is_causal": True},
    }.get(given, {})
    if given == "mask":
        more["attn_mask"].fill_diagonal_(True)
    plain, attention = Alone()(q, **more), _Attention()
    attention.tap = _Tap()
    with attention:
        assert torch.allclose(Alone()(q, **more), plain, atol=1e-6)


class LastOnly(nano_gpt.NanoGPT):
    """nanoGPT's own: logits of the last token unless targets are given."""

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor | None = None) -> Any:
        logits = super().forward(tokens)
        return (logits if targets is not None else logits[:, [-1]], None)


def test_a_network_may_say_how_it_gives_its_logits(mine: Any, twins: list[float]) -> None:
    mine_too = LastOnly(LAYERS, WIDTH, HEADS)
    mine_too.load_state_dict(mine.state_dict())
    with pytest.raises(BadNetwork, match=r"logits: got \(2, 1, 256\) of model\(tokens\), wanted \(B, T, V\) with B, T"):
        score_module(mine_too, TOKENS.tokens, FORMULAS[0])
    found = score_module(mine_too, TOKENS.tokens, FORMULAS[0], logits=lambda model, tokens: model(tokens, tokens)[0])
    assert found == pytest.approx(twins[0], rel=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"blocks": "transformer.layers"},
            "names: blocks: got transformer.layers, wanted a module of NanoGPT: transformer",
        ),
        ({"attention": "attention"}, "names: attention: got attention, wanted a module of DecoderBlock: ln_1, attn"),
        ({"ffn_maps": ("mlp",)}, "got MLP for a map of ffn, wanted a linear map"),
    ],
)
def test_a_wrong_name_is_one_sentence(mine: Any, change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadNetwork, match=said):
        score_module(mine, TOKENS.tokens, FORMULAS[0], ModuleNames(**{**vars(NANOGPT), **change}))


def test_a_network_that_overflows_or_hides_its_attention_is_refused(mine: Any) -> None:
    loud = nano_gpt.drawn(LAYERS, WIDTH, HEADS)
    with torch.no_grad():
        loud.transformer.ln_f.weight.fill_(torch.inf)
    with pytest.raises(FeatureError, match="no score: "):
        score_module(loud, TOKENS.tokens, FORMULAS[0])
    names = ModuleNames("transformer.h", "mlp", NANOGPT.attention_maps, NANOGPT.ffn_maps)
    with pytest.raises(FeatureError, match="block 0: input S: got 0 tensors, wanted 1"):
        collect(PlainNetwork(mine, names), TOKENS)


def test_the_example_ranks_its_networks(capsys: pytest.CaptureFixture[str]) -> None:
    ranking = nano_gpt.main()
    assert [score for _, score in ranking] == sorted((score for _, score in ranking), reverse=True)
    assert len(ranking) == 3 and "layers, width, heads = (2, 64, 4)" in capsys.readouterr().out
    assert rank_modules({"x": nano_gpt.drawn(2, 32, 2)}, TOKENS.tokens, FORMULAS[0])[0][0] == "x"


def test_attention_of_other_heads_wants_to_be_asked_for() -> None:
    q, k = torch.ones(1, 4, 3, 2), torch.ones(1, 2, 3, 2)
    with pytest.raises(RuntimeError):
        _Attention()._step_by_step(q, k, k)
    assert _Attention()._step_by_step(q, k, k, enable_gqa=True).shape == q.shape
    uneven = torch.arange(3.0).view(1, 1, 3, 1)
    assert _Attention()._step_by_step(uneven, uneven, uneven)[0, 0, 0].item() == 1  # every weight is a third
    assert _Attention()._step_by_step(uneven, uneven, uneven, is_causal=True)[0, 0, 0].item() == 0


@pytest.mark.parametrize("softmax", [F.softmax, torch.softmax, torch.Tensor.softmax])
def test_every_softmax_of_squares_is_shown(softmax: Any) -> None:
    seen: list[Any] = []
    attention, tap, module = _Attention(), _Tap(), nn.Identity()
    tap.register_forward_hook(lambda m, given, output: seen.append((tuple(given[0].shape), output[0])))
    with attention:
        softmax(torch.ones(1, 2, 3, 3), -1)
        attention.enter(tap, module, None)
        for shape in ((1, 2, 3, 3), (2, 3, 3), (1, 2, 3, 4)):
            softmax(torch.ones(shape), -1)
        attention.leave(module, None, None)
        softmax(torch.ones(1, 2, 3, 3), -1)
    assert seen == [((1, 2, 3, 3), None)]


def test_taps_are_those_of_the_maps_in_their_order() -> None:
    block = nn.ModuleDict(
        {
            "q": nn.Linear(6, 9),
            "v": nn.Linear(6, 8),
            "o": nn.Linear(8, 6),
            "up": nn.Linear(6, 5),
            "down": nn.Linear(5, 6),
        }
    )
    names = ModuleNames("blocks", "q", ("q", "v", "o"), ("up", "down"))
    (taps,) = PlainNetwork(nn.ModuleDict({"blocks": nn.ModuleList([block])}), names).taps()
    assert taps.query_width == 8 and taps.heads == (block["o"],) and taps.queries == (block["q"],)
    assert [(tap.role, tap.parameter is block[name].weight) for tap, name in zip(taps.weights, block, strict=True)] == [
        ("attn", True), ("attn", True), ("attn", True), ("ffn", True), ("ffn", True),
    ]  # fmt: skip
    assert (_weight(Conv1D(3, 4), "attn").stored_in_out, _weight(nn.Linear(3, 4), "attn").stored_in_out) == (
        True,
        False,
    )
    for other in (nn.Identity(), nn.LayerNorm(3)):
        with pytest.raises(BadNetwork) as caught:
            _weight(other, "ffn")
        assert (
            str(caught.value)
            == f"names: got {type(other).__name__} for a map of ffn, wanted a linear map with a weight"
        )
    long = nn.ModuleDict({"x" * 320: nn.Identity()})
    with pytest.raises(BadNetwork) as caught:
        PlainNetwork(long)
    assert str(caught.value) == f"names: blocks: got transformer.h, wanted a module of ModuleDict: {'x' * 300}"


@pytest.mark.parametrize("wrapped", [lambda x: x, lambda x: (x, 1), lambda x: [x], lambda x: SimpleNamespace(logits=x)])
def test_logits_are_the_output_or_the_first_of_several(wrapped: Any) -> None:
    tokens, logits = torch.zeros(2, 3), torch.ones(2, 3, 4)
    assert plain_logits(lambda given: wrapped(logits), tokens) is logits  # type: ignore[arg-type]
    for wrong, got in ((torch.ones(2, 2, 3), "(2, 2, 3)"), (torch.ones(3, 3, 4), "(3, 3, 4)"), ("a", "str")):
        with pytest.raises(BadNetwork) as caught:
            plain_logits(lambda given, wrong=wrong: wrapped(wrong), tokens)  # type: ignore[arg-type, misc]
        assert str(caught.value) == (
            f"logits: got {got} of model(tokens), wanted (B, T, V) with B, T = (2, 3); give logits=lambda model, tokens: "
            "... that returns them"
        )
