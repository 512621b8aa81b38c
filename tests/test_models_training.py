"""The embedded benchmark: sampling, one run, crash and resume with real processes, noise ceiling, verification."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from holding import start, stopped

import cli
from models.benchmarks.layouts import read_benchmark
from models.spaces import SPACES
from models.training.campaign import train
from models.training.corpus import load_corpus
from models.training.learning import Budget, DivergedError
from models.training.verification import verify_by_training
from storage.errors import ZcpError
from storage.files import BadFile
from storage.log import OtherTask

ROOT = Path(__file__).resolve().parents[1]
TINY = Budget(steps=3, batch=2, length=16, checkpoints=3, curve_windows=2, final_windows=4)
ARGUMENTS = {"count": 12, "replicated": 3, "seeds": 2, "jobs": 1, "budget": TINY}
LAUNCH = (
    "import sys; from pathlib import Path; from models.training import Budget, train; "
    f"train(Path(sys.argv[1]), count=12, replicated=3, seeds=2, jobs=1, budget={TINY!r})"
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark of 12 architectures, trained without interruption."""
    return train(tmp_path_factory.mktemp("trained") / "tiny.jsonl", **ARGUMENTS)


def test_the_trained_file_is_a_benchmark_with_replicates_and_parameters(trained: Path) -> None:
    benchmark = read_benchmark(trained)
    assert len(benchmark) == 12 and not benchmark.higher_is_better
    header, *records = map(json.loads, trained.read_text().splitlines())
    assert header["corpus"]["digest"] == load_corpus().digest and 1 < header["bigram_loss"] < 5
    replicated = [r for r in records if "replicates" in r]
    assert len(replicated) == 3 and all(len(r["replicates"]) == 2 for r in replicated)
    assert all(r["replicates"][0] == r["loss"] for r in replicated)
    assert all(r["bits_per_byte"] == pytest.approx(r["loss"] / np.log(2), abs=1e-5) for r in records)
    ranks = [sorted(x["loss"] for x in records).index(r["loss"]) for r in replicated]
    assert {0, 11} < set(ranks)


def test_seconds_are_beside_the_benchmark_and_not_in_it(trained: Path) -> None:
    assert "seconds" not in trained.read_text()
    lines = (trained.parent / "tiny.seconds.jsonl").read_text().splitlines()
    assert len(lines) == 1 + 15 and all(json.loads(line)["seconds"] > 0 for line in lines[1:])


@pytest.mark.slow
def test_killing_at_any_moment_and_resuming_gives_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    path, partial = tmp_path / "tiny.jsonl", tmp_path / "tiny.partial.jsonl"
    for wanted, delay in ((3, 0.0), (9, 0.03)):
        process = subprocess.Popen([sys.executable, "-B", "-c", LAUNCH, str(path)], cwd=ROOT)
        while len(_lines(partial)) < wanted and process.poll() is None:
            time.sleep(0.005)
        time.sleep(delay)
        process.kill()
        process.wait()
        assert len(_lines(partial)) >= wanted
    with partial.open("ab") as file:
        file.write(b'{"architecture": "torn')
    before = _lines(partial)[:-1]
    train(path, **ARGUMENTS)
    assert path.read_bytes() == trained.read_bytes()
    assert _lines(partial)[: len(before)] == before and len(_lines(partial)) == 16


