"""The pass that shows how a Hugging Face network is laid out: what it counts, what it answers, which way it takes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_models_hf import FAMILIES, architecture
from torch import nn

from models.architecture import BadArchitecture
from models.spaces.hf import layout, library, trace
from models.spaces.hf.config import library_config


@pytest.mark.parametrize("family", [*FAMILIES][:4])
def test_where_torch_counts_nothing_else_one_length_tells_the_products(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths, once = list[int](), layout.trace

    def counted(model: Any, config: Any, length: int = layout.LENGTH) -> Any:
        lengths.append(length)
        return once(model, config, length)

    monkeypatch.setattr(layout, "trace", counted)
    layout.layout_of.__wrapped__(architecture(family))
    assert lengths == [layout.LENGTH]


@pytest.mark.parametrize("room", [0, -1])
def test_a_pass_with_numbers_is_for_small_networks(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    config = library_config(architecture("llama").config)
    model = library.make(config)
    monkeypatch.setattr(trace, "MOST_RUN", sum(p.numel() for p in model.parameters()) + room)
    if room:
        with pytest.raises(ValueError, match="parameters are too many for a pass with numbers"):
            trace._small_pass(model, config, 3)
    else:
        seen, wanted = trace._small_pass(model, config, 3), trace.trace(model, config)
        assert seen.pairs == wanted.pairs and seen.flops == wanted.flops


@pytest.mark.parametrize("twice", ["layers.1", "layers.1.self_attn"])
def test_a_block_that_runs_twice_is_refused(twice: str) -> None:
    seen = trace.Trace()
    seen.attentions |= {f"layers.{i}": f"layers.{i}.self_attn" for i in range(2)}
    seen.runs.update({name: 1 for pair in seen.attentions.items() for name in pair})
    layout._check_once(seen, "family")
    seen.runs[twice] = 2
    with pytest.raises(
        BadArchitecture, match=r"family: layers.1: got a block that runs 2 times in a pass, wanted once"
    ):
        layout._check_once(seen, "family")


@pytest.mark.parametrize(("counted", "again", "wanted"), [(48, None, (10, 2)), (45, 95, (9, 2)), (46, 95, (10, 2))])
def test_two_lengths_tell_products_of_tokens_from_those_of_pairs(
    counted: int, again: int | None, wanted: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three tokens and of five: 9 t + 2 p for one that torch counts whole, the usual numbers where it does not."""
    found: Any = iter((counted, again))
    monkeypatch.setattr(layout, "_inside", lambda seen, blocks: next(found))
    monkeypatch.setattr(layout, "trace", lambda model, config, length: None)
    nothing: Any = None
    assert layout._products(nothing, nothing, nothing, nothing, 10, 2) == wanted


@pytest.mark.parametrize("answers", [False, True])
def test_numbers_are_answered_in_a_pass_that_asks_for_answers(answers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made, own = list[bool](), trace.Answers
    monkeypatch.setattr(trace, "Answers", lambda: made.append(True) or own())
    monkeypatch.setattr(trace, "run", lambda model, **given: float(given["x"].sum()) if answers else None)
    asked: Any = {"answers": True} if answers else {}
    trace._pass(torch.nn.Linear(1, 1), **asked, x=torch.ones(3, device="meta"))  # type: ignore[arg-type]
    assert bool(made) is answers


def test_answers_are_zero_of_the_kind_that_is_asked() -> None:
    with trace.Answers():
        assert torch.ones(1, device="meta").item() == 0 and torch.ones(1).item() == 1
        assert torch.ones(1, dtype=torch.bool, device="meta").item() is False
        assert torch.ones(1, dtype=torch.int64, device="meta").item() == 0


@pytest.mark.parametrize("by_output", [True, False])
@pytest.mark.parametrize("decoder", [True, False])
def test_a_pass_asks_for_what_can_be_watched(by_output: bool, decoder: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "by_output", lambda config: by_output)
    monkeypatch.setattr(library, "is_decoder", lambda config: decoder)

    class Model:
        config = None

        def __call__(self, **given: Any) -> dict[str, Any]:
            return given

    wanted: dict[str, Any] = {"x": 1} | ({"output_attentions": True} if by_output else {})
    assert library.run(Model(), x=1) == wanted | ({"use_cache": False} if decoder else {})  # type: ignore[arg-type]


def block(**maps: nn.Module) -> Any:
    """A model of one block whose attention is one map."""
    return nn.ModuleDict({"0": nn.ModuleDict({"attn": nn.ModuleDict({"q": nn.Linear(6, 6)}), **maps})})


@pytest.mark.parametrize(("called", "width"), [({}, 0), ({"0.attn.q": torch.ones(1, 6)}, 6)])
def test_a_block_without_an_ffn_is_refused(called: dict[str, torch.Tensor], width: int) -> None:
    seen = trace.Trace(attentions={"0": "0.attn"}, heads={"0": None}, maps=called)
    with pytest.raises(BadArchitecture) as caught:
        layout._block(block(), seen, "0", "x")
    assert str(caught.value) == f"x: 0: got no FFN of linear maps that leads back to the width {width}"


def test_the_last_map_of_the_ffn_comes_from_the_most_features() -> None:
    maps: Any = {"up": nn.Linear(6, 9), "down": nn.Linear(9, 6), "gate": nn.Linear(2, 6)}
    seen = trace.Trace(attentions={"0": "0.attn"}, heads={"0": None}, widths={"0": 6})
    seen.maps = {f"0.{name}": torch.ones(1, 6) for name in ("attn.q", *maps)}
    found = layout._block(block(**maps), seen, "0", "x")
    roles = (("0.attn.q", "attn"), ("0.up", "ffn"), ("0.down", "ffn"), ("0.gate", "ffn"))
    assert found == layout.HfBlock("0", "0.attn", roles, "0.attn.q", "0.attn.q", "0.down")
    seen.widths = {"0": 5}
    assert layout._block(block(**maps), seen, "0", "x").query is None
    with pytest.raises(BadArchitecture) as caught:
        layout._block(block(**maps, more=nn.Linear(2, 3)), seen, "0", "x")
    assert str(caught.value) == "x: 0.more.weight: got weights (3 x 2) of no linear map that every token passes"
    layout._check_flat(block(**maps), "x")
    stack = nn.Module()
    stack.experts = nn.Parameter(torch.ones(2, 3, 4))
    with pytest.raises(BadArchitecture) as caught:
        layout._check_flat(stack, "x")
    assert str(caught.value) == "x: experts: got weights (2 x 3 x 4) of no linear map that every token passes"


@pytest.mark.parametrize("more", [0, 1])
def test_tables_that_are_no_weights_have_a_bound(more: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "MOST_TABLES", 40 - more)
    tables = nn.Module()
    tables.register_buffer("a", torch.ones(2))
    tables.register_buffer("b", torch.ones(4, dtype=torch.float64))
    if not more:
        layout._check_tables(tables, "x")
        return
    with pytest.raises(BadArchitecture) as caught:
        layout._check_tables(tables, "x")
    assert str(caught.value) == (
        "x: got tables of 0.0 GiB that are no weights, the largest is b; wanted at most 0 GiB, so lower the number of "
        "positions"
    )
