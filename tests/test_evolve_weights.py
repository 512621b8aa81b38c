"""evolve --weights: a search on slices of a checkpoint, which only goes on with the same one."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import program
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

import cli
from gp.config import SearchConfig
from gp.hall_file import load_hall
from gp.runs.settings import BadRun, RunCase, RunSettings
from models.spaces.checkpoint import Checkpoint

FEATURES = ("--devices", "cpu", "--batch", "2", "--seq-len", "16")
SEARCH = ("--search-size", "10", "--iterations", "30", "--population", "10", "--brood", "6", "--sweeps", "1",
          "--folds", "0", "--hall-size", "2")  # fmt: skip


def zcp(folder: Path, *args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own, in a folder."""
    ran = program(*args, folder=folder)
    assert ran.returncode == code and "Traceback" not in ran.stderr, ran.stderr
    return ran


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint, another one, measured slices of the first, and a run on them that ended early."""
    folder = tmp_path_factory.mktemp("place")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
             "intermediate_size": 24, "vocab_size": 256, "max_position_embeddings": 32}  # fmt: skip
    LlamaForCausalLM(LlamaConfig(**sizes)).save_pretrained(folder / "llama")  # type: ignore[arg-type]
    shutil.copytree(folder / "llama", folder / "moved")
    shutil.copytree(folder / "llama", folder / "other")
    tensors = load_file(folder / "other" / "model.safetensors")
    save_file({**tensors, "lm_head.weight": tensors["lm_head.weight"] + 1}, folder / "other" / "model.safetensors")
    (folder / "subnets.jsonl").write_text(subnets())
    zcp(folder, "evolve", "--benchmark", "subnets.jsonl", "--weights", "llama", "--out", "run", "--target", "0.01",
        *SEARCH, *FEATURES)  # fmt: skip
    return folder


def subnets(ffn: int = 24) -> str:
    """Slices whose loss falls with their width, and some noise."""
    rng = random.Random(3)
    config = {"n_layer": 2, "d_model": 16, "n_head": [2, 2], "n_kv_head": [1, 1], "n_token": 256, "tgt_len": 32}
    rows: list[dict[str, Any]] = [{"schema": 1, "space": "llama", "metric": "loss", "higher_is_better": False}]
    for i in range(22):
        widths = [ffn - i // 2, ffn - (i + 1) // 2]
        rows.append({"id": f"s{i}", "config": {**config, "d_ffn": widths}, "loss": 3 + i / 9 + rng.gauss(0, 0.1)})
    return "".join(json.dumps(row) + "\n" for row in rows)


def in_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.chdir(folder)
    return lambda *args: cli.main(list(args))


def test_a_hall_says_whose_weights_its_features_have(place: Path) -> None:
    hall, digest = load_hall(place / "run" / "hall_of_fame.json"), Checkpoint.open(place / "llama").digest
    assert hall.config["weights"] == digest == Checkpoint.open(place / "moved").digest
    assert json.loads((place / "run" / "config.json").read_text())["weights"] == digest
    assert digest != Checkpoint.open(place / "other").digest


def test_a_run_goes_on_with_its_own_checkpoint_only(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other, own = (Checkpoint.open(place / name).digest[:12] for name in ("other", "llama"))
    ran = zcp(place, "evolve", "--resume", "run", "--devices", "cpu", "--weights", "other", code=1)
    assert f"--weights: got {other}, wanted {own}, with which the run began" in ran.stderr.splitlines()[-1]
    assert in_process(place, monkeypatch)("evolve", "--resume", "run", "--devices", "cpu") == 1
    assert f"--weights: got none, wanted {own}, with which the run began" in capsys.readouterr().err


def test_a_run_without_a_checkpoint_goes_on_without_one(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main = in_process(place, monkeypatch)
    out = str(tmp_path / "fresh")
    assert main("evolve", "--benchmark", "subnets.jsonl", "--out", out, "--target", "0.01", *SEARCH, *FEATURES) == 0
    assert "weights" not in load_hall(tmp_path / "fresh" / "hall_of_fame.json").config
    capsys.readouterr()
    assert main("evolve", "--resume", out, "--devices", "cpu", "--weights", "llama") == 1
    assert "--weights: got " in (err := capsys.readouterr().err) and "wanted none, with which the run began" in err


@pytest.mark.slow
def test_replay_needs_the_checkpoint_or_says_that_it_is_not_there(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main, digest = in_process(place, monkeypatch), Checkpoint.open(place / "llama").digest[:12]
    texts = {}
    for name, more in {"same": ("--weights", "moved"), "none": (), "other": ("--weights", "other")}.items():
        assert main("replay", "run/hall_of_fame.json", "--devices", "cpu", *more) == 0
        texts[name] = capsys.readouterr().err
    assert "other features" not in texts["same"] and "agreement with the record" in texts["same"]
    assert f"--weights: none here, {digest} in the run, so these are other features" in texts["none"]
    assert f" here, {digest} in the run, so these are other features" in texts["other"]
    assert not [name for name in ("none", "other") if "agreement with the record" in texts[name]]
    assert main("rank", "subnets.jsonl", "--space", "llama", "--hall", "run/hall_of_fame.json", "--devices", "cpu") == 0
    assert f"--weights: none here, {digest} in the run" in capsys.readouterr().err


@pytest.mark.slow
def test_the_run_goes_on_from_where_the_checkpoint_was_moved(place: Path) -> None:
    whole = place / "whole"
    shutil.copytree(place / "run", whole)
    ran = zcp(place, "evolve", "--resume", "whole", "--devices", "cpu", "--weights", "moved", "--stream")
    hall = load_hall(whole / "hall_of_fame.json")
    assert hall.ending is not None and not hall.ending.early and hall.ending.iteration >= 30
    assert "--weights moved" in ran.stderr


def test_a_checkpoint_that_does_not_fit_leaves_no_run(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wide.jsonl").write_text(subnets(25))
    main, run = in_process(place, monkeypatch), tmp_path / "run"
    args = ("evolve", "--benchmark", str(tmp_path / "wide.jsonl"), "--out", str(run), *SEARCH, *FEATURES)
    assert main(*args, "--weights", "llama") == 1
    assert "gate_proj.weight: got 24 x 16, wanted 25 x 16 for s0" in capsys.readouterr().err and not run.exists()
    assert main("evolve", "--benchmark", "gpt2-mini", "--weights", "llama", "--out", str(run)) == 1
    assert "--weights: got the space gpt2, wanted llama or hf" in capsys.readouterr().err and not run.exists()


def test_settings_carry_a_digest_only_where_there_is_one() -> None:
    case = RunCase("llama-elastic", "a" * 64, "loss", "t")
    plain = RunSettings((case,), SearchConfig()).to_dict()
    settings = RunSettings.from_dict(plain)
    assert settings.weights is None and "weights" not in settings.to_dict()
    with_digest = RunSettings.from_dict({**plain, "weights": "d" * 64})
    assert with_digest.weights == with_digest.recorded()["weights"] == "d" * 64
    with pytest.raises(BadRun, match="weights: got 3, wanted a text"):
        RunSettings.from_dict({**plain, "weights": 3})
