"""An architecture whose network overflows: reported by id, counted, dropped or fatal, and never a score."""

from __future__ import annotations

import json
import logging
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import cli
from fitness.features.bank import FeatureBank, FeatureKey
from fitness.features.figures import Figure, formula_scores
from fitness.features.soundness import Unsound, overflowing, screen
from fitness.features.workshop import Workshop
from models.architecture import Architecture
from models.benchmarks.layouts import read_benchmark
from models.spaces import SPACES
from models.spaces.gpt2.space import Gpt2Space
from models.spaces.stored_tensors import BadWeights
from models.tokens import TokenBatch
from primitives.grammar import parse
from primitives.invalid import Invalid
from tests.robustness.small import FEATURES, SEARCH


class LoudSpace(Gpt2Space):
    """gpt2, but weights of an architecture with an odd sequence limit are so large that the network overflows."""

    name = "loud"

    def build(self, architecture: Architecture, init_seed: int, build: str | None = None) -> nn.Module:
        model: Any = super().build(architecture, init_seed, build)
        if architecture.config["tgt_len"] % 2:
            with torch.no_grad():
                for parameter in model.h.parameters():
                    parameter.mul_(1e30)
        return model


BAD = ("tiny3", "tiny4", "tiny17", "tiny29")


@pytest.fixture
def loud(tiny_benchmark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small benchmark with four architectures that overflow."""
    monkeypatch.setitem(SPACES, "loud", LoudSpace())
    header, *records = [json.loads(line) for line in tiny_benchmark.read_text().splitlines()]
    for record in records:
        record["config"]["tgt_len"] += record["id"] in BAD
    path = tmp_path / "loud.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in ({**header, "space": "loud"}, *records)))
    return path


def workshop_of(path: Path, folder: Path) -> Workshop:
    batch = TokenBatch.from_passage(2, 24)
    return Workshop(FeatureBank(folder / "bank", FeatureKey.create("loud", batch.digest)), batch)


def test_it_is_found_and_has_no_exact_score_of_any_formula(loud: Path, tmp_path: Path) -> None:
    workshop, benchmark = workshop_of(loud, tmp_path), read_benchmark(loud)
    proxies = [parse("sum[ abs(W) ]"), parse("mean[ no_op(J) ]")]
    bad = np.array([a.id in BAD for a in benchmark.architectures])
    assert (np.isnan(workshop.exact_scores(proxies, benchmark.architectures)) == bad).all()
    scores = formula_scores([p.text for p in proxies])
    overflow = Figure(reason=Invalid.OVERFLOW.value)
    assert scores.load(workshop.bank, benchmark.architectures[3]) == dict.fromkeys(scores.names, overflow)
    assert overflowing(benchmark.architectures, workshop) == BAD
    assert not any((workshop.bank.place / "sketch").glob("*.*"))
    assert overflowing(benchmark.architectures, workshop_of(loud, tmp_path / "sketched")) == BAD
    with pytest.raises(Unsound, match=r"4 of 30 networks produce NaN or infinities \(tiny3, tiny4, tiny17, tiny29\)"):
        screen(benchmark, workshop, None, "fail")
    left = screen(benchmark, workshop, None, "drop")
    assert left.dropped == BAD and len(left.benchmark) == len(left.benchmark.ground_truth) == 26


@pytest.mark.slow
def test_the_user_decides_whether_it_is_fatal(loud: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bank, run = str(tmp_path / "bank"), tmp_path / "run"
    extract = ["extract", "--benchmark", str(loud), *FEATURES, "--bank", bank]
    assert cli.main(extract) == 1
    assert "error: loud: 4 of 30 networks produce NaN or infinities (tiny3, tiny4" in capfd.readouterr().err
    assert cli.main([*extract, "--on-invalid", "drop"]) == 0
    assert "dropped 4 of 30 networks" in capfd.readouterr().err

    evolve = ["evolve", "--benchmark", str(loud), *SEARCH, *FEATURES, "--iterations", "30", "--bank", bank]
    assert cli.main([*evolve, "--out", str(run)]) == 1
    assert "use --on-invalid drop" in capfd.readouterr().err
    assert cli.main(["evolve", "--resume", str(run), "--bank", bank, "--devices", "cpu", "--on-invalid", "drop"]) == 0
    assert cli.main([*evolve, "--on-invalid", "drop", "--out", str(tmp_path / "other")]) == 0
    hall = (run / "hall_of_fame.json").read_bytes()
    assert hall == (tmp_path / "other" / "hall_of_fame.json").read_bytes()
    document = json.loads(hall)
    (case,) = document["cases"]
    assert tuple(case["dropped"]) == BAD
    split = case["split"]
    assert len(split["search"]) + len(split["holdout"]) == 26 and not {*split["search"], *split["holdout"]} & {*BAD}
    assert all(p["all"]["n"] == 26 and p["all"]["invalid"] == 0 for p in document["proxies"])

    replay = ["replay", str(run / "hall_of_fame.json"), "--benchmark", str(loud), *FEATURES, "--bank", bank]
    capfd.readouterr()
    assert cli.main(replay) == 1
    assert cli.main([*replay, "--on-invalid", "drop", "--format", "json"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert tuple(answer["dropped"]) == BAD and all(row["deviation"] == 0 for row in answer["proxies"])


def test_too_few_sound_architectures_are_refused(loud: Path, tmp_path: Path) -> None:
    header, *records = [json.loads(line) for line in loud.read_text().splitlines()]
    for record in records[9:]:
        record["config"]["tgt_len"] = 65
    loud.write_text("\n".join(json.dumps(line) for line in (header, *records)))
    with pytest.raises(Unsound, match="too few are left"):
        screen(read_benchmark(loud), workshop_of(loud, tmp_path), None, "drop")


def test_damaged_entries_are_made_again_with_one_warning(
    tiny_architectures: list[Architecture], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    batch, chosen = TokenBatch.from_passage(2, 24), tiny_architectures[:6]
    workshop = Workshop(FeatureBank(tmp_path, FeatureKey.create("gpt2", batch.digest)), batch)
    proxies = [parse("sum[ abs(W) ]")]
    scores = workshop.exact_scores(proxies, chosen)
    workshop.extract(chosen)
    whole = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    rng = random.Random(0)
    for paths in (
        [workshop.bank.sketches.path(workshop.bank.entry(a)) for a in chosen[:3]],
        sorted((workshop.bank.place / "exact").glob("*.json"))[:2],
    ):
        for path in paths:
            content = bytearray(whole[path])
            content[rng.randrange(40, len(content))] ^= 4
            path.write_bytes(content)
        with caplog.at_level(logging.WARNING):
            caplog.clear()
            assert workshop.extract(chosen) == (3 if "sketch" in str(paths[0]) else 0)
            assert np.array_equal(workshop.exact_scores(proxies, chosen), scores)
        (record,) = caplog.records
        assert f"{len(paths)} damaged in the bank" in record.getMessage()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == whole


def test_a_warning_of_the_library_is_one_line_of_the_program(
    tiny_benchmark: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    extract = ["extract", "--benchmark", str(tiny_benchmark), *FEATURES, "--bank", str(tmp_path)]
    assert cli.main(extract) == 0
    next(tmp_path.rglob("*.safetensors")).write_bytes(b"torn")
    capfd.readouterr()
    assert cli.main(extract) == 0
    out, err = capfd.readouterr()
    assert out.startswith("1 networks extracted, 30 architectures") and err.count("warning: ") == 1


def test_finite_means_every_entry(tiny_features: Any) -> None:
    assert tiny_features.finite
    block = dict(tiny_features.blocks[0])
    for letter in "AJGHWS":
        broken = {**block, letter: (torch.tensor([[0.0, math.inf]]),)}
        assert not type(tiny_features)((broken, *tiny_features.blocks[1:]), 1.0).finite
        large = {**block, letter: (torch.full((1, 2), 3e38),)}  # numbers, though their sum is none in float32
        assert type(tiny_features)((large, *tiny_features.blocks[1:]), 1.0).finite


@pytest.mark.parametrize("mine", ["", "1" * 64])
def test_a_benchmark_of_a_checkpoint_wants_its_weights(tiny_benchmark: Path, tmp_path: Path, mine: str) -> None:
    benchmark = replace(read_benchmark(tiny_benchmark), header={"checkpoint": "2" * 64})
    batch = TokenBatch.from_passage(2, 24)
    key = FeatureKey.create("gpt2", batch.digest, weights=mine)
    with pytest.raises(BadWeights, match=r"the checkpoint 2{16}, got (weights drawn at random|another checkpoint)"):
        screen(benchmark, Workshop(FeatureBank(tmp_path, key), batch), None, "fail")
    bank = FeatureBank(tmp_path, replace(key, weights="2" * 64))
    assert screen(benchmark, Workshop(bank, batch), None, "fail").benchmark is benchmark
