"""Messages of commands to their user when they start, when they are interrupted and when they end: real processes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from holding import start, stopped
from test_cli import ROOT, zcp

import cli
from tests.robustness.small import write_yaml

FEATURES = ["--batch", "2", "--seq-len", "24", "--devices", "cpu"]


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bank")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a search with other than the default metric, features and bank, and the next command it named."""
    folder = tmp_path_factory.mktemp("other settings")
    table = write_yaml(folder / "table", 30)
    done = zcp(
        "evolve", "--benchmark", table, "--metric", "test_ppl", "--search-size", 16, "--iterations", 20,
        "--population", 12, "--brood", 9, "--sweeps", 1, "--folds", 0, "--inputs", "paper", "--init-seed", 3, *FEATURES,
        "--bank", folder / "my bank", "--out", folder / "run",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    last = done.stderr.rstrip().splitlines()[-1]
    assert last.startswith("next: python cli.py ")
    return folder, last.removeprefix("next: python cli.py ")


def test_the_next_command_pasted_measures_the_same_and_visits_nothing_twice(run: tuple[Path, str]) -> None:
    folder, command = run
    assert f"'{folder / 'my bank'}'" in command and "--devices cpu" in command
    done = zcp(*shlex.split(command))
    assert done.returncode == 0, done.stderr
    assert "features as in the run: --batch 2 --seq-len 24 --init-seed 3" in done.stderr
    assert "metric as in the run: test_ppl" in done.stderr and "correlation with -test_ppl" in done.stdout
    assert "agreement with the record: largest difference of a correlation 0\n" in done.stderr
    assert "to visit" not in done.stderr and "networks" not in done.stderr


def test_another_metric_than_that_of_the_run_is_said(run: tuple[Path, str]) -> None:
    done = zcp(*shlex.split(run[1]), "--metric", "valid_ppl", "--sketch")
    assert done.returncode == 0, done.stderr
    assert "--metric: valid_ppl here, test_ppl" in done.stderr and "record" not in done.stderr


def test_figures_of_sketches_are_not_called_a_difference(run: tuple[Path, str]) -> None:
    done = zcp(*shlex.split(run[1]), "--sketch")
    assert done.returncode == 0, done.stderr
    assert "figures of sketches; those on record are exact" in done.stderr
    assert "differs from the record" not in done.stderr and "agreement" not in done.stderr


def test_plot_takes_metric_and_features_from_the_run(run: tuple[Path, str], capfd: pytest.CaptureFixture[str]) -> None:
    folder, _ = run
    arguments = ["plot", folder / "run" / "hall_of_fame.json", "--bank", folder / "my bank", "--devices", "cpu"]
    assert cli.main([*map(str, arguments)]) == 0
    error = capfd.readouterr().err
    assert "features as in the run" in error and "metric as in the run" in error and "networks" not in error


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("seq_len", "x", "seq_len: got 'x', wanted a whole number"), ("batch", True, "batch: got True"),
     ("init_seed", -1, "init_seed"), ("corpus", 3, "corpus")],
)  # fmt: skip
def test_settings_of_a_hall_are_checked(
    name: str, value: object, message: str, run: tuple[Path, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    document = json.loads((run[0] / "run" / "hall_of_fame.json").read_text())
    document["config"][name] = value
    del document["digest"]
    hall = tmp_path / "hall.json"
    hall.write_text(json.dumps(document))
    assert cli.main(["replay", str(hall), "--bank", str(run[0] / "my bank")]) == 1
    error = capfd.readouterr().err
    assert message in error.splitlines()[-1] and "Traceback" not in error


@pytest.mark.slow
def test_replay_of_a_formula_says_what_it_took_before_it_starts(tmp_path: Path) -> None:
    at_work, asked = "networks 50/500", ["replay", "--proxy", "mean[ abs(W) ]", "--bank", tmp_path / "bank"]
    process, said = start(at_work, *asked, *FEATURES)
    assert "no benchmark given: gpt2-mini is taken" in said
    assert re.search(r"gpt2-mini: (\d+) of \1 networks to visit", said)
    assert said.index("to visit") < said.index(at_work)
    rest = stopped(process, signal.SIGINT)
    assert f"next: python cli.py replay --proxy 'mean[ abs(W) ]' --bank {tmp_path / 'bank'}" in rest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "moment"), [(signal.SIGINT, "networks 15/15"), (signal.SIGTERM, "pairs of inputs 2/15")]
)
def test_exhaust_obeys_the_first_signal(number: int, moment: str, tiny_benchmark: Path, tmp_path: Path) -> None:
    asked = ["exhaust", "--benchmark", tiny_benchmark, "--n-unary", 2, "--search-size", 15, *FEATURES]
    process, _ = start(moment, *asked, "--bank", tmp_path)
    rest = stopped(process, number)
    assert f"next: python cli.py {shlex.join(map(str, asked))} --bank {tmp_path}\n" in rest
    assert "pairs of inputs 15/15, " not in rest and rest.rstrip().endswith("error: interrupted")


