"""A hall of six benchmarks in every command that reads halls: nothing that its search saw is ever held out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from six import COUNT, NAMES, write_six

import cli
from fitness.evaluation import Evaluation, split_groups
from fitness.predictors.predictor_file import load_predictor
from fitness.predictors.rivals import RIVALS
from fitness.seen import Seen
from gp.hall_file import BenchmarkRef, HallCase, HallDocument, HallProxy, Measured, SplitIds, load_hall, save_hall
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark
from primitives.grammar import parse

TEXTS = ("sum[ frobenius_norm(W) ]", "mean[ l1_norm(W) ]")
FAST = ("--batch", "2", "--seq-len", "24", "--devices", "cpu")
CONFIG = {"batch": 2, "seq_len": 24, "init_seed": 3, "search_size": 10}


@pytest.fixture(autouse=True)
def ridge_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One regression beside the formulas: the others take seconds and have no part in what a search saw."""
    for name in [name for name in RIVALS if name != "ridge"]:
        monkeypatch.delitem(RIVALS, name)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six benchmarks, a hall evolved on all, and `mixed`: half of gpt-a under other ids, among networks of gpt-b."""
    folder = tmp_path_factory.mktemp("six")
    cases = []
    for path in write_six(folder):
        benchmark = load_benchmark(str(path))
        split = split_groups(benchmark.groups, 10, 7)
        ids = SplitIds(*(tuple(benchmark.architectures[i].id for i in part) for part in (split.search, split.holdout)))
        ref = BenchmarkRef(benchmark.name, benchmark.digest, benchmark.metric, benchmark.higher_is_better)
        cases.append(HallCase(str(path), benchmark.space, None, ref, ids, "x", (Measured(),) * len(TEXTS)))
    proxies = tuple(HallProxy(Evaluation(parse(text), 0.9, 1)) for text in TEXTS)
    save_hall(folder / "hall.json", HallDocument(7, CONFIG, tuple(cases), proxies))
    (folder / "mixed.jsonl").write_text("\n".join(_mixed(folder)) + "\n")
    return folder


def _mixed(folder: Path) -> Iterator[str]:
    one, two = ((folder / f"{name}.jsonl").read_text().splitlines() for name in ("gpt-a", "gpt-b"))
    yield one[0]
    for number, line in enumerate((*one[1:12], *two[1:12])):
        record = json.loads(line)
        yield json.dumps({"id": f"mixed-{number}", "config": record["config"], "m0": float(number)})


def seen_of(place: Path, benchmark: Benchmark) -> set[str]:
    """Ids of the architectures of a benchmark that the search saw, by the files alone."""
    digests = set()
    for case in json.loads((place / "hall.json").read_text())["cases"]:
        known = load_benchmark(case["place"])
        digests |= {a.digest for a in known.architectures if a.id in case["split"]["search"]}
    return {a.id for a in benchmark.architectures if a.digest in digests}


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[Any, str]:
    """The JSON of a command and what it said."""
    capsys.readouterr()
    code = cli.main([str(word) for word in (*words, "--format", "json")])
    said = capsys.readouterr()
    assert code == 0, said.err
    return json.loads(said.out), said.err


COMMANDS = {
    "replay": ("replay", "HALL", "--benchmark", "B"),
    "replay --sketch": ("replay", "HALL", "--benchmark", "B", "--sketch"),
    "leaderboard": ("leaderboard", "--benchmark", "B", "--hall", "HALL", "--search-size", "10"),
}


@pytest.mark.parametrize("name", [*NAMES, "mixed"])
@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_that_the_search_saw_is_held_out(
    command: str, name: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = {"HALL": place / "hall.json", "B": place / f"{name}.jsonl"}
    words = [where.get(word, word) for word in COMMANDS[command]]
    found, said = answer(capsys, *words, "--bank", place / "bank", "--devices", "cpu")
    benchmark = load_benchmark(str(where["B"]))
    ids, seen = [a.id for a in benchmark.architectures], seen_of(place, benchmark)
    splits = [found["split"], *(row["split"] for row in found.get("rows", ()) if row["kind"] == "evolved")]
    held = [{ids[i] if isinstance(i, int) else i for i in split["holdout"]} for split in splits if split]
    mine = held[-1] if command == "leaderboard" else held[0]
    assert len(seen) == (10 if name != "mixed" else len(seen)) and seen
    assert not mine & seen and len(mine) >= 3
    assert ("transfer" in said) == (name == "mixed")
    if name != "mixed":
        assert all(not part & seen and len(part) == 12 for part in held)
    rows = found.get("proxies") or [row for row in found["rows"] if row["kind"] == "evolved"]
    assert all(row["holdout"]["n"] == len(mine) for row in rows)
    assert "--init-seed 3" in said  # the features that the hall names


@pytest.mark.parametrize("name", NAMES)
def test_fit_takes_the_labels_that_the_search_saw_of_the_named_benchmark(
    name: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, path = place / f"{name}-predictor.json", place / f"{name}.jsonl"
    where = ("--bank", place / "bank", "--devices", "cpu")
    answer(capsys, "fit", place / "hall.json", "--benchmark", path, "--out", out, *where)
    predictor, benchmark = load_predictor(out), load_benchmark(str(path))
    known = predictor.provenance
    assert set(predictor.ids) == seen_of(place, benchmark)
    assert (known.space, known.name, known.metric) == (benchmark.space, name, benchmark.metric)
    assert known.higher_is_better == benchmark.higher_is_better and len(known.cases) == len(NAMES)
    found, _ = answer(capsys, "replay", "--predictor", out, *where)
    assert not set(found["split"]["holdout"]) & set(predictor.ids) and not found["transfer"]
    assert found["predictor"]["holdout"]["n"] == 12


def test_a_predictor_knows_what_its_formulas_saw_elsewhere(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, where = place / "one.json", ("--bank", place / "bank", "--devices", "cpu")
    answer(capsys, "fit", place / "hall.json", "--benchmark", place / "gpt-a.jsonl", "--out", out, *where)
    found, _ = answer(capsys, "replay", "--predictor", out, "--benchmark", place / "gpt-b.jsonl", *where)
    other = load_benchmark(str(place / "gpt-b.jsonl"))
    assert not set(found["split"]["holdout"]) & seen_of(place, other) and found["predictor"]["holdout"]["n"] == 12


@pytest.mark.parametrize("command", ["rank", "select", "suggest"])
def test_an_architecture_that_the_search_saw_is_marked(
    command: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed, hall = place / "mixed.jsonl", place / "hall.json"
    where = ("--hall", hall, "--bank", place / "bank", "--devices", "cpu")
    words = {
        "rank": (mixed, "--space", "gpt2"),
        "select": ("--space", "gpt2", "--budget", "latency=99s", "--networks", "12", "--population", "4"),
        "suggest": ("--benchmark", place / "gpt-b.jsonl", "--candidates", mixed, "--count", "8"),
    }[command]
    found, _ = answer(capsys, command, *words, *where)
    met = {a.id for a in load_benchmark(str(mixed)).architectures} & seen_of(place, load_benchmark(str(mixed)))
    marked = {row["id"] for row in found["rows"] if "seen in gpt-" in str(row.get("notes", row.get("note")))}
    assert marked == {row["id"] for row in found["rows"] if row["id"] in met}
    assert found["rows"] and (command != "rank" or marked == met)


READERS = {
    "rank": ("rank", "B", "--hall", "HALL", "--space", "gpt2"),
    "select": ("select", "--space", "gpt2", "--hall", "HALL", "--budget", "params=1G"),
    "suggest": ("suggest", "--benchmark", "B", "--hall", "HALL", "--pool", "4"),
    "fit": ("fit", "HALL", "--benchmark", "B"),
    "replay": ("replay", "HALL", "--benchmark", "B", "--sketch"),
    "leaderboard": ("leaderboard", "--benchmark", "B", "--hall", "HALL"),
    "report": ("report", "HALL", "--benchmark", "B"),
}


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize(
    ("option", "said"),
    [(("--init-seed", "4"), "--init-seed 4: wanted --init-seed 3"), (("--corpus", "TEXT"), "wanted no --corpus")],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_other_features_than_the_hall_names_are_refused_with_both_keys(
    command: str, option: tuple[str, str], said: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "text.txt").write_text("another text " * 400)
    where = {"HALL": place / "hall.json", "B": place / "gpt-a.jsonl", "TEXT": place / "text.txt"}
    words = [str(where.get(word, word)) for word in (*READERS[command], *option)]
    assert cli.main([*words, "--bank", str(place / "bank"), "--devices", "cpu"]) == 2
    error = capsys.readouterr().err
    assert said in error and re.search(r"evolved with the features x, got [0-9a-f]{12}; leave it out", error), error


def test_the_default_formula_ranks_with_the_features_that_are_asked_for(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (place / "gpt-a.jsonl", "--space", "gpt2", *FAST, "--init-seed", "4", "--bank", place / "default")
    found, said = answer(capsys, "rank", *words)
    assert len(found["rows"]) == COUNT and "--seq-len: 24 here, 64 in the run" in said
    assert re.search(r"evolved with the features [0-9a-f]{12}, got [0-9a-f]{12}", said)


@pytest.mark.parametrize("name", NAMES)
def test_exhaust_and_report_and_plot_know_the_split_of_each_benchmark(
    name: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, where = place / f"{name}.jsonl", ("--bank", place / "bank", "--devices", "cpu")
    benchmark, hall = load_benchmark(str(path)), place / "hall.json"
    found, _ = answer(capsys, "exhaust", "--benchmark", path, "--compare", hall, "--top", "2", *where)
    assert not set(found["split"]["holdout"]) & seen_of(place, benchmark)
    for command, out in (("report", "page.html"), ("plot", "hall.png")):
        assert (
            cli.main([command, str(hall), "--benchmark", str(path), "--out", str(place / out), *map(str, where)]) == 0
        )
    page = (place / "page.html").read_text()
    assert all(other in page for other in NAMES) and "ranks the 12 that it never saw" in page


def test_a_benchmark_that_grew_keeps_what_was_seen(place: Path, tmp_path: Path) -> None:
    text = (place / "gpt-a.jsonl").read_text()
    path = tmp_path / "gpt-a.jsonl"
    config = json.loads((place / "gpt-b.jsonl").read_text().splitlines()[1])["config"]
    path.write_text(text + json.dumps({"id": "new", "config": config, "m0": 1.0}) + "\n")
    grown = load_benchmark(str(path))
    seen = load_hall(place / "hall.json").seen
    assert {grown.architectures[i].id for i in seen.places(grown)} >= seen_of(place, grown)
    gone = Seen((replace(seen.cases[0], place=str(tmp_path / "nowhere.jsonl")),))
    assert {grown.architectures[i].id for i in gone.places(grown)} == set(seen.cases[0].search)


@pytest.mark.parametrize("before", [None, "whole"])
def test_a_case_without_networks_that_overflow_knows_the_whole_benchmark(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from gp import case as module

    left: Any = SimpleNamespace(benchmark="smaller", split=None, report="dropped 1 of 3")
    monkeypatch.setattr(module, "screen", lambda *given: left)
    nothing: Any = None
    case = module.Case("benchmark", nothing, "split", whole=before)  # type: ignore[arg-type]
    sound, said = case.sound("drop")
    assert (sound.benchmark, sound.split, sound.whole) == ("smaller", "split", before or "benchmark")
    assert said == "dropped 1 of 3"
