"""A benchmark that moved: every command that needs it is told where it lies now, and takes nothing else for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import cli
from fitness.evaluation import Evaluation
from gp.hall_file import BenchmarkRef, HallCase, HallDocument, HallProxy, Measured, SplitIds, save_hall
from models.benchmarks.origins import load_benchmark
from primitives.grammar import parse

FAST = ("--devices", "cpu", "--batch", "2", "--seq-len", "24")
SEARCH = ("--iterations", "4", "--population", "6", "--search-size", "12", "--brood", "4", "--sweeps", "1", "--folds",
          "0", "--inputs", "paper", "--branches", "2")  # fmt: skip


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, tiny_benchmark: Path) -> Path:
    """A hall whose benchmark lies elsewhere than it says, another benchmark, and candidates."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "now").mkdir()
    shutil.copy(tiny_benchmark, folder / "now" / "tiny.jsonl")
    lines = tiny_benchmark.read_text().splitlines()
    (folder / "other.jsonl").write_text("\n".join(lines[:-3]) + "\n")
    benchmark = load_benchmark(str(tiny_benchmark))
    ids = [architecture.id for architecture in benchmark.architectures]
    proxies = tuple(HallProxy(Evaluation(parse(t), 0.9, 1)) for t in ("sum[ l1_norm(W) ]", "sum[ frobenius_norm(W) ]"))
    case = HallCase(
        str(folder / "gone.jsonl"), "gpt2", None, BenchmarkRef("tiny", benchmark.digest, "loss", False),
        SplitIds(tuple(ids[:15]), tuple(ids[15:])), "x", (Measured(),) * len(proxies),
    )  # fmt: skip
    save_hall(folder / "hall.json", HallDocument(1, {"batch": 2, "seq_len": 24}, (case,), proxies))
    records = [
        {"id": f"c{i}", "space": "gpt2", "config": dict(a.config)} for i, a in enumerate(benchmark.architectures[:3])
    ]
    (folder / "some.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


COMMANDS = {
    "rank": ("rank", "some.jsonl", "--hall", "hall.json", "--committee", "2"),
    "select": ("select", "--space", "gpt2", "--hall", "hall.json", "--budget", "params=60K", "--networks", "2"),
    "replay": ("replay", "hall.json"),
    "fit": ("fit", "hall.json", "--kind", "numbers", "--out", "p.json"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_told_where_the_benchmark_lies_now(
    command: str, desk: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(desk)
    words = [*COMMANDS[command], *FAST, "--bank", "bank"]
    assert cli.main(words) in (1, 2)
    said = capfd.readouterr().err
    assert "--benchmark" in said.splitlines()[-1] and "Traceback" not in said
    assert cli.main([*words, "--benchmark", "now/tiny.jsonl"]) == 0, capfd.readouterr().err


@pytest.mark.parametrize("command", ["rank", "select"])
def test_another_content_is_not_taken_for_it(
    command: str, desk: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(desk)
    assert cli.main([*COMMANDS[command], *FAST, "--bank", "bank", "--benchmark", "other.jsonl"]) == 2
    assert (
        "--benchmark: got other.jsonl, whose content (and name of the file) is not that of tiny"
        in capfd.readouterr().err
    )


@pytest.mark.slow
def test_a_run_goes_on_with_a_benchmark_that_moved(
    desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(desk / "now/tiny.jsonl", "tiny.jsonl")
    words = ["evolve", "--benchmark", "tiny.jsonl", *FAST, *SEARCH, "--bank", str(desk / "bank"), "--out", "run"]
    assert cli.main([*words, "--target", "0.0001"]) == 0
    Path("there").mkdir()
    Path("tiny.jsonl").rename("there/tiny.jsonl")
    capfd.readouterr()
    again = ["evolve", "--resume", "run", "--bank", str(desk / "bank"), "--devices", "cpu"]
    assert cli.main(again) == 1
    assert "tiny.jsonl: no such file or folder" in (said := capfd.readouterr().err) and "say where with" in said
    assert cli.main([*again, "--benchmark", str(desk / "other.jsonl")]) == 2
    assert cli.main([*again, "--benchmark", "there/tiny.jsonl"]) == 0, capfd.readouterr().err
