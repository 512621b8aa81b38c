"""Small parts of the space `hf`, one by one: the trace, the layout, the drawing of weights, what the library converts."""

from __future__ import annotations

import logging
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_hf_fields import BERT, LLAMA, SPACE, made
from torch import nn

from models.architecture import BadArchitecture
from models.spaces.hf import config as configs
from models.spaces.hf import drawing, layout, library, network, saved, trace
from models.spaces.hf.config import library_config
from models.spaces.hf.drawing import without_initialiser
from models.spaces.hf.rope import check_rope
from models.spaces.hf.unknown import nearest
from models.spaces.stored_tensors import BadWeights

NOTHING: Any = None


def test_bounds_of_a_trace_and_a_layout_stay_as_they_are() -> None:
    assert (trace.LENGTH, trace.MOST_RUN) == (3, 134_217_728)
    assert (layout.FAR, layout.MOST_TABLES) == (1_048_576, 1_073_741_824)
    config: Any = SimpleNamespace(max_position_embeddings=None)
    assert layout._longest(nn.Linear(1, 1), config) == 1_048_576  # type: ignore[arg-type]


def test_unknown_fields_are_told_to_nobody_who_does_not_listen() -> None:
    handlers = logging.getLogger("zcp.hf").handlers
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)


def test_every_matrix_that_is_trained_is_drawn_and_padding_is_zero() -> None:
    model = nn.ModuleDict({
        "table": nn.Embedding(5, 3, padding_idx=1), "fixed": nn.Embedding(5, 3, padding_idx=1), "plain": nn.Embedding(5, 3),
        "map": nn.Linear(3, 4), "norm": nn.LayerNorm(3),
    })  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    model["fixed"].weight.requires_grad_(False)
    drawing.draw_common(model, 3)
    generator = torch.Generator().manual_seed(3)
    table, plain, map_ = (
        torch.empty(shape).normal_(0, 0.02, generator=generator) for shape in ((5, 3), (5, 3), (4, 3))
    )
    table[1] = 0
    assert torch.equal(model["table"].weight, table) and torch.equal(model["plain"].weight, plain)
    assert torch.equal(model["map"].weight, map_)
    assert all(x.unique().tolist() == [7] for x in (model["fixed"].weight, model["map"].bias, model["norm"].weight))


def test_the_ways_of_a_pass_are_tried_in_turn_and_the_first_fault_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def failing(model: Any, answers: bool = False, **inputs: torch.Tensor) -> Any:
        given.append((answers, {name: (tuple(x.shape), x.dtype, x.device.type) for name, x in inputs.items()}))
        raise ValueError(f"fault {len(given)}")

    def small(model: Any, config: Any, length: int) -> Any:
        given.append((config, length))
        raise RuntimeError("the last fault")

    monkeypatch.setattr(trace, "_pass", failing)
    monkeypatch.setattr(trace, "_small_pass", small)
    with pytest.raises(ValueError, match="^fault 1$"):
        trace.trace(NOTHING, "config", 5)  # type: ignore[arg-type]
    tokens, mask = ((1, 5), torch.int64, "meta"), ((1, 1, 5, 5), torch.float32, "meta")
    alone = {"input_ids": tokens, "attention_mask": mask}
    flat = {"input_ids": tokens, "attention_mask": ((1, 5), torch.int64, "meta")}
    assert given == [(False, alone), (False, flat), (True, alone), ("config", 5)]
    monkeypatch.setattr(trace, "_small_pass", lambda model, config, length: "seen")
    assert trace.trace(NOTHING, NOTHING) == "seen"


def test_a_pass_with_numbers_is_of_the_first_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "make", lambda config: config)
    monkeypatch.setattr(trace, "_pass", lambda model, **inputs: (model, inputs["input_ids"].tolist()))
    assert trace._small_pass(nn.Linear(1, 1), "config", 4) == ("config", [[0, 0, 0, 0]])  # type: ignore[arg-type]


