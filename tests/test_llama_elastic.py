"""llama-elastic: slices are networks of the library, a stopped training goes on as if it had not been, and what is
committed is what is measured."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_llama_space import hugging_face
from transformers import LlamaForCausalLM

import cli
from models.architecture import BadArchitecture
from models.benchmarks.origins import ORIGINS, verify
from models.spaces import SPACES
from models.spaces.llama import weights as stored_weights
from models.spaces.llama.weights import SUPERNET, SUPERNET_DIGEST, SUPERNET_FILE, subnet
from models.training import verify_by_measuring
from models.training.elastic import WIDTHS, ElasticPlan, ElasticProgress, part_losses, subnets, train_elastic
from models.training.learning import Budget
from storage.files import BadFile
from storage.log import OtherTask

SPACE = SPACES["llama"]
MIXED = (384, 192, 240, 288, 336, 384, 192, 240)
TINY = ElasticPlan(Budget(steps=4, batch=2, length=16), levels=(6, 9), each=2, parts=3, windows=4)


def architecture(widths: tuple[int, ...], **more: Any) -> Any:
    return SPACE.architecture("x", {**subnet(widths), **more})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A supernet of four steps and its nine subnets, made without interruption."""
    return train_elastic(tmp_path_factory.mktemp("elastic") / "tiny.jsonl", plan=TINY)


def test_five_widths_are_lonas_ratios_of_the_full_one() -> None:
    assert [width / WIDTHS[0] for width in WIDTHS] == [1, 0.875, 0.75, 0.625, 0.5]


def test_subnets_are_distinct_spread_over_total_width_and_anchored() -> None:
    found = subnets()
    assert len(found) == len({a.digest for a in found}) == 528
    assert [a.id for a in found[:3]] == ["full", "middle", "smallest"]
    assert [set(a.config["d_ffn"]) for a in found[:3]] == [{384}, {288}, {192}]
    totals = [sum(a.config["d_ffn"]) for a in found[3:]]
    assert len(set(totals)) == 21 and all(totals.count(total) == 25 for total in set(totals))
    assert {width for a in found for width in a.config["d_ffn"]} == set(WIDTHS)


@pytest.mark.parametrize("widths", [(192,) * 8, (288,) * 8], ids=["smallest", "middle"])
def test_a_slice_is_the_librarys_network_with_the_sliced_weights(widths: tuple[int, ...]) -> None:
    whole = load_file(SUPERNET_FILE)
    config = subnet(widths)
    theirs = LlamaForCausalLM(hugging_face(config)).eval()
    cut = {}
    for name, tensor in whole.items():
        rows, columns = name.endswith(("gate_proj.weight", "up_proj.weight")), name.endswith("down_proj.weight")
        cut[name] = (tensor[: widths[0]] if rows else tensor[:, : widths[0]] if columns else tensor).float()
    theirs.load_state_dict(cut)
    tokens = torch.randint(256, (2, 20), generator=torch.Generator().manual_seed(0))
    ours: Any = SPACE.build(SPACE.architecture("x", config), 0, "as_trained")
    assert torch.equal(ours.hidden(tokens), theirs.model(tokens).last_hidden_state)


def test_narrowing_a_block_is_the_same_as_silencing_its_last_units() -> None:
    narrow: Any = SPACE.build(architecture(MIXED), 0, "as_trained")
    full: Any = SPACE.build(architecture((384,) * 8), 0, "as_trained")
    with torch.no_grad():
        for layer, width in zip(full.model.layers, MIXED, strict=True):
            layer.mlp.down_proj.weight[:, width:] = 0
    tokens = torch.arange(60).reshape(2, 30)
    torch.testing.assert_close(narrow.loss(tokens), full.loss(tokens))


def test_trained_weights_do_not_depend_on_the_seed_and_initial_ones_do() -> None:
    for build, same in (("as_trained", True), ("as_initialised", False)):
        first, second = (SPACE.build(architecture(MIXED), seed, build).state_dict() for seed in (0, 1))
        name = "model.layers.3.mlp.up_proj.weight"
        assert torch.equal(first[name], second[name]) is same and first[name].dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"d_ffn": [385] * 8}, "x: d_ffn: got 385, wanted at most 384, those of the supernet"),
        ({"n_kv_head": [4] * 8}, "x: n_kv_head: got .4, 4.* the supernet of llama-elastic; take the build as_init"),
        ({"n_layer": 7, "n_head": [4] * 7, "n_kv_head": [2] * 7, "d_ffn": [192] * 7}, "x: n_layer: got 7"),
        ({"d_model": 64}, "x: d_model: got 64"),
        ({"norm": "layer"}, "x: norm: got 'layer'"),
        ({"tied": True}, "x: tied: got True"),
        ({"rope_theta": 500}, "x: rope_theta: got 500"),
    ],
)
def test_what_is_no_slice_has_no_trained_weights(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadArchitecture, match=message):
        SPACE.build(architecture(MIXED, **change), 0, "as_trained")


def test_weights_that_are_not_the_pinned_ones_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (other := tmp_path / "other.safetensors").write_bytes(SUPERNET_FILE.read_bytes()[:-1] + b"\0")
    monkeypatch.setattr(stored_weights, "SUPERNET_FILE", other)
    stored_weights._supernet.cache_clear()
    try:
        with pytest.raises(BadFile, match="other.safetensors: got the digest .*, wanted .*; restore the file"):
            SPACE.build(architecture(MIXED), 0, "as_trained")
    finally:
        stored_weights._supernet.cache_clear()


