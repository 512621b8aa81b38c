"""From a measured table of subnets to an exported one, by commands: docs/trained.md on a tiny checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_checkpoint
from test_bench_cuts import WIDE
from transformers import AutoModelForCausalLM

import cli
from models.spaces.checkpoint import Checkpoint
from models.training.cuts.campaign import measure_cuts
from tests.robustness.small import write_jsonl

SEARCH = ("--search-size", "20", "--iterations", "15", "--population", "10", "--brood", "5", "--sweeps", "1",
          "--folds", "0", "--hall-size", "2", "--seed", "100", "--price", "whole")  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny checkpoint, its measured subnets and a run on them."""
    folder = tmp_path_factory.mktemp("commands")
    tiny_checkpoint.write(folder / "tiny")
    measure_cuts(folder / "table.jsonl", Checkpoint.open(folder / "tiny"), folder, WIDE, stages=1)
    assert run(folder, "evolve", "--benchmark", str(folder / "table.jsonl"), "--out", str(folder / "run"), *SEARCH) == 0
    return folder


def run(folder: Path, *words: str) -> int:
    features = ("--weights", str(folder / "tiny"), "--bank", str(folder / "bank"), "--devices", "cpu")
    return cli.main([*words, *features])


def hall(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run" / "hall_of_fame.json").read_text())


def test_a_hall_says_at_which_price_it_was_evolved(place: Path) -> None:
    assert hall(place)["config"]["price"] == "whole"


def test_it_is_replayed_at_its_own_price_and_at_no_other(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(place / "run" / "hall_of_fame.json")
    assert run(place, "replay", file, "--format", "json") == 0
    said = capsys.readouterr()
    first = json.loads(said.out)["proxies"][0]
    assert first["holdout"]["kendall"] == pytest.approx(hall(place)["proxies"][0]["holdout"]["kendall"], abs=1e-6)
    assert "features as in the run: --price whole" in said.err
    assert run(place, "replay", file, "--price", "own") == 2
    assert "--price: got own, wanted whole" in capsys.readouterr().err.splitlines()[-1]


def test_it_chooses_a_subnet_that_leaves_as_a_checkpoint(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("select", "--space", "llama", "--hall", str(place / "run" / "hall_of_fame.json"), "--budget",
             "params=20K", "--networks", "30", "--look", "2", "--export", str(place / "cut"))  # fmt: skip
    assert run(place, *asked) == 0
    assert "cut-" in capsys.readouterr().out
    model = AutoModelForCausalLM.from_pretrained(place / "cut")
    assert model.config.num_hidden_layers == len(json.loads((place / "cut" / "subnet.json").read_text())["keep"])


@pytest.mark.parametrize("command", ["evolve", "extract", "leaderboard", "exhaust", "ablate"])
def test_a_table_of_a_checkpoint_is_refused_without_it_before_a_network_is_visited(
    command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    header, *records = write_jsonl(tmp_path / "table.jsonl").read_text().splitlines()
    header = json.dumps({**json.loads(header), "checkpoint": "2" * 64})
    (tmp_path / "table.jsonl").write_text("\n".join([header, *records]))
    more = {"ablate": ["--study", "teacher"], "evolve": ["--search-size", "20"]}.get(command, [])
    bank = tmp_path / "bank"
    assert cli.main([command, "--benchmark", str(tmp_path / "table.jsonl"), "--bank", str(bank), *more]) == 1
    assert "was measured on subnets of the checkpoint 2222222222222222, got weights drawn" in capfd.readouterr().err
    assert not [path for path in bank.rglob("*") if path.is_file()]