def test_a_pass_prints_nothing_and_counts_the_products(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model: Any = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 2, bias=False))
    model.config = SimpleNamespace(model_type="gpt2")
    monkeypatch.setattr(trace, "run", lambda model, **given: model(given["x"]))
    seen = trace._pass(model, x=torch.ones(5, 3))
    assert {name: seen.flops[name] for name in ("0", "1")} == {"0": 2 * 5 * 3 * 4, "1": 2 * 5 * 4 * 2}
    assert seen.runs == {"": 1, "0": 1, "1": 1} and capsys.readouterr().out == ""
    assert [tuple(x.shape) for x in seen.maps.values()] == [(5, 3), (5, 4)]
    assert not any("zcp_tap" in module.__dict__ for module in model.modules())


def test_a_module_whose_second_output_is_weights_is_attention() -> None:
    seen, heads, weights = trace.Trace(), torch.ones(1, 3, 8), torch.ones(1, 2, 3, 3)
    for output in (heads, (heads,), (heads, None), (heads, weights[0])):
        trace._gave(seen, "h.0.attn", NOTHING, None, output)
    assert not seen.attentions
    for name, output in (
        ("h.0.attn", (heads, weights)),
        ("h.0", (heads, weights, None)),
        ("h.1.attn", (heads, weights)),
    ):
        trace._gave(seen, name, NOTHING, None, output)
    trace._gave(seen, "h.1.attn", NOTHING, None, (heads, weights))
    assert seen.attentions == {"h.0": "h.0.attn", "h.1": "h.1.attn"} and seen.widths == {"h.0": 8, "h.1": 8}
    assert seen.pairs == {"h.0": 16, "h.1": 32} and seen.heads == {"h.0": None, "h.1": None}
    assert [trace.block_name(name) for name in ("h.0", "a.3.b.1.c", "a.b", "a")] == ["h.0", "a.3", "a.b", "a"]


def test_a_layout_asks_whether_blocks_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(seen: Any, family: str) -> None:
        raise BadArchitecture(f"{family}: asked")

    monkeypatch.setattr(layout, "_check_once", refused)
    with pytest.raises(BadArchitecture, match="^llama: asked$"):
        layout.layout_of.__wrapped__(without_initialiser(made(LLAMA)))


