"""The command line as a user meets it: real runs on real (small) networks, and one clear line for every mistake."""

from __future__ import annotations

import csv
import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from processes import program as zcp
from scipy import stats
from test_commands import COMMANDS

import cli
from commands.feature_options import FeatureOptions
from commands.region_options import RegionOptions
from commands.search_options import _config as search_settings
from fitness.features.workshop import Workshop
from fitness.tables.table_file import branch_table
from gp.config import SearchConfig
from gp.hall_file import load_hall
from gp.runs.limits import Limits
from models.benchmarks.layouts import read_benchmark

ROOT = Path(__file__).resolve().parent.parent
SMALL = [
    "--search-size", "16", "--iterations", "40", "--population", "12", "--brood", "5", "--sweeps", "1", "--folds", "2",
    "--inputs", "paper", "--batch", "2", "--seq-len", "24", "--devices", "cpu", "--teacher", "none",
]  # fmt: skip


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bank")


@pytest.fixture(scope="module")
def hall(tiny_benchmark: Path, bank: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "first"
    done = zcp("evolve", "--benchmark", tiny_benchmark, *SMALL, "--bank", bank, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "held-out rho" in done.stdout and "(depth, then width)" in done.stdout
    assert "iteration 0/40: best" in done.stderr and "PPS refused" in done.stderr
    assert done.stderr.rstrip().splitlines()[-1].startswith("next: python cli.py replay")
    said = done.stderr.splitlines()
    early = said.index(
        "hall of fame by sketch scores on the search split; exact scores, to follow, have the last word:"
    )
    figures = [re.fullmatch(r"  ([01]\.\d{3})  [+-]1  .*\[ .* \].*", line) for line in said[early + 1 : early + 11]]
    assert all(figures) and figures == sorted(figures, key=lambda found: found[1], reverse=True)  # type: ignore[index]
    assert said[early + 11].startswith("exact scores on the search split, finalists:")
    assert "by sketch scores" not in done.stdout
    return out / "hall_of_fame.json"


def test_fidelity_is_the_agreement_of_sketch_and_exact_scores_on_the_search_split(
    hall: Path, tiny_benchmark: Path, bank: Path
) -> None:
    document, shop = load_hall(hall), Workshop.open("gpt2", batch=2, length=24, devices="cpu", bank=bank)
    (case,), proxies = document.cases, [entry.proxy for entry in document.proxies]
    seen = [a for a in read_benchmark(tiny_benchmark).architectures if a.id in case.split.search]
    exact, close = shop.exact_scores(proxies, seen), branch_table(seen, shop).scores(proxies)
    for figures, x, y in zip(case.figures, exact, close, strict=True):
        assert figures.fidelity == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-6)


def test_a_run_directory_describes_itself(hall: Path, tiny_benchmark: Path) -> None:
    folder = hall.parent
    names = {p.name for p in folder.iterdir()}
    assert names == {"config.json", "environment.json", "generations.jsonl", "checkpoint.json", "hall_of_fame.json"}
    lines = [json.loads(line) for line in (folder / "generations.jsonl").read_text().splitlines()]
    iterations = [line["iteration"] for line in lines]
    assert iterations == sorted(set(iterations)) and (iterations[0], iterations[-1]) == (0, 40)
    document = json.loads(hall.read_text())
    (case,) = document["cases"]
    assert document["schema"] == 2 and (len(case["split"]["search"]), len(case["split"]["holdout"])) == (16, 14)
    assert case["place"] == str(tiny_benchmark) and document["config"]["options"][:2] == ["--benchmark", case["place"]]
    for record in document["proxies"]:
        assert {"search", "holdout", "all", "sign", "text", "genotype", "fidelity"} <= set(record)
        assert (
            record["holdout"]["ci95_kendall"][0] <= record["holdout"]["kendall"] <= record["holdout"]["ci95_kendall"][1]
        )


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(
    hall: Path, tiny_benchmark: Path, bank: Path, tmp_path: Path
) -> None:
    variants = {
        "again": ["--bank", bank],
        "threads": ["--bank", bank, "--jobs", "2"],
        "cold": ["--bank", tmp_path / "cold", "--devices", "cpu,cpu"],
        "other": ["--bank", bank, "--seed", "43"],
    }
    for name, options in variants.items():
        done = zcp("evolve", "--benchmark", tiny_benchmark, *SMALL, *options, "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
        for file in ("hall_of_fame.json", "generations.jsonl", "checkpoint.json"):
            same = (tmp_path / name / file).read_bytes() == (hall.parent / file).read_bytes()
            assert same is (name != "other"), (name, file)


def test_replay_agrees_with_the_record(hall: Path, tiny_benchmark: Path, bank: Path) -> None:
    options = ["--benchmark", tiny_benchmark, "--bank", bank, "--batch", "2", "--seq-len", "24", "--devices", "cpu"]
    done = zcp("replay", hall, *options, "--committee", 2, "--format", "json")
    assert done.returncode == 0, done.stderr
    answer, document = json.loads(done.stdout), json.loads(hall.read_text())
    assert answer["exact"] and not answer["transfer"]
    for row, record in zip(answer["proxies"], document["proxies"], strict=True):
        assert row["deviation"] == 0 and row["all"] == record["all"] and row["holdout"] == record["holdout"]
    assert answer["committee"]["name"] == "committee of 2" and answer["committee"]["holdout"]["n"] == 14
    sketched = zcp("replay", hall, *options, "--sketch", "--format", "csv")
    rows = list(csv.DictReader(sketched.stdout.splitlines()))
    assert rows[0]["proxy"] == document["proxies"][0]["text"] and rows[-1]["proxy"] == "(depth, then width)"
    assert float(rows[0]["near-size tau"]) <= 1


def test_replay_of_a_formula_says_which_rules_it_breaks(tiny_benchmark: Path, bank: Path) -> None:
    text = "mean[ sum( l1_norm(pow2(W)), pow2(softmax(G)) ) ]"
    done = zcp(
        "replay",
        "--proxy",
        text,
        "--benchmark",
        tiny_benchmark,
        "--bank",
        bank,
        "--batch",
        2,
        "--seq-len",
        24,
        "--devices",
        "cpu",
    )
    assert done.returncode == 0 and "PPS would refuse" in done.stderr and "equivalent" in done.stderr


def test_ctrl_c_while_workers_start_is_answered_in_a_sentence(tiny_benchmark: Path, tmp_path: Path) -> None:
    command = [sys.executable, "cli.py", "evolve", "--benchmark", str(tiny_benchmark), "--search-size", "16",
               "--batch", "2", "--seq-len", "24", "--devices", "cpu,cpu", "--bank", str(tmp_path / "bank"),
               "--out", str(tmp_path / "run")]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None and "features of" in process.stderr.readline()
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 130 and "Traceback" not in error
    assert f"next: python cli.py evolve --resume {tmp_path / 'run'}" in error


def test_a_run_is_never_overwritten(hall: Path, tiny_benchmark: Path) -> None:
    before = hall.read_bytes()
    done = zcp("evolve", "--benchmark", tiny_benchmark, *SMALL, "--out", hall.parent)
    assert done.returncode == 1 and "is not empty, and a run is never overwritten" in done.stderr
    assert hall.read_bytes() == before


@pytest.mark.parametrize("form", ["text", "latex", "python", "json"])
def test_show_prints_every_formula(hall: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", str(hall), "--format", form]) == 0
    out, count = capsys.readouterr().out, len(json.loads(hall.read_text())["proxies"])
    assert (
        out.count(
            {"text": "held-out rho", "latex": r"\overline", "python": "# one number per tensor", "json": '"text"'}[form]
        )
        >= count
    )


def test_benchmarks_and_doctor_answer_in_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["benchmarks", "list"], ["doctor"]):
        for form in ("table", "json", "csv"):
            assert cli.main([*command, "--format", form]) == 0
            assert "gpt2-wt103" in capsys.readouterr().out


MISTAKES = [
    (["evolv"], 2, "unknown command 'evolv'; did you mean evolve?"),
    (["evolve"], 2, "wanted --space gpt2"),
    (["evolve", "--space", "gtp2"], 2, "got 'gtp2', wanted one of gpt2, flexibert, llama, hf; did you mean gpt2?"),
    (["evolve", "--space", "gpt2", "--benchmark", "gpt2-wt104"], 1, "did you mean gpt2-wt103?"),
    (["evolve", "--benchmark", "TINY", "--iterations", "-5"], 2, "--iterations"),
    (["evolve", "--benchmark", "TINY", "--population", "many"], 2, "--population"),
    (["evolve", "--benchmark", "TINY", "--metric", "los"], 1, "unknown metric 'los'"),
    (["evolve", "--benchmark", "TINY", "--space", "flexibert"], 2, "is of the space gpt2"),
    (["evolve", "--benchmark", "TINY", "--search-size", "25"], 2, "wanted 10 to 20"),
    (["evolve", "--benchmark", "TINY", "--search-size", "16", "--build", "odd"], 1, "got 'odd', wanted one of as_"),
    (["evolve", "--space", "flexibert", "--benchmark", "gpt2-wt103"], 2, "gpt2-wt103 is of the space gpt2"),
    (["evolve", "--benchmark", ""], 2, "--benchmark: got an empty text, wanted a value"),
    (["evolve", "--benchmark", "TINY", "--time-budget", "999999999d"], 2, "at most 3650d"),
    (["evolve", "--benchmark", "TINY", "--poplation", "9"], 2, "'--population'?"),
    (["evolve", "--benchmark", "TINY", "--init-seed", "18446744073709551616"], 2, "--init-seed"),
    (["evolve", "--benchmark", "TINY", "--init-seed", str(2**63 - 1)], 2, "--init-seed"),
    (["exhaust", "--benchmark", "TINY", "--search-size", "9999"], 2, "wanted 10 to 20"),
    (["leaderboard", "--benchmark", "TINY", "--search-size", "25"], 2, "wanted 10 to 20"),
    (["evolve", "--benchmark", "TINY", "--search-size", "16", "--devices", "tpu"], 1, "got 'tpu', wanted cpu"),
    (["evolve", "--benchmark", "TINY", "--search-size", "16", "--corpus", "nowhere.txt"], 1, "cannot be read"),
    (["evolve", "--resume", "nowhere"], 1, "no config.json, so there is no run to resume"),
    (["evolve", "--resume", "nowhere", "--seed", "3"], 2, "--seed: a resumed run keeps its settings"),
    (["evolve", "--benchmark", "TINY", "--seq-len", "600", "--search-size", "16"], 1, "seq-len"),
    (["replay"], 2, "wanted a hall of fame file, --predictor FILE, both, or --proxy"),
    (["replay", "nowhere.json"], 1, "cannot be read"),
    (["replay", "--predictor", "nowhere.json"], 1, "nowhere.json: cannot be read"),
    (["fit", "nowhere.json"], 1, "nowhere.json: cannot be read"),
    (["fit", "nowhere.json", "--kind", "champion "], 2, "did you mean champion?"),
    (["suggest", "--benchmark", "TINY", "--candidates", "nowhere.jsonl"], 1, "nowhere.jsonl: no such file or folder"),
    (["suggest", "--benchmark", "TINY", "--goal", "intervall"], 2, "did you mean interval?"),
    (["replay", "--proxy", "mean[ sqr(W) ]"], 1, "did you mean sqrt?"),
    (["replay", "--proxy", "__import__('os').system('id')"], 1, 'got "\'"'),
    (["benchmarks", "verify", "nothing"], 1, "unknown benchmark 'nothing'"),
    (["benchmarks", "fetch", "../../x"], 1, "cannot be fetched"),
    (["doctor", "--format", "jsn"], 2, "did you mean json?"),
]


@pytest.mark.parametrize(
    ("arguments", "code", "message"), MISTAKES, ids=lambda v: " ".join(v) if isinstance(v, list) else None
)
def test_a_mistake_is_one_line_and_an_exit_code(
    arguments: list[str], code: int, message: str, tiny_benchmark: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert cli.main([str(tiny_benchmark) if a == "TINY" else a for a in arguments]) == code
    error = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1 and message in error[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(proxies=[]), "no formula"),
        (lambda d: d.update(schema=7), "schema"),
        (lambda d: d["proxies"][0].update(text="__import__('os').system('touch pwned')"), "proxies[0]: text"),
        (lambda d: d["proxies"][0].update(text="mean[ absolute(W) ]"), "unknown unary operator 'absolute'"),
        (lambda d: d["proxies"][0].update(sign=0), "sign"),
        (lambda d: d["proxies"][0].update(sign=-d["proxies"][0]["sign"]), "digest"),
        (lambda d: d["cases"][0].pop("split"), "split is missing"),
    ],
)
def test_a_bad_hall_of_fame_is_refused(
    hall: Path,
    tmp_path: Path,
    change: object,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    document = json.loads(hall.read_text())
    change(document)  # type: ignore[operator]
    Path("bad.json").write_text(json.dumps(document))
    assert cli.main(["show", "bad.json"]) == 1
    error = capfd.readouterr().err
    assert message in error and error.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["bad.json"]


@pytest.mark.parametrize("part", ["search", "holdout"])
@pytest.mark.parametrize("command", ["show IT", "replay IT", "plot IT", "leaderboard --benchmark TINY --hall IT"])
def test_a_hall_without_a_split_is_refused(
    command: str, part: str, hall: Path, tiny_benchmark: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(hall.read_text())
    document["cases"][0]["split"][part] = []
    del document["digest"]
    (tmp_path / "it.json").write_text(json.dumps(document))
    words = {"IT": str(tmp_path / "it.json"), "TINY": str(tiny_benchmark)}
    assert cli.main([words.get(word, word) for word in command.split()]) == 1
    error = capfd.readouterr().err
    assert f"split: {part}: got a list, wanted the ids" in error and error.count("\n") == 1


def test_every_option_is_read() -> None:
    """An option that a command declares is a parameter of its function, by name or in what some are gathered to."""
    names = {"search": SearchConfig, "limits": Limits, "features": FeatureOptions, "asked": RegionOptions}
    translated = {"aggregate": "aggregates", "no_pps": "pps", "time_budget": "seconds"}
    for command in COMMANDS.values():
        accepted = set(inspect.signature(inspect.unwrap(command.callback)).parameters) - {"ctx"}
        gathered = {field.name for name in accepted & set(names) for field in fields(names[name])}
        gathered |= set(inspect.signature(search_settings).parameters) if "search" in accepted else set()
        declared = {str(p.name) for p in command.params if p.expose_value}
        assert all({name, translated.get(name)} & (accepted | gathered) for name in declared), command.name
        assert accepted - set(names) <= declared


def test_the_published_run_is_short_of_nothing(published: Path, tmp_path: Path) -> None:
    """200 real architectures in a copy with 30 of them would be another benchmark: here only loading and refusing."""
    copy = Path(shutil.copytree(published / "gpt2-wt103", tmp_path / "wt"))
    summary = copy / "ppl_summary.yaml"
    summary.chmod(0o644)
    summary.write_text(summary.read_text()[:5000] + "\n  config_0_j9: {valid")
    done = zcp("evolve", "--benchmark", copy, "--out", tmp_path / "run")
    assert done.returncode == 1 and "not valid YAML" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