@pytest.mark.slow
def test_training_obeys_the_first_signal(tmp_path: Path) -> None:
    out = tmp_path / "mine.jsonl"
    process = subprocess.Popen(
        [sys.executable, "cli.py", "benchmarks", "train", "gpt2-mini", "--out", out, "--jobs", "1"], cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while not (tmp_path / "mine.partial.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.05)
    rest = stopped(process, signal.SIGTERM)
    assert f"next: python cli.py benchmarks train gpt2-mini --resume --out {out} --jobs 1\n" in rest


@pytest.mark.slow
def test_a_run_that_is_told_to_end_names_the_way_on(tiny_benchmark: Path, tmp_path: Path) -> None:
    asked = ["evolve", "--benchmark", tiny_benchmark, "--search-size", 16, *FEATURES, "--bank", tmp_path / "b"]
    asked += ["--out", tmp_path / "run", "--iterations", 100_000, "--population", 12, "--brood", 9, "--sweeps", 1]
    process, _ = start("iteration ", *asked, "--folds", 0, "--jobs", 1)
    rest = stopped(process, signal.SIGTERM)
    options = f"--jobs 1 --devices cpu --bank {tmp_path / 'b'}"
    assert f"next: python cli.py evolve --resume {tmp_path / 'run'} {options}\n" in rest


BYTES = os.fsdecode(b"half\xff")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "encoding", "shown"),
    [
        ("naïve", "ascii", "na\\xefve:"),
        ("[x]runs:100:x[red]", "utf-8", "[x]runs:100:x[red]:"),
        (BYTES, "ascii", "half"),
    ],
    ids=["latin", "markup", "bytes"],
)
def test_odd_names_survive_any_terminal(
    name: str, encoding: str, shown: str, tiny_benchmark: Path, bank: Path, tmp_path: Path
) -> None:
    odd = tmp_path / f"{name}.jsonl"
    odd.write_text(tiny_benchmark.read_text().replace('"tiny', '"[/x]:x:ï'))
    asked = ["replay", "--proxy", "mean[ abs(W) ]", "--sketch", "--benchmark", odd, "--bank", bank]
    done = subprocess.run(
        [sys.executable, "cli.py", *map(os.fspath, asked), *FEATURES], cwd=ROOT, capture_output=True, timeout=300,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode(encoding).startswith(shown)


def test_a_name_that_a_run_cannot_write_down_is_refused(
    tiny_benchmark: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / f"{BYTES}.jsonl"
    odd.write_bytes(tiny_benchmark.read_bytes())
    assert cli.main(["evolve", "--benchmark", str(odd), "--search-size", "16", "--out", str(tmp_path / "run")]) == 2
    error = capfd.readouterr().err
    assert "rename the file" in error and error.count("\n") == 1 and not (tmp_path / "run").exists()
