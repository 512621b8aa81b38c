"""--weights: features of a checkpoint are those of the model that transformers loads; a line for every checkpoint that
is none."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

import cli
from fitness.features.collect import Features, collect
from fitness.features.streaming import Block, stream
from fitness.features.visit import Visit, Visited
from fitness.features.workshop import Workshop
from models.architecture import Architecture
from models.spaces import PARTED, SPACES, WEIGHTED
from models.spaces.checkpoint import BadWeights, Checkpoint
from models.spaces.hf.network import HfNetwork
from models.tokens import TokenBatch

BATCH = TokenBatch.from_passage(2, 20)
SIZES: dict[str, Any] = {
    "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 40, "vocab_size": 260, "max_position_embeddings": 64,
}  # fmt: skip
OURS: dict[str, Any] = {
    "n_layer": 3, "d_model": 24, "n_head": [4] * 3, "n_kv_head": [2] * 3, "d_ffn": [40] * 3, "n_token": 260,
    "tgt_len": 64,
}  # fmt: skip
WIDTHS = (40, 16, 25)


def trained() -> LlamaForCausalLM:
    """A library's network after a few steps, so that its weights are those of no seed."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SIZES, attn_implementation="eager"))
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    for _ in range(3):
        optimiser.zero_grad()
        model(input_ids=BATCH.tokens, labels=BATCH.tokens).loss.backward()
        optimiser.step()
    return model.eval()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "llama"
    trained().save_pretrained(folder)
    return folder


@pytest.fixture
def copied(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def ours(widths: tuple[int, ...] = (40, 40, 40), **more: Any) -> Architecture:
    return SPACES["llama"].architecture("net", {**OURS, "d_ffn": list(widths), **more})


def library(folder: Path, tie: bool = False) -> Any:
    return LlamaForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()


def shown_by(model: Any) -> dict[str, Any]:
    """H, A, Q, S and the gradients of what the library loads, watched without our code."""
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in "HAQSJ"}
    for layer in model.model.layers:
        layer.register_forward_pre_hook(lambda m, given: seen["J"].append(given[0]))
        layer.self_attn.o_proj.register_forward_pre_hook(lambda m, given: seen["H"].append(given[0]))
        layer.mlp.down_proj.register_forward_pre_hook(lambda m, given: seen["A"].append(given[0]))
        layer.self_attn.q_proj.register_forward_hook(lambda m, given, output: seen["Q"].append(output))
        layer.self_attn.register_forward_hook(lambda m, given, output: seen["S"].append(output[1]))
    logits = model(input_ids=BATCH.tokens, use_cache=False).logits[:, :-1]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), BATCH.tokens[:, 1:].flatten())
    inputs = seen["J"]
    model.requires_grad_(True)
    seen["J"] = list(torch.autograd.grad(loss, inputs, retain_graph=True))
    loss.backward()
    return {"loss": float(loss.detach()), **seen}


def maps(layer: Any) -> list[Any]:
    a, f = layer.self_attn, layer.mlp
    return [a.q_proj, a.k_proj, a.v_proj, a.o_proj, f.gate_proj, f.up_proj, f.down_proj]


def assert_same(found: Features, model: Any) -> None:
    """Forward to the last bit, gradients to rounding: those of shared keys are summed in another order."""
    wanted = shown_by(model)
    assert found.loss == wanted["loss"]
    for i, (block, layer) in enumerate(zip(found.blocks, model.model.layers, strict=True)):
        for name in "HAQ":
            assert torch.equal(block[name][0], wanted[name][i].flatten(0, 1)), (i, name)
        assert torch.equal(block["S"][0], wanted["S"][i].flatten(0, 1))
        torch.testing.assert_close(block["J"][0], wanted["J"][i].flatten(0, 1), rtol=1e-4, atol=1e-8)
        for w, g, m in zip(block["W"], block["G"], maps(layer), strict=True):
            assert torch.equal(w, m.weight)
            torch.testing.assert_close(g, m.weight.grad, rtol=1e-4, atol=1e-8)