def test_a_training_stopped_anywhere_gives_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    path, asked = tmp_path / "tiny.jsonl", 0
    for patience in (2, 3, 8):  # stopped in the middle of the training, then of the measuring, twice
        asked = 0

        def soon(patience: int = patience) -> bool:
            nonlocal asked
            asked += 1
            return asked > patience

        with pytest.raises(KeyboardInterrupt):
            train_elastic(path, plan=TINY, should_stop=soon)
        assert not path.exists()
    assert path.with_suffix(".partial.jsonl").exists()
    seen: list[ElasticProgress] = []
    train_elastic(path, plan=TINY, on_progress=seen.append)
    assert seen and seen[0].done > 1 and {progress.stage for progress in seen} == {"measured"}
    assert path.read_bytes() == trained.read_bytes()
    assert path.with_suffix(".safetensors").read_bytes() == trained.with_suffix(".safetensors").read_bytes()


def test_a_finished_training_is_not_repeated(trained: Path) -> None:
    seen: list[ElasticProgress] = []
    content = trained.read_bytes()
    train_elastic(trained, plan=TINY, on_progress=seen.append)
    assert seen == [] and trained.read_bytes() == content


def test_losses_of_other_weights_are_not_mixed_in(trained: Path, tmp_path: Path) -> None:
    for suffix in (".partial.jsonl", ".safetensors"):
        (tmp_path / f"tiny{suffix}").write_bytes(trained.with_suffix(suffix).read_bytes())
    weights = load_file(tmp_path / "tiny.safetensors")
    weights["model.norm.weight"] += 1
    save_file(weights, tmp_path / "tiny.safetensors")
    with pytest.raises(OtherTask, match="other values of weights"):
        train_elastic(tmp_path / "tiny.jsonl", plan=TINY)


def test_parts_are_disjoint_and_the_loss_is_their_mean(trained: Path) -> None:
    header, *records = map(json.loads, trained.read_text().splitlines())
    assert len(records) == 9 and header["noise_ceiling"]["replicated"] == 9 and header["noise_ceiling"]["seeds"] == 3
    for record in records:
        assert record["loss"] == pytest.approx(sum(record["replicates"]) / 3, abs=1e-6)
    stored = load_file(trained.with_suffix(".safetensors"))
    again = part_losses(SPACE.architecture("x", records[5]["config"]), stored, TINY)
    assert again == pytest.approx(records[5]["replicates"], abs=1e-5)


def test_every_step_trains_the_units_of_the_narrowest_subnet(trained: Path) -> None:
    stored = load_file(trained.with_suffix(".safetensors"))
    start = SPACE.build(SPACE.architecture("supernet", SUPERNET), 0).state_dict()
    moved = {name: bool((tensor.float() != start[name].half().float()).any()) for name, tensor in stored.items()}
    assert all(moved.values()) and all(tensor.dtype == torch.float16 for tensor in stored.values())


def test_the_committed_benchmark_is_verified_and_small() -> None:
    benchmark = verify("llama-elastic")
    assert len(benchmark) == 528 and benchmark.header["noise_ceiling"]["seeds"] == 5
    embedded = ORIGINS["llama-elastic"].embedded
    assert embedded is not None and embedded.stat().st_size < 2 << 20 and SUPERNET_FILE.stat().st_size < 8 << 20
    assert hashlib.sha256(SUPERNET_FILE.read_bytes()).hexdigest() == SUPERNET_DIGEST == benchmark.header["weights"]
    assert [a.digest for a in benchmark.architectures] == [a.digest for a in subnets()]
    full, middle, smallest = benchmark.ground_truth[:3]
    assert full < middle < smallest < benchmark.header["bigram_loss"]


def test_a_committed_loss_is_measured_again_from_the_committed_weights(tmp_path: Path) -> None:
    embedded = ORIGINS["llama-elastic"].embedded
    assert embedded is not None
    found = verify_by_measuring(embedded, sample=1, seed=3)
    assert found.agrees and len(found.checks) == 1
    header, *records = map(json.loads, embedded.read_text().splitlines())
    records = [record | {"loss": record["loss"] - 0.001} for record in records]
    (forged := tmp_path / "forged.jsonl").write_text("".join(json.dumps(x) + "\n" for x in (header, *records)))
    forged.with_suffix(".safetensors").write_bytes(SUPERNET_FILE.read_bytes())
    assert not verify_by_measuring(forged, sample=1, seed=3).agrees
    header["plan"]["parts"] = 10**9
    forged.write_text("".join(json.dumps(x) + "\n" for x in (header, *records)))
    with pytest.raises(BadFile, match="got another plan"):
        verify_by_measuring(forged)


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        (
            ("train", "llama-elastic", "--out", "OUT", "--configs", "x.json"),
            2,
            "llama-elastic is one training; wanted gpt2",
        ),
        (("train", "llama-elastic"), 2, "exists and is never overwritten"),
        (("train", "llama-elastic", "--out", "BEGUN"), 2, "holds a training that was begun; continue it with --resume"),
    ],
)
def test_a_training_that_makes_no_sense_is_one_line(
    asked: tuple[str, ...], code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "begun.partial.safetensors").write_bytes(b"x")
    places = {"OUT": str(tmp_path / "new.jsonl"), "BEGUN": str(tmp_path / "begun.jsonl")}
    assert cli.main(["benchmarks", *(places.get(word, word) for word in asked)]) == code
    said = capsys.readouterr().err
    assert words in " ".join(said.split()) and "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["begun.partial.safetensors"]
