"""The formula that ranks where the user names none: found beside the code, introduced in a line, for every space."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from conftest import tiny_config
from test_models_hf import FAMILIES

import cli
from commands import source
from gp.hall_file import HallDocument, load_hall
from models.architecture import Architecture
from models.benchmarks.origins import load_benchmark
from models.candidates import drawn_candidates
from models.spaces import SPACES

UNIVERSAL = Path(__file__).resolve().parent.parent / "proxies" / "universal.json"


@pytest.fixture(scope="module")
def universal() -> HallDocument:
    return load_hall(UNIVERSAL)


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two candidates as JSON lines and a configuration of Hugging Face."""
    folder = tmp_path_factory.mktemp("candidates")
    rng = random.Random(5)
    lines: list[dict[str, Any]] = [{"schema": 1, "space": "gpt2"}]
    lines += [{"id": f"g{i}", "config": tiny_config(rng)} for i in range(2)]
    (folder / "gpt2.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "llama").mkdir()
    (folder / "llama" / "config.json").write_text(json.dumps({"model_type": "llama", **FAMILIES["llama"]}))
    return [str(folder / "gpt2.jsonl"), str(folder / "llama")]


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("bank"))


def test_rank_without_a_hall_says_what_ranks_and_does_it_in_any_folder(
    universal: HallDocument, everywhere: list[str], bank: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert cli.main(["rank", *everywhere, "--bank", bank, "--devices", "cpu", "--format", "json"]) == 0
    said = capfd.readouterr()
    first, answer = universal.proxies[0], json.loads(said.out)
    (line,) = (
        line for line in said.err.splitlines() if line.startswith("no --hall given: proxies/universal.json ranks by")
    )
    assert "ranks by its first formula; found on" in line and first.holdout
    names = [case.benchmark.name for case in universal.cases]
    held = [case.figures[0].holdout for case in universal.cases]
    assert len(names) > 1 and f"found on {len(names)} benchmarks" in line
    for name, figures in zip(names, held, strict=True):
        assert figures and f"{name} {figures['kendall']:.3f}" in line
    assert answer["direction"] == f"higher is better, as on {len(names)} benchmarks"
    assert answer["formulas"] == [first.proxy.text] and answer["signs"] == [first.sign]
    assert {row["space"] for row in answer["rows"]} == {"gpt2", "hf"}
    assert all(row["score"] is not None for row in answer["rows"])


def test_the_same_file_by_name_gives_the_same_scores_and_no_introduction(
    everywhere: list[str], bank: str, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["rank", *everywhere, "--bank", bank, "--devices", "cpu", "--format", "jsonl"]
    assert cli.main(words) == 0
    silent = capfd.readouterr()
    assert cli.main([*words, "--hall", str(UNIVERSAL)]) == 0
    named = capfd.readouterr()
    assert silent.out == named.out and "no --hall given" in silent.err and "no --hall given" not in named.err


def test_a_llama_has_the_same_score_block_by_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ZCP_DATA", str(tmp_path))
    smallest = min(load_benchmark("llama-mini").architectures, key=lambda a: SPACES["llama"].parameters(a).total)
    line = {"id": "small", "config": dict(smallest.config)}
    (tmp_path / "llama.jsonl").write_text(json.dumps(line) + "\n")
    words = ["rank", str(tmp_path / "llama.jsonl"), "--space", "llama", "--devices", "cpu", "--format", "jsonl"]
    scores = []
    for how in ("--stream", "--whole"):
        assert cli.main([*words, how, "--bank", str(tmp_path / how)]) == 0
        scores.append(json.loads(capfd.readouterr().out)["score"])
    assert scores[0] is not None and scores[0] == pytest.approx(scores[1], rel=1e-6)


@pytest.mark.parametrize("space", ["gpt2", "llama", "flexibert"])
def test_a_candidate_is_foreign_only_where_no_benchmark_has_its_space(space: str) -> None:
    ranking = source.Source.of(None, None, None)
    homes = {home.space for home in ranking.homes}
    (candidate,) = drawn_candidates(space, 1, 0)
    assert (ranking.home_of(candidate) is None) == (space in homes)
    assert ranking.home_of(Architecture.create("x", "hf", {})) == ", ".join(
        dict.fromkeys(home.space for home in ranking.homes)
    )


def test_few_benchmarks_are_named_and_many_are_counted() -> None:
    known = load_hall(UNIVERSAL).seen.cases

    class Found(source.Source):
        homes = known[:2]

    assert Found(()).direction == (
        f"higher is better, as on {known[0].name} ({known[0].wanted}), {known[1].name} ({known[1].wanted})"
    )
    Found.homes = known[:6]
    assert known[5].name in Found(()).direction
    Found.homes = known[:7]
    assert Found(()).direction == "higher is better, as on 7 benchmarks"


def test_how_weights_are_drawn_is_said_where_they_are_read(
    everywhere: list[str], bank: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for text, said in (("sum[ block ]", False), ("sum[ frobenius_norm(W) ]", True)):
        assert cli.main(["rank", *everywhere, "--bank", bank, "--devices", "cpu", "--proxy", text]) == 0
        assert ("standard deviation 0.02" in capfd.readouterr().err) is said


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_what_is_no_size_changes_no_score(family: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Not the deviation of drawn weights, not residual scaling, not the text, not the spelling of a field."""
    own = {"model_type": family, **FAMILIES[family]}
    (tmp_path / "text.txt").write_text("Quite another text than the passage, about nothing in particular. " * 40)
    eps = "layer_norm_epsilon" if family == "gpt2" else "rms_norm_eps"
    spelled = json.loads(json.dumps(own | {"initializer_range": 0.04, eps: 1e-5}))
    for name, config in (("plain", own), ("other", spelled)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    words = ["rank", str(tmp_path / "plain"), str(tmp_path / "other"), "--bank", str(tmp_path / "bank")]
    scores = set()
    for more in ((), ("--init", "own"), ("--corpus", str(tmp_path / "text.txt")), ("--init-seed", "7")):
        assert cli.main([*words, "--devices", "cpu", "--format", "jsonl", *more]) == 0
        scores |= {json.loads(line)["score"] for line in capfd.readouterr().out.splitlines()}
    assert len(scores) == 1


def test_every_benchmark_of_the_search_tells_what_is_usual(universal: HallDocument) -> None:
    homes = universal.seen.cases
    for home, case in zip(homes, universal.cases, strict=True):
        if home.architectures:
            assert sorted(a.id for a in home.known) == sorted(case.split.search)
    assert sum(bool(home.architectures) for home in homes) >= 2  # gpt2-mini and the LLaMA ones are embedded


@pytest.mark.parametrize("space", ["gpt2", "llama"])
def test_select_without_a_hall_searches_any_space_of_the_hall(
    space: str, bank: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ZCP_DATA", str(tmp_path))  # the embedded benchmarks alone, of small networks
    words = ["--space", space, "--budget", "params=60K", "--networks", "3", "--population", "2", "--format", "json"]
    assert cli.main(["select", *words, "--bank", bank, "--devices", "cpu"]) == 0
    said = capfd.readouterr()
    assert json.loads(said.out)["rows"] and said.err.count("no --hall given: proxies/universal.json ranks by") == 1


def test_a_checkout_without_the_file_asks_for_one(
    everywhere: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(source, "UNIVERSAL", tmp_path / "universal.json")
    assert cli.main(["rank", *everywhere]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1 and "wanted what ranks them: --hall HALL.json" in error and "is missing" in error
