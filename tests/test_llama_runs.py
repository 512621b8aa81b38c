"""Blocks of the space llama that run several times in a row: networks, counts, streams, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import program as zcp
from test_llama_relatives import MOBILELLM_125M, changed
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from fitness.features.collect import collect
from fitness.features.streaming import stream
from fitness.features.visit import Visited
from models.architecture import BadArchitecture
from models.benchmarks.layouts.fields import FIELDS
from models.spaces import SPACES
from models.spaces.checkpoint import BadWeights, Checkpoint
from models.spaces.llama.library import library_fields
from models.spaces.llama.network import LlamaNetwork
from models.spaces.llama.relatives import as_llama
from models.spaces.llama.weights import elastic_tensors, subnet
from models.spaces.variation import region_of
from models.tokens import TokenBatch
from primitives import parse, score

SPACE = SPACES["llama"]
ONCE: dict[str, Any] = {
    **{"n_layer": 2, "d_model": 32, "n_token": 256, "tgt_len": 64},
    **{"n_head": [4, 2], "n_kv_head": [2, 1], "d_ffn": [48, 80]},
}
TWICE = {**ONCE, "runs": 2}
LABELLED = SPACE.architecture("twice", TWICE)


def test_the_loss_is_that_of_each_block_called_twice(batch: TokenBatch) -> None:
    network: Any = SPACE.build(LABELLED, 0)
    plain = LlamaNetwork(ONCE | SPACE.check(ONCE))
    names = {"0": "0", "1": "2"}  # the first run of each block
    stored = network.state_dict()
    for name in plain.state_dict():
        part = name.split(".")
        if part[1] == "layers":
            part[2] = names[part[2]]
        plain.state_dict()[name].copy_(stored[".".join(part)])
    x = plain.embed(batch.tokens)
    for block in plain.model.layers:
        x = block(block(x))
    wanted = plain.predicted(plain.model.norm(x), batch.tokens)
    assert network.loss(batch.tokens).item() == wanted.item()
    assert plain.loss(batch.tokens).item() != pytest.approx(wanted.item(), abs=1e-6)


def test_runs_share_memory_and_are_counted_once() -> None:
    network: Any = SPACE.build(LABELLED, 0)
    stored = {p.data_ptr(): p.numel() for p in network.parameters()}
    assert SPACE.parameters(LABELLED).total == sum(stored.values())
    assert SPACE.parameters(LABELLED) == SPACE.parameters(SPACE.architecture("once", ONCE))
    assert len(network.model.layers) == SPACE.shape(LABELLED)[0] == 4


def test_multiply_adds_are_those_of_every_run() -> None:
    network, tokens = SPACE.build(LABELLED, 0), torch.zeros(1, 16, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.hidden(tokens)  # type: ignore[operator]
    assert 2 * SPACE.multiply_adds(LABELLED, 16) == counter.get_total_flops()


def test_the_gradients_of_the_runs_add_up_to_that_of_the_weights(batch: TokenBatch) -> None:
    network: Any = SPACE.build(LABELLED, 0)
    name = "mlp.up_proj.weight"
    blocks = collect(network, batch).blocks
    place = [
        i
        for i, tensor in enumerate(blocks[0]["W.ffn"])
        if torch.equal(tensor, network.model.layers[0].mlp.up_proj.weight)
    ]
    tied = network.model.layers[0].mlp.up_proj.weight.detach().clone().requires_grad_()
    weights = {f"model.layers.{i}.{name}": tied for i in (0, 1)}
    wanted = torch.autograd.grad(functional_call(network, weights, (batch.tokens,)), tied)[0]
    found = [blocks[i]["G.ffn"][place[0]] for i in (0, 1)]
    assert not torch.equal(*found)
    assert torch.allclose(sum(found), wanted, rtol=1e-5, atol=1e-9)


def test_a_stream_shows_what_a_visit_shows(batch: TokenBatch) -> None:
    whole, seen = Visited.run(LABELLED, batch), dict[int, Any]()
    loss = stream(SPACE.parts(LABELLED, 0), batch.tokens, lambda i, block: seen.update({i: block}))
    assert loss == whole.features.loss and len(seen) == len(whole.features.blocks) == 4
    for index, block in enumerate(whole.features.blocks):
        for name, tensors in block.items():
            assert all(torch.equal(x, y) for x, y in zip(tensors, seen[index][name], strict=True)), name
    assert score(parse("sum[ l1_norm(J) ]"), whole.features.blocks) > 0


@pytest.mark.parametrize("value", [0, 5, 1.5, "2", True, [2, 2]])
def test_runs_are_one_to_four(value: Any) -> None:
    with pytest.raises(BadArchitecture, match="runs: got"):
        SPACE.architecture("x", {**ONCE, "runs": value})


def test_one_run_is_what_goes_without_saying() -> None:
    once = SPACE.architecture("once", ONCE)
    assert SPACE.architecture("once", {**ONCE, "runs": 1}).digest == once.digest != LABELLED.digest
    assert SPACE.architecture("x", {**ONCE, "runs": 4}).config["runs"] == 4
    assert "runs" in FIELDS["llama"]


@pytest.mark.parametrize("change", [{"keep": [0, 3]}, {"order": "magnitude"}])
def test_a_subnet_runs_its_blocks_once(change: dict[str, Any]) -> None:
    with pytest.raises(BadArchitecture, match="runs: got 2, wanted 1 in a subnet"):
        SPACE.architecture("x", {**TWICE, **change})
    assert SPACE.architecture("x", {**TWICE, "order": "first"}).config["runs"] == 2


def test_neither_a_checkpoint_nor_the_library_has_such_blocks() -> None:
    equal = {**TWICE, "n_head": [4, 4], "n_kv_head": [2, 2], "d_ffn": [48, 48]}
    with pytest.raises(BadArchitecture, match="runs: got 2, wanted 1, as the library has"):
        library_fields(SPACE.check(equal))
    weights = Checkpoint(Path("x"), {"model_type": "llama"}, {}, {}, "")
    with pytest.raises(BadWeights, match="runs: got 2, wanted 1 with the weights"):
        SPACE.check_weights(SPACE.architecture("x", equal), weights)  # type: ignore[attr-defined]


def test_runs_are_not_trained_apart(tmp_path: Path) -> None:
    wide = {**TWICE, "n_token": 256, "tgt_len": 128}
    (configs := tmp_path / "configs.jsonl").write_text(json.dumps({"id": "a", "space": "llama", "config": wide}))
    done = zcp("benchmarks", "train", "llama-mini", "--configs", configs, "--out", tmp_path / "out.jsonl")
    assert done.returncode == 1 and "a: runs: got 2, wanted 1; each run would be trained apart" in done.stderr
    assert not (tmp_path / "out.jsonl").exists()
    with pytest.raises(BadArchitecture, match="t: runs: the build as_trained has weights for networks without"):
        SPACE.build(SPACE.architecture("t", {**subnet([96] * 8), "runs": 2}), 0, "as_trained")
    with pytest.raises(BadArchitecture, match="t: head_dim: the build as_trained has weights for networks without"):
        elastic_tensors(SPACE.architecture("t", {**subnet([96] * 8), "head_dim": 16}))


def test_a_region_keeps_to_fields_that_all_have() -> None:
    """A benchmark may hold networks with and without head_dim or runs."""
    known = [SPACE.architecture(str(i), c) for i, c in enumerate((TWICE, ONCE, {**ONCE, "head_dim": 4}))]
    for order in (known, known[::-1]):
        values = region_of(order, SPACE.fields).values  # type: ignore[arg-type]
        assert values.keys() == ONCE.keys() | {"tied", "norm", "norm_eps", "rope_theta"}


@pytest.mark.parametrize("shared", [True, False, None])
def test_mobilellm_with_shared_layers_runs_each_twice(shared: bool | None) -> None:
    architecture = SPACE.architecture("ls", as_llama(changed(MOBILELLM_125M, layer_sharing=shared)))
    assert architecture.config.get("runs", 1) == (2 if shared else 1)
    assert round(SPACE.parameters(architecture).total / 1e6, 1) == 124.6
    assert SPACE.shape(architecture) == (60 if shared else 30, 576)


def test_rank_reads_it_beside_the_one_that_shares_nothing(tmp_path: Path) -> None:
    small = changed(MOBILELLM_125M, num_hidden_layers=2, hidden_size=36, intermediate_size=48, vocab_size=300)
    for name, shared in (("apart", False), ("shared", True)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({**small, "layer_sharing": shared}))
    command = ("rank", tmp_path / "apart", tmp_path / "shared", "--space", "llama", "--bank", tmp_path / "bank")
    done = zcp(*command, "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    rows = {row["id"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert rows["apart"]["params"] == rows["shared"]["params"] and 2 * rows["apart"]["flops"] == rows["shared"]["flops"]
    assert rows["apart"]["score"] != rows["shared"]["score"]