QUICK = f"""
from functools import partial
from models.training import campaign, learning
campaign.Budget = partial(learning.Budget, **{asdict(TINY)!r})
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_interrupt_ends_a_training_after_the_runs_in_progress(tmp_path: Path, number: int) -> None:
    path = tmp_path / "mine.jsonl"
    asked = ["benchmarks", "train", "gpt2-mini", "--out", path, "--jobs", 1]
    process, _ = start("5/620", *asked, before=QUICK)
    error = stopped(process, number)
    assert f"benchmarks train gpt2-mini --resume --out {path} --jobs 1" in error
    assert len(_lines(tmp_path / "mine.partial.jsonl")) == 1 + 5 and not path.exists()


def test_resuming_a_finished_training_trains_nothing(trained: Path) -> None:
    seen: list[object] = []
    content = trained.read_bytes()
    train(trained, **ARGUMENTS, on_progress=seen.append)
    assert seen == [] and trained.read_bytes() == content


def test_chosen_architectures_are_trained_by_the_same_recipe_with_every_seed(trained: Path, tmp_path: Path) -> None:
    known = [json.loads(line) for line in trained.read_text().splitlines()[1:]]
    again = [SPACES["gpt2"].architecture(f"again-{i}", record["config"]) for i, record in enumerate(known[:2])]
    path = train(tmp_path / "chosen.jsonl", chosen=again, seeds=2, jobs=1, budget=TINY)
    records = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    assert [r["id"] for r in records] == ["again-0", "again-1"] and all(len(r["replicates"]) == 2 for r in records)
    assert [r["loss"] for r in records] == [r["loss"] for r in known[:2]]
    with pytest.raises(OtherTask, match="begun with other values of chosen; restore them"):
        train(path, chosen=again[::-1], seeds=2, jobs=1, budget=TINY)


def test_what_the_recipe_cannot_train_is_refused_before_anything_is_trained(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (configs := tmp_path / "two.json").write_text(json.dumps({"model_type": "gpt2", "n_layer": 1}))
    for more, words in ((("--out", tmp_path / "x.jsonl"), "got the space hf, wanted gpt2"), ((), "wanted --out FILE")):
        asked = ["benchmarks", "train", "gpt2-mini", "--configs", configs, *more]
        assert cli.main([str(word) for word in asked]) in (1, 2) and words in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["two.json"]


def test_a_partial_file_of_another_budget_is_refused_by_name(trained: Path) -> None:
    with pytest.raises(OtherTask, match="begun with other values of budget; restore them, or remove the file"):
        train(trained, **{**ARGUMENTS, "budget": Budget(steps=4)})


def test_verify_agrees_exactly_on_the_same_machine_and_catches_one_false_loss(trained: Path, tmp_path: Path) -> None:
    header, *records = map(json.loads, trained.read_text().splitlines())
    records[4]["loss"] = round(records[4]["loss"] - 0.5, 6)
    result = verify_by_training(_written(tmp_path / "forged.jsonl", header, records), sample=12, jobs=1)
    assert result.corpus_matches and not result.agrees and len(result.checks) == 12
    assert [check.id for check in result.checks if not check.agrees] == [records[4]["id"]]
    assert sum(check.measured == check.recorded for check in result.checks) == 11


def test_verify_tells_that_the_text_of_another_python_differs(trained: Path, tmp_path: Path) -> None:
    header, *records = map(json.loads, trained.read_text().splitlines())
    header["corpus"]["digest"] = "of another Python"
    assert not verify_by_training(_written(tmp_path / "other.jsonl", header, records), sample=0).corpus_matches


def test_verify_says_that_a_budget_diverges(trained: Path, tmp_path: Path) -> None:
    header, *records = map(json.loads, trained.read_text().splitlines())
    header["budget"] |= {"learning_rate": 1e30, "warmup": 0.0}
    with pytest.raises(DivergedError, match="mini-.*, seed 0, step .*lower the learning rate"):
        verify_by_training(_written(tmp_path / "far.jsonl", header, records), sample=1, jobs=1)


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ("budget more", 1, "budget: got the field 'more'"),
        ("budget steps", 0, "budget: steps: got 0, wanted a whole number from 1"),
        ("budget steps", "3", "budget: steps: got '3', wanted a whole number"),
        ("budget steps", True, "budget: steps: got True, wanted a whole number"),
        ("budget length", 4096, "reads 128 tokens of 256, wanted 4096"),
        ("budget warmup", 1e308, "warmup: got 1e.308, wanted a number from 0 to 1"),
        ("budget learning_rate", -1, "learning_rate: got -1.0, wanted"),
        ("budget weight_decay", None, "budget: weight_decay: got None, wanted a number"),
        ("budget", [], "budget: got a list, wanted an object"),
        ("corpus", None, "corpus: got None, wanted an object"),
        ("corpus digest", ["x"], "corpus: digest: got a list, wanted a text"),
        ("noise_ceiling", None, "noise_ceiling: not measured, wanted replicates"),
        ("noise_ceiling", {"kendall": 1.0}, "noise_ceiling: spearman is missing"),
        ("noise_ceiling sd", 1e308, "noise_ceiling: got noise of inf at the loss"),
        ("noise_ceiling sd", -1.0, "noise_ceiling: got noise of -"),
        ("noise_ceiling slope", 1e300, "noise_ceiling: got noise of"),
        ("space", ["gpt2"], "space: got a list, wanted gpt2"),
        ("space", "flexibert", "space: got 'flexibert', wanted gpt2"),
        ("0 seed", None, "line 2: seed: got None, wanted a whole number"),
        ("0 loss", "low", "line 2: loss: got 'low', wanted a number"),
        ("0 config", [], "line 2: config: got a list, wanted an object"),
    ],
)
def test_verify_names_what_is_wrong_in_a_file(
    trained: Path, tmp_path: Path, where: str, value: object, message: str
) -> None:
    header, *records = map(json.loads, trained.read_text().splitlines())
    *path, field = where.split()
    place = records[0] if path == ["0"] else header[path[0]] if path else header
    place[field] = value
    with pytest.raises(ZcpError, match=message):
        verify_by_training(_written(tmp_path / "bad.jsonl", header, records), sample=12, jobs=1)


def test_verify_refuses_a_file_without_a_budget(tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text('{"schema": 1}\n')
    with pytest.raises(BadFile, match="no training budget"):
        verify_by_training(path)


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def _written(path: Path, header: dict[str, Any], records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in (header, *records)))
    return path