@pytest.mark.parametrize("fault", [RuntimeError, MemoryError])
def test_a_network_that_memory_does_not_hold_is_refused(fault: type, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(config: Any) -> Any:
        raise fault("no\n room " + "x" * 300)

    monkeypatch.setattr(network, "make", failing)
    with pytest.raises(BadArchitecture) as caught:
        network.HfNetwork(made(LLAMA), 0)
    assert str(caught.value) == f"x: cannot be made in memory (no room {'x' * 192})"


def test_a_family_that_fills_in_masked_tokens_is_an_encoder_unless_it_says_otherwise() -> None:
    def said(family: str, **more: Any) -> bool:
        return library.is_decoder(SimpleNamespace(model_type=family, **more))  # type: ignore[arg-type]

    assert [said("bert"), said("bert", is_decoder=True), said("llama"), said("distilbert")] == [
        False,
        True,
        True,
        False,
    ]


def test_a_conversion_that_the_library_refuses_is_named_with_its_first_tensor() -> None:
    class Rule:
        def add_tensor(self, *given: Any) -> None:
            assert given[:3] in (("qkv", "a", "p"), ("qkv", "b", "p"))

        def convert(self, target: str, **given: Any) -> Any:
            raise ValueError("no\n way " + "x" * 300)

    parts: Any = tuple(("p", name, SimpleNamespace(shape=(2, 3))) for name in ("a", "b"))
    with pytest.raises(BadWeights) as caught:
        saved._converted(SimpleNamespace(config=None), "qkv", Rule(), parts)  # type: ignore[arg-type]
    assert str(caught.value) == f"a: transformers cannot convert it (no way {'x' * 193})"


def test_what_is_converted_is_cut_to_the_first_entries() -> None:
    whole = torch.arange(12.0).view(3, 4)
    source: Any = SimpleNamespace(shape=(3, 4), first=lambda shape: whole if shape == (3, 4) else None)
    found = saved.Converted("w", (3, 4), (("p", "w", source),), lambda read: {"v": whole[0], "w": read(source)})
    assert found.first((2, 3)).tolist() == [[0, 1, 2], [4, 5, 6]]


@pytest.mark.parametrize(
    ("value", "default", "same"),
    [
        (math.inf, math.inf, True), (math.inf, -math.inf, False), (0.5, 0.5, False), ("a", "a", False),
        ([0.0, math.inf], (0.0, math.inf), True), ([0.0, 1.0], (0.0, 1.0), False), ((math.inf,), (math.inf,), True),
        ([0.0, math.inf], None, False), (["a", math.inf], ("a", math.inf), True),
    ],
)  # fmt: skip
def test_an_infinity_of_the_library_itself_is_no_field(value: Any, default: Any, same: bool) -> None:
    assert configs._is_default(value, default) is same


def test_the_first_two_lines_of_a_fault_are_told() -> None:
    assert configs._first_line(ValueError("a  b\n\n c\nd")) == "ValueError: a b: c"
    assert configs._first_line(TypeError("x" * 300)) == f"TypeError: {'x' * 200}"
    assert configs._first_line(KeyError()) == "KeyError"


def test_fields_that_the_library_needs_to_give_the_others_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    found = library_config(LLAMA)
    usual = configs._shaping(found)
    monkeypatch.setattr(configs, "_rebuilt", lambda family, fields, wanted: None)
    whole = configs._shaping(found)
    assert usual.items() < whole.items() and "attention_dropout" not in whole and "model_type" not in whole


def test_padding_is_a_row_that_the_family_can_have() -> None:
    assert library_config({**BERT, "pad_token_id": 7}).pad_token_id is None
    assert library_config({**BERT, "model_type": "roberta", "pad_token_id": 299}).pad_token_id == 299
    assert library_config({**BERT, "model_type": "nomic_bert", "pad_token_id": 7}).pad_token_id == 0
    assert made(LLAMA, max_position_embeddings=1 << 20).config["max_position_embeddings"] == 1 << 20
    assert SPACE.limits(made(LLAMA)) == (64, 300)


def test_rotary_positions_may_be_said_in_two_parts() -> None:
    check_rope("x", {"rope_parameters": {"rope_theta": 2}, "rope_scaling": {"factor": 3}})


def test_a_word_that_is_near_is_a_field() -> None:
    fields: Any = SimpleNamespace(declared={"hidden_size": "int", "hidden_sizes": "int"}, aliases={"broad": "width"})
    names = {"hiden_size": "hidden_size", "BROAD": "width", "d_model": "hidden_size", "other": None}
    assert {name: nearest(name, fields) for name in names} == names


def test_the_initialiser_has_no_part_in_the_common_build() -> None:
    usual = made(LLAMA)
    plainly = drawing.without_initialiser(made(LLAMA, initializer_range=0.5))
    assert plainly == drawing.without_initialiser(usual) and (plainly.space, plainly.id) == ("hf", "x")
    assert usual.config.keys() - plainly.config.keys() == {"initializer_range"}


def test_the_space_hands_checkpoints_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from models.spaces.hf import checkpoint

    seen: list[Any] = []
    monkeypatch.setattr(checkpoint, "check_checkpoint", lambda *given: seen.append(given))
    monkeypatch.setattr(checkpoint, "loaded_network", lambda *given: given)
    space: Any = SPACE
    assert space.loaded("net", "weights") == ("net", "weights") and space.check_weights("net", "weights") is None
    assert seen == [("net", "weights")]