def cut(model: Any, widths: tuple[int, ...]) -> Any:
    """The library's network with sliced weights, without our code."""
    for layer, width in zip(model.model.layers, widths, strict=True):
        for m in (layer.mlp.gate_proj, layer.mlp.up_proj):
            m.weight = torch.nn.Parameter(m.weight.detach()[:width].clone())
        layer.mlp.down_proj.weight = torch.nn.Parameter(layer.mlp.down_proj.weight.detach()[:, :width].clone())
    return model


def whole_features(folder: Path, architecture: Architecture) -> Features:
    found = Checkpoint.open(folder)
    WEIGHTED[architecture.space].check_weights(architecture, found)
    return Visited.run(architecture, BATCH, weights=found).features


@pytest.mark.parametrize("widths", [(40, 40, 40), WIDTHS], ids=["whole", "sliced"])
def test_features_are_those_of_the_model_that_the_library_loads(checkpoint: Path, widths: tuple[int, ...]) -> None:
    architecture = ours(widths)
    found = whole_features(checkpoint, architecture)
    assert_same(found, cut(library(checkpoint), widths))
    seen: dict[int, Block] = {}
    loss = stream(
        PARTED["llama"].parts(architecture, 0, None, Checkpoint.open(checkpoint)), BATCH.tokens, seen.__setitem__
    )
    assert loss == found.loss
    assert all(
        torch.equal(x, y) for i, b in enumerate(found.blocks) for n in b for x, y in zip(b[n], seen[i][n], strict=True)
    )


def test_half_precision_and_shards_are_read(checkpoint: Path, tmp_path: Path) -> None:
    model = library(checkpoint).to(torch.bfloat16)
    model.save_pretrained(tmp_path / "shards", max_shard_size="10KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    assert_same(whole_features(tmp_path / "shards", ours(WIDTHS)), cut(library(tmp_path / "shards"), WIDTHS))


def test_tied_tables_are_read_once(tmp_path: Path) -> None:
    model = LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=True))
    model.save_pretrained(tmp_path)
    assert_same(whole_features(tmp_path, ours(tied=True)), library(tmp_path))
    with pytest.raises(BadWeights, match=r"config.json: tie_word_embeddings: got True, wanted False for net"):
        whole_features(tmp_path, ours())


