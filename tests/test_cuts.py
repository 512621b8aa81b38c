"""Subnets of a checkpoint: measured as the library's networks are, with whatever they share computed once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_checkpoint
import torch
from transformers import LlamaForCausalLM

from models.spaces.checkpoint import Checkpoint
from models.spaces.llama.checkpoint import whole_architecture
from models.spaces.llama.configuration import ORDERS
from models.spaces.llama.space import LlamaSpace
from models.spaces.llama.unit_order import unit_order
from models.tokenizer import TextTokenizer
from models.training.cuts import measuring
from models.training.cuts.campaign import measure_cuts, verify_cuts
from models.training.cuts.measuring import Cut, CutNetwork
from models.training.cuts.plan import BadCampaign, CutPlan, windows_of
from models.training.cuts.sample import CutSample

TOKENS = torch.arange(34).view(2, 17) * 7 % 262
SAMPLE = CutSample(cost=(9.0, 0.1, 0.2, 0.1), levels=(0.9, 0.7), borders=(0, 2), branches=(3, 2), steps=4)
PLAN = CutPlan(SAMPLE, length=12, parts=2, rounds=2, calibration=3, few=1)
CUTS: list[Cut] = [
    ((40, 3),) * 4,
    ((40, 3), None, (20, 2), (40, 3)),
    ((40, 3), None, (20, 2), (10, 1)),
    ((30, 1), (40, 3), (40, 3), None),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint.write(tmp_path_factory.mktemp("cuts") / "tiny")


def energies(model: Any, tokens: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Energy of every unit of the library's network: the squared activations times the squared weights that read them."""
    seen: dict[str, list[torch.Tensor]] = {"ffn": [], "attn": []}
    for layer in model.model.layers:
        layer.mlp.down_proj.register_forward_pre_hook(lambda m, given: seen["ffn"].append(given[0]))
        layer.self_attn.o_proj.register_forward_pre_hook(lambda m, given: seen["attn"].append(given[0]))
    with torch.no_grad():
        model(input_ids=tokens)
    found: dict[str, list[torch.Tensor]] = {}
    for kind, name in (("ffn", "mlp.down_proj"), ("attn", "self_attn.o_proj")):
        weights = [layer.get_submodule(name).weight for layer in model.model.layers]
        found[kind] = [
            (x.double() ** 2).sum((0, 1)) * (w.detach().double() ** 2).sum(0)
            for x, w in zip(seen[kind], weights, strict=True)
        ]
    return found["ffn"], [x.view(3, -1).sum(1) for x in found["attn"]]


@torch.no_grad()
def cut_by_hand(folder: Path, cut: Cut) -> Any:
    """The library's network with blocks removed and units chosen one by one, without our code."""
    model: Any = LlamaForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    ffn, groups = energies(LlamaForCausalLM.from_pretrained(folder, attn_implementation="eager"), TOKENS)
    for index, kept in enumerate(cut):
        if kept is None:
            continue
        layer = model.model.layers[index]
        units = sorted(range(40), key=lambda u: -float(ffn[index][u]))[: kept[0]]
        chosen = sorted(range(3), key=lambda g: -float(groups[index][g]))[: kept[1]]
        queries = [8 * g + i for g in chosen for i in range(8)]
        keys = [4 * g + i for g in chosen for i in range(4)]
        rows = {"self_attn.q_proj": queries, "self_attn.k_proj": keys, "self_attn.v_proj": keys}
        for name, picked in {**rows, "mlp.gate_proj": units, "mlp.up_proj": units}.items():
            linear = layer.get_submodule(name)
            linear.weight = torch.nn.Parameter(linear.weight.detach()[picked])
        for name, picked in {"self_attn.o_proj": queries, "mlp.down_proj": units}.items():
            linear = layer.get_submodule(name)
            linear.weight = torch.nn.Parameter(linear.weight.detach()[:, picked])
    kept_layers = [layer for layer, kept in zip(model.model.layers, cut, strict=True) if kept is not None]
    for index, layer in enumerate(kept_layers):
        layer.self_attn.layer_idx = index
    model.model.layers = torch.nn.ModuleList(kept_layers)
    return model


def loss_of(model: Any, tokens: torch.Tensor) -> float:
    with torch.no_grad():
        logits = model(input_ids=tokens, use_cache=False).logits[:, :-1]
    return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()))


