"""The file of a predictor: what it holds comes back, and nothing that could harm or mislead gets in."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import cli
from fitness.evaluation import Evaluation, split_groups
from fitness.predictors.predictor import KINDS, BadPrediction, Predictor, Provenance, _factor
from fitness.predictors.predictor_file import (
    BadPredictor,
    load_predictor,
    predictor_from_dict,
    predictor_to_dict,
    save_predictor,
)
from fitness.seen import SeenCase
from gp.hall_file import BenchmarkRef, HallCase, HallDocument, HallProxy, Measured, SplitIds, save_hall
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark
from primitives.grammar import parse

TEXTS = ("sum[ frobenius_norm(W) ]", "mean[ l1_norm(abs(G)) ]")


@pytest.fixture(scope="module")
def benchmark(tiny_benchmark: Path) -> Benchmark:
    return load_benchmark(str(tiny_benchmark))


@pytest.fixture(scope="module")
def scores(benchmark: Benchmark) -> np.ndarray:
    return np.stack([benchmark.quality, benchmark.quality**3])


@pytest.fixture(scope="module")
def predictor(benchmark: Benchmark, scores: np.ndarray) -> Predictor:
    return made(benchmark, scores, "numbers and committee")


def made(benchmark: Benchmark, scores: np.ndarray, kind: str) -> Predictor:
    seen = split_groups(benchmark.groups, 16, 0).search
    where = Provenance("gpt2", "as_trained", "tiny", benchmark.digest, "loss", False, "key", {"batch": 2})
    formulas = [Evaluation(parse(text), 0.9, sign) for text, sign in zip(TEXTS, (1, -1), strict=True)]
    return Predictor.fit(benchmark, seen, where, formulas, scores[:, list(seen)], kind)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_predicts_the_same(kind: str, benchmark: Benchmark, scores: np.ndarray, tmp_path: Path) -> None:
    predictor = made(benchmark, scores, kind)
    save_predictor(tmp_path / "p.json", predictor)
    back = load_predictor(tmp_path / "p.json")
    own = scores[: len(predictor.formulas)]
    before, after = (p.predict(benchmark.architectures, own) for p in (predictor, back))
    for name in ("values", "low", "high", "positions"):
        assert (getattr(before, name) == getattr(after, name)).all()
    assert (
        back.provenance == predictor.provenance
        and back.formulas == predictor.formulas
        and before.beyond == after.beyond
    )
    save_predictor(tmp_path / "again.json", made(benchmark, scores, kind))
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "p.json").read_bytes()


HOSTILE: list[tuple[Sequence[Any], Any, str]] = [
    (("members", 1, "noise"), float("nan"), r"noise: got nan, wanted a finite number$"),
    (("members", 0, "weight"), float("nan"), r"weight: got nan, wanted a finite number$"),
    (("members", 1, "noise"), 0.0, r"noise: got 0.0, wanted a number from 1e-09 to "),
    (("members", 1, "lengths"), [1.0], r"lengths: got a list, wanted \d+ lengths"),
    (("members", 1, "kernel"), "os.system", r"kernel: got 'os.system', wanted one of linear, matern$"),
    (("members", 1, "kernel"), ["matern"], r"kernel: got a list, wanted one of linear, matern$"),
    (("members", 0, "penalty"), -1, r"penalty: got -1, wanted a number from"),
    (("members", 0, "weight"), 0.9999, r"members: got a list, wanted members whose weights sum to 1$"),
    (("members",), [{}] * 17, r"members: got 17 entries, wanted at most 16$"),
    (("labels", "ids"), ["a"] * 2001, r"ids: got 2,001 entries, wanted at most 2,000$"),
    (("labels", "values"), [1.0] * 16, r"values: got a list, wanted at least 2 different labels$"),
    (("labels", "values", 3), 1e200, r"values\[3\]: got 1e\+200, wanted a number of size at most 1e\+100$"),
    (("labels", "values"), [1.0, 2.0], r"values: got 2 numbers, wanted one for each of the 16 ids$"),
    (("labels", "numbers"), [], r"numbers: got a list, wanted columns of different names, log depth, "),
    (("labels", "numbers", 0, "name"), "log depth", r"numbers: got a list, wanted columns of different names"),
    (("formulas", 0, "text"), "__import__('os').system('true')", r"text: .*"),
    (("formulas", 0, "text"), "sum[ import(W) ]", r"unknown unary operator 'import'"),
    (("formulas", 0, "sign"), 2, r"sign: got 2, wanted 1 or -1$"),
    (("formulas",), [], r"formulas: got a list, wanted at least one, because the kind is numbers and committee$"),
    (("formulas", 0, "scores", 0), None, r"scores\[0\]: got None, wanted a number$"),
    (("left_out",), [0.0], r"left_out: got 1 numbers, wanted one for each"),
    (("factor",), float("inf"), r"factor: got inf, wanted a finite number$"),
    (("kind",), "magic", r"kind: got 'magic', wanted one of numbers, "),
    (("schema",), 2, r"schema: got 2, wanted 1, the schema this version reads"),
    (("extra",), 1, r"got the field 'extra', wanted schema, "),
    (("provenance", "build"), "as_drawn", r"build: got 'as_drawn', wanted one of .*, the builds of gpt2, or null$"),
    (("provenance", "build"), "", r"build: got '', wanted one of "),
    (("provenance", "build"), 3, r"build: got 3, wanted a text"),
    (("provenance", "space"), "gtp2", r"space: got 'gtp2', wanted one of gpt2, flexibert, llama, hf$"),
    (("provenance", "space"), "", r"space: got '', wanted one of gpt2"),
    (("provenance", "higher_is_better"), 1, r"higher_is_better: got 1, wanted true or false$"),
]


@pytest.mark.parametrize(("place", "value", "message"), HOSTILE, ids=lambda v: str(v)[:40])
def test_a_hostile_predictor_is_refused_in_one_line(
    predictor: Predictor, place: Sequence[Any], value: Any, message: str
) -> None:
    data = json.loads(json.dumps(predictor_to_dict(predictor)))
    inside: Any = data
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = copy.deepcopy(value)
    with pytest.raises(BadPredictor, match=message) as refusal:
        predictor_from_dict(data, "p.json")
    assert "\n" not in str(refusal.value) or place[-1] == "text"


def test_a_predictor_of_a_thousand_million_labels_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.write(b'{"labels": [')
        file.truncate(1_000_000_000)
    with pytest.raises(BadPredictor, match="larger than 10,000,000 bytes, which a predictor never is"):
        load_predictor(path)


def test_damage_is_noticed(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    save_predictor(path, predictor)
    path.write_text(path.read_text().replace('"sign": -1', '"sign": 1'))
    with pytest.raises(BadPredictor, match="got content that differs from its digest"):
        load_predictor(path)


@pytest.fixture(scope="module")
def hall(benchmark: Benchmark, tiny_benchmark: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hall of fame of two formulas with the split of seed 0."""
    split = split_groups(benchmark.groups, 16, 0)
    ids = SplitIds(*(tuple(benchmark.architectures[i].id for i in part) for part in (split.search, split.holdout)))
    path = tmp_path_factory.mktemp("hall") / "hall.json"
    known = BenchmarkRef("tiny", benchmark.digest, "loss", False)
    case = HallCase(str(tiny_benchmark), "gpt2", None, known, ids, "key", (Measured(),) * len(TEXTS))
    proxies = tuple(HallProxy(Evaluation(parse(text), 0.9, 1)) for text in TEXTS)
    save_hall(path, HallDocument(0, {"batch": 2, "seq_len": 24}, (case,), proxies))
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = cli.main([str(a) for a in arguments])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_fit_writes_what_replay_reads(hall: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, where = tmp_path / "p.json", ("--bank", tmp_path / "bank", "--devices", "cpu")
    code, shown, said = run(capsys, "fit", hall, "--out", out, *where)
    assert code == 0 and "on labels left out" in shown and f"written: {out}" in said and "replay --predictor" in said
    assert load_predictor(out).provenance.config["batch"] == 2
    code, shown, said = run(capsys, "replay", "--predictor", out, "--format", "json", *where)
    assert code == 0, said
    found = json.loads(shown)
    assert {"name", "kind", "search", "holdout", "all", "coverage"} <= set(found["predictor"])
    assert found["predictor"]["holdout"]["n"] == 14 and len(found["proxies"]) == len(load_predictor(out).formulas)
    assert [rival["name"] for rival in found["rivals"]] == ["ridge", "Gaussian process", "random forest", "shape law"]
    code, shown, said = run(capsys, "replay", hall, "--predictor", out, *where)
    assert code == 0 and "(predictor)" in shown and "(random forest)" in shown and "90% intervals:" in said
    assert run(capsys, "replay", hall, "--predictor", out, "--proxy", TEXTS[0])[0] == 2
    assert run(capsys, "fit", hall, "--out", hall)[0] == 2
    assert run(capsys, "replay", "--predictor", hall)[0] == 1
    assert run(capsys, "fit", hall, "--kind", "numbers", "--out", out, *where)[0] == 0
    code, shown, said = run(capsys, "replay", "--predictor", out, "--format", "json", *where)
    assert code == 0 and json.loads(shown)["proxies"] == [] and json.loads(shown)["predictor"]["kind"] == "numbers"
    code, _, said = run(capsys, "fit", hall, "--benchmark", "gpt2-mini")
    assert code == 2 and "its labels are those of tiny; give one of these with --benchmark" in said
    code, shown, said = run(capsys, "replay", "--predictor", out, "--benchmark", "gpt2-mini", "--proxy", "mean[ W ]")
    assert code == 2 and shown == ""


@pytest.mark.parametrize("count", [0, 2])
def test_what_the_search_behind_a_predictor_saw_is_kept(count: int, predictor: Predictor, tmp_path: Path) -> None:
    cases = tuple(
        SeenCase(f"place {i}", "gpt2", "name", "0" * 64, "loss", False, ("a", "b"), ("c",)) for i in range(count)
    )
    provenance = dataclasses.replace(predictor.provenance, cases=cases)
    saved = dataclasses.replace(predictor, provenance=provenance)
    save_predictor(tmp_path / "p.json", saved)
    assert load_predictor(tmp_path / "p.json").provenance.cases == cases


def test_a_predictor_has_seen_its_labels_and_what_its_formulas_saw(predictor: Predictor) -> None:
    case = SeenCase("there", "gpt2", "n", "0" * 64, "loss", False, ("a",))
    for place, said in (("", "tiny"), ("mine.jsonl", "mine.jsonl")):
        provenance = dataclasses.replace(predictor.provenance, place=place, cases=(case,))
        first, second = dataclasses.replace(predictor, provenance=provenance).seen.cases
        digest = predictor.provenance.digest
        assert second is case and first == SeenCase(said, "gpt2", "tiny", digest, "loss", False, predictor.ids)


def test_a_predictor_asks_for_networks_of_its_space(predictor: Predictor) -> None:
    other = SimpleNamespace(id="a", space="llama")
    with pytest.raises(BadPrediction, match="^a: got the space llama, wanted gpt2, which the labels are of$"):
        predictor.check(other)  # type: ignore[arg-type]
    with pytest.raises(BadPrediction, match="^a: got the space llama"):
        predictor.predict([other])  # type: ignore[list-item]


@pytest.mark.parametrize("count", [5, 20])
def test_nine_of_ten_labels_lie_within_that_many_deviations(count: int) -> None:
    """The quantile of rank 0.9 (n + 1), at most the last; what four of five labels predict errs more than all."""
    targets = np.linspace(0, 1, count)
    errors = np.arange(1.0, count + 1) / 7
    out: Any = SimpleNamespace(mean=(targets + errors)[None], deviation=np.full((1, count), 2.0))
    found = _factor("numbers", targets, np.empty((0, count)), out)
    wanted = errors[-1] if count == 5 else 19.05 / 7  # 19 of 20: 0.95 * 19 = 18.05 places behind the first
    assert found == round(wanted / 2 * 0.8**0.5, 6)
    exact: Any = SimpleNamespace(mean=targets[None], deviation=np.ones((1, count)))
    assert _factor("numbers", targets, np.empty((0, count)), exact) == 1e-6


@pytest.mark.parametrize("path", [("provenance",), ("provenance", "cases", 0)])
def test_a_field_that_nobody_knows_is_refused(path: tuple[Any, ...], predictor: Predictor) -> None:
    case = SeenCase("there", "gpt2", "n", "0" * 64, "loss", False, ("a",), ("b",))
    provenance = dataclasses.replace(predictor.provenance, cases=(case,))
    data = json.loads(json.dumps(predictor_to_dict(dataclasses.replace(predictor, provenance=provenance))))
    assert data["provenance"]["cases"] == [json.loads(json.dumps(vars(case)))]
    for name in ("place", "cases"):
        less = copy.deepcopy(data)
        del less["provenance"][name]
        less["provenance"]["config"] = {"benchmark": "mine"}
        found = predictor_from_dict(less).provenance
        assert (found.place, found.cases) == (("mine", (case,)) if name == "place" else ("", ()))
    inside = data
    for key in path:
        inside = inside[key]
    inside["mood"] = 1
    with pytest.raises(BadPredictor, match="got the field 'mood'"):
        predictor_from_dict(data)