FAMILIES: dict[str, dict[str, Any]] = {
    "llama": SIZES,
    "gpt2": {"n_embd": 24, "n_layer": 2, "n_head": 4, "vocab_size": 260, "n_positions": 64},
    "bert": {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32,
             "vocab_size": 260, "max_position_embeddings": 64},
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_networks_of_the_library_take_its_checkpoints(family: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    config = AutoConfig.for_model(family, **FAMILIES[family])
    AutoModel.from_config(config).save_pretrained(tmp_path / "base")
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "head")
    architecture = SPACES["hf"].architecture("net", {"model_type": family, **FAMILIES[family]})
    folder = tmp_path / ("base" if family == "bert" else "head")
    found, fresh = whole_features(folder, architecture), HfNetwork(architecture, 0)
    other: Any = AutoModel if family == "bert" else AutoModelForCausalLM
    fresh.model.load_state_dict(other.from_pretrained(folder, dtype=torch.float32).state_dict())
    wanted = collect(fresh, BATCH)
    assert found.loss == wanted.loss
    assert all(
        torch.equal(x, y) for a, b in zip(found.blocks, wanted.blocks, strict=True) for n in b
        for x, y in zip(a[n], b[n], strict=True)
    )  # fmt: skip


def test_a_gated_network_of_the_library_can_be_narrower_than_its_checkpoint(checkpoint: Path) -> None:
    narrow = SPACES["hf"].architecture("net", {"model_type": "llama", **SIZES, "intermediate_size": 16})
    found = whole_features(checkpoint, narrow)
    assert_same(found, cut(library(checkpoint), (16, 16, 16)))


def test_the_bank_never_mixes_weights(checkpoint: Path, copied: Path, tmp_path: Path) -> None:
    tensors = load_file(copied / "model.safetensors")
    save_file({**tensors, "lm_head.weight": tensors["lm_head.weight"] + 1e-3}, copied / "model.safetensors")
    keys = [
        Workshop.open("llama", devices="cpu", bank=tmp_path, weights=weights).bank.key.digest
        for weights in (None, checkpoint, copied)
    ]
    assert len(set(keys)) == 3
    again = Path(shutil.copytree(checkpoint, tmp_path / "elsewhere"))
    assert Workshop.open("llama", devices="cpu", bank=tmp_path, weights=again).bank.key.digest == keys[1]


def test_a_visit_with_weights_travels_to_workers(checkpoint: Path, tmp_path: Path) -> None:
    workshop = Workshop.open("llama", devices="cpu", bank=tmp_path, weights=checkpoint)
    task = pickle.loads(pickle.dumps(Visit(workshop.bank, BATCH, ours(), (), False, workshop.weights, True)))
    assert task.weights.tensors == workshop.weights.tensors and task.streamed  # type: ignore[union-attr]


def ranked(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = cli.main(["rank", *args, "--batch", "2", "--seq-len", "20", "--devices", "cpu"])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_rank_reads_subnets_of_a_checkpoint(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    records = [{"id": f"n{i}", "config": {**OURS, "d_ffn": [40, 40 - 8 * i, 40]}} for i in range(3)]
    (tmp_path / "nets.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    more = ("--space", "llama", "--proxy", "sum[ frobenius_norm(W) ]", "--format", "jsonl")
    scores = {}
    for name, way in {"fresh": (), "whole": ("--weights", str(checkpoint)),
                      "stream": ("--weights", str(checkpoint), "--stream", "--bank", "other")}.items():  # fmt: skip
        code, out, err = ranked(capsys, "nets.jsonl", *more, *way)
        assert code == 0, err
        scores[name] = {row["id"]: row["score"] for row in map(json.loads, out.splitlines())}
    assert scores["whole"] == scores["stream"] != scores["fresh"]
    norms = [
        sum(float(m.weight.detach().double().norm()) for layer in model.model.layers for m in maps(layer))
        for model in (cut(library(checkpoint), (40, 40 - 8 * i, 40)) for i in range(3))
    ]
    assert [scores["whole"][f"n{i}"] for i in range(3)] == pytest.approx(norms, rel=1e-4)


def test_rank_refuses_in_one_line(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    proxy = ("--proxy", "sum[ frobenius_norm(W) ]")
    code, _, err = ranked(capsys, "--sample", "1", "--space", "gpt2", *proxy, "--weights", str(checkpoint))
    assert code == 2 and "--weights: got gpt2-0-0 of the space gpt2, wanted candidates of llama or hf" in err
    code, _, err = ranked(capsys, "--sample", "1", "--space", "llama", *proxy, "--weights", "nowhere")
    assert code == 1 and "nowhere: no such folder" in err and "Traceback" not in err
    code, _, err = ranked(capsys, str(checkpoint), *proxy, "--stream")
    assert code == 1 and "--stream: got the space hf, wanted llama" in err


def test_a_config_that_the_library_refuses_is_named_with_its_file(copied: Path) -> None:
    change(copied / "config.json", model_type="no such family")
    with pytest.raises(BadWeights, match=r"copy/config.json: model_type: got 'no such family'"):
        whole_features(copied, SPACES["hf"].architecture("net", {"model_type": "llama", **SIZES}))


def test_a_formula_of_another_space_ranks_the_networks_of_a_checkpoint(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hall = Path(cli.__file__).parent / "proxies" / "gpt2-mini.json"
    code, _, err = ranked(
        capsys, str(checkpoint), "--hall", str(hall), "--weights", str(checkpoint), "--bank", str(tmp_path)
    )
    assert code == 0 and "transfer: 1 of 1 candidates are of another space than gpt2" in err, err