def cut_network(folder: Path) -> CutNetwork:
    weights = Checkpoint.open(folder)
    parts = LlamaSpace().parts(whole_architecture(weights), 0, weights=weights)
    return CutNetwork(parts, unit_order("activation", parts, TOKENS))


def test_losses_are_those_of_the_librarys_networks_cut_by_hand(folder: Path) -> None:
    found = cut_network(folder).losses(CUTS, TOKENS)
    for cut, losses in zip(CUTS, found, strict=True):
        model = cut_by_hand(folder, cut)
        assert losses == pytest.approx([loss_of(model, TOKENS[:1]), loss_of(model, TOKENS[1:])], abs=2e-6)
    assert len({round(row[0], 4) for row in found}) == len(CUTS)


def test_blocks_that_subnets_begin_with_are_computed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    block = measuring.LlamaBlock

    def counted(self: Any, x: torch.Tensor) -> torch.Tensor:
        passes.append(1)
        return forward(self, x)

    network, forward = cut_network(folder), block.forward
    monkeypatch.setattr(block, "forward", counted)
    network.losses(CUTS, TOKENS)
    # Whole: 4 blocks. Of the second and third the first block is its, the next one is shared, one each remains; the
    # last shares nothing: 3.
    assert len(passes) == 4 + 1 + 2 + 3


@torch.no_grad()
@pytest.mark.parametrize("kind", ORDERS)
def test_units_are_ordered_as_stated(folder: Path, kind: str) -> None:
    weights = Checkpoint.open(folder)
    parts = LlamaSpace().parts(whole_architecture(weights), 0, weights=weights)
    order = unit_order(kind, parts, TOKENS)
    library: Any = LlamaForCausalLM.from_pretrained(folder, attn_implementation="eager")
    for index, layer in enumerate(library.model.layers):
        maps = (layer.mlp.gate_proj.weight, layer.mlp.up_proj.weight, layer.mlp.down_proj.weight.T)
        if kind == "first":
            wanted, groups = list(range(40)), list(range(3))
        elif kind == "magnitude":
            sizes = [sum(float((m[u] ** 2).sum()) for m in maps) for u in range(40)]
            wanted = sorted(range(40), key=lambda u: -sizes[u])
            attention = layer.self_attn
            heads = (
                attention.q_proj.weight,
                attention.k_proj.weight,
                attention.v_proj.weight,
                attention.o_proj.weight.T,
            )
            shares = [sum(float((m.reshape(3, -1)[g] ** 2).sum()) for m in heads) for g in range(3)]
            groups = sorted(range(3), key=lambda g: -shares[g])
        else:
            ffn, attn = energies(LlamaForCausalLM.from_pretrained(folder, attn_implementation="eager"), TOKENS)
            wanted = sorted(range(40), key=lambda u: -float(ffn[index][u]))
            groups = sorted(range(3), key=lambda g: -float(attn[index][g]))
        assert order.ffn[index].tolist() == wanted
        assert order.groups[index].tolist() == groups


def read(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    header, *records = map(json.loads, path.read_text().splitlines())
    return header, records


@pytest.mark.slow
def test_a_stopped_measuring_goes_on_to_the_same_table(folder: Path, tmp_path: Path) -> None:
    weights, asked = Checkpoint.open(folder), []

    def stop_sometimes() -> bool:
        asked.append(1)
        return len(asked) in (2, 5)

    whole = measure_cuts(tmp_path / "whole.jsonl", weights, tmp_path, PLAN)
    path = tmp_path / "again" / "whole.jsonl"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            measure_cuts(path, weights, tmp_path / "again", PLAN, should_stop=stop_sometimes)
    measure_cuts(path, weights, tmp_path / "again", PLAN, stages=3)
    assert read(path)[0]["stages"] == {"done": 3, "of": 4}
    for log in (tmp_path / "again").glob("*.partial.jsonl"):
        log.unlink()  # only the table travels to another machine
    measure_cuts(path, weights, tmp_path / "again", PLAN)
    ours, theirs = read(path), read(whole)
    assert ours[0] == theirs[0] | {"noise_ceiling": ours[0]["noise_ceiling"]}
    for a, b in zip(ours[1], theirs[1], strict=True):
        assert a["config"] == b["config"] and a["loss"] == pytest.approx(b["loss"], abs=3e-6)


def test_two_workers_write_the_same_table(folder: Path, tmp_path: Path) -> None:
    weights = Checkpoint.open(folder)
    one = measure_cuts(tmp_path / "one" / "t.jsonl", weights, tmp_path / "one", PLAN, stages=1)
    two = measure_cuts(tmp_path / "two" / "t.jsonl", weights, tmp_path / "two", PLAN, stages=1, jobs=2)
    assert one.read_bytes() == two.read_bytes()


def test_the_table_holds_the_losses_of_both_texts(folder: Path, tmp_path: Path) -> None:
    path = measure_cuts(tmp_path / "t.jsonl", Checkpoint.open(folder), tmp_path, PLAN)
    header, records = read(path)
    assert header.pop("noise_ceiling") is None or header  # a correlation of two parts, where there is one
    assert {name: header[name] for name in header if name not in ("plan", "checkpoint", "tokenizer", "text")} == {
        "schema": 1, "name": "t", "space": "llama", "metric": "loss", "higher_is_better": False,
        "unit": "nats per token of the measured text", "torch": torch.__version__, "stages": {"done": 4, "of": 4},
        "measured_tokens": 2 * 2 * 11, "noise": "disjoint parts of the measured text, one checkpoint",
    }  # fmt: skip
    assert [record["id"] for record in records] == ["whole", *(f"cut-{i:03d}" for i in range(len(records) - 1))]
    assert all(record["loss"] == round(sum(record["replicates"]) / 2, 6) for record in records)
    tokenizer = TextTokenizer.of(folder)
    assert tokenizer is not None
    windows = windows_of(tokenizer, PLAN)
    assert records[0]["id"] == "whole" and "keep" not in records[0]["config"]
    model = LlamaForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    for part in range(2):
        wanted = np.mean([loss_of(model, windows.measured[r, part][None]) for r in range(2)])
        assert records[0]["replicates"][part] == pytest.approx(wanted, abs=3e-6)
    assert records[0]["calibration_few"] == pytest.approx(loss_of(model, windows.calibration[:1]), abs=3e-6)
    assert records[0]["calibration_all"] == pytest.approx(loss_of(model, windows.calibration), abs=3e-6)


def test_a_table_of_another_plan_is_refused(folder: Path, tmp_path: Path) -> None:
    path, weights = tmp_path / "t.jsonl", Checkpoint.open(folder)
    measure_cuts(path, weights, tmp_path, PLAN, stages=1)
    with pytest.raises(ValueError, match=r"measured with other values of plan; restore them"):
        measure_cuts(path, weights, tmp_path, replace(PLAN, length=13))


def test_some_subnets_measured_again_agree_with_the_table(folder: Path, tmp_path: Path) -> None:
    weights = Checkpoint.open(folder)
    path = measure_cuts(tmp_path / "t.jsonl", weights, tmp_path, PLAN, stages=3)
    found = verify_cuts(path, weights, 3, 0, PLAN)
    assert found.agrees and len(found.checks) == 3
    lines = path.read_text().splitlines()
    changed = [json.loads(line) for line in lines[1:]]
    for record in changed:
        record["replicates"] = [value + 0.01 for value in record["replicates"]]
    path.write_text("\n".join([lines[0], *map(json.dumps, changed)]) + "\n")
    assert not any(check.agrees for check in verify_cuts(path, weights, 3, 0, PLAN).checks)


def test_a_checkpoint_of_another_depth_is_none_of_the_plan(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadCampaign, match=r"tiny: got 4 blocks, wanted 30, those of the plan"):
        measure_cuts(tmp_path / "t.jsonl", Checkpoint.open(folder), tmp_path)


def test_a_checkpoint_without_a_tokenizer_is_refused(folder: Path, tmp_path: Path) -> None:
    tiny_checkpoint.network().save_pretrained(tmp_path / "bare")
    with pytest.raises(BadCampaign, match=r"bare: has no tokenizer\.json, wanted"):
        measure_cuts(tmp_path / "t.jsonl", Checkpoint.open(tmp_path / "bare"), tmp_path, PLAN)


def test_a_narrow_block_shows_the_weights_of_the_whole_one_and_copies_none(folder: Path) -> None:
    network = cut_network(folder)
    narrow, whole = network.block(0, (5, 1)), dict(network._whole[0].named_parameters())
    for name, parameter in narrow.named_parameters():
        assert not parameter.requires_grad and parameter.data_ptr() == whole[name].data_ptr()
    assert narrow.mlp.down_proj.weight.shape[1] == 5
