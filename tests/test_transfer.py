"""The study that leaves one benchmark out: what its searches see, what stands beside the formula, and its table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from scipy import stats

import cli
from fitness.features.workshop import Workshop
from gp.case import Case
from gp.studies import transfer as protocol
from gp.studies.plan import STUDIES, BadStudy, plan_transfer
from gp.studies.summary import transfers
from gp.studies.transfer import best_fixed, seen, unseen
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark
from models.spaces import SPACES

QUICK = {"inputs": ("A", "W"), "n_unary": 1, "population": 12, "brood": 9, "sweeps": 1, "folds": 2}


@pytest.fixture(scope="module")
def halves(tiny_benchmark: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two benchmarks, of 12 and of 18 architectures."""
    header, *records = tiny_benchmark.read_text().splitlines()
    folder = tmp_path_factory.mktemp("halves")
    for name, part in (("few", records[:12]), ("more", records[12:])):
        (folder / f"{name}.jsonl").write_text("\n".join([header, *part]) + "\n")
    return folder / "few.jsonl", folder / "more.jsonl"


@pytest.fixture(scope="module")
def cases(halves: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    found = [load_benchmark(str(path)) for path in halves]
    workshop = Workshop.open("gpt2", batch=2, length=24, devices="cpu", bank=tmp_path_factory.mktemp("bank"))
    return [seen(unseen(benchmark, workshop), 1, 6) for benchmark in found]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STUDIES, "transfer", replace(STUDIES["transfer"], base=QUICK))


def asked(*paths: Path) -> list[str]:
    return ["ablate", "--study", "transfer", *(word for path in paths for word in ("--benchmark", str(path)))]


@pytest.mark.slow
def test_a_document_has_every_benchmark_left_out_by_every_setting(
    quick: None, halves: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    more = [
        "--seeds",
        "1",
        "--iterations",
        "3",
        "--search-size",
        "10",
        "--jobs",
        "1",
        "--batch",
        "2",
        "--seq-len",
        "24",
    ]
    more += ["--devices", "cpu", "--bank", str(tmp_path / "bank"), "--out", str(tmp_path / "out")]
    assert cli.main([*asked(*halves), *more]) == 0
    said = capfd.readouterr()
    assert "best fixed count" in said.out and "4/4 worst, without more, seed 42" in said.err
    path = tmp_path / "out" / "transfer-2-benchmarks.json"
    document = json.loads(path.read_text())
    found = [(t["label"], t["left_out"], t["search_size"], t["holdout_size"]) for t in document["trials"]]
    sizes = {"few": (7, 12), "more": (4, 18)}  # what the search sees is two fifths of the other one
    assert found == [(label, name, *sizes[name]) for label in ("mean", "worst") for name in ("few", "more")]
    for trial in document["trials"]:
        assert {"formula", "committee", "best fixed count", "LPZero GPT-2", "oracle count"} <= set(trial["tau"])
        assert trial["tau"]["formula"] == pytest.approx(trial["curve"][-1]["holdout_kendall"], abs=1e-6)
        assert trial["tau"]["oracle count"] >= abs(trial["tau"]["best fixed count"]) - 1e-9
    drawn = tmp_path / "again.png"
    assert cli.main(["plot", str(path), "--out", str(drawn)]) == 0
    assert matplotlib.image.imread(drawn).shape[1] == 1280


def test_a_search_sees_the_others_only(cases: list[Case]) -> None:
    whole = [unseen(case.benchmark, case.workshop) for case in cases]
    trials = plan_transfer(STUDIES["transfer"], whole, (1, 2), None, 10)
    assert [(t.place, t.config.seed) for t in trials] == [(place, seed) for seed in (1, 2) for place in range(4)]
    for trial in trials:
        tested = trial.tested.benchmark
        assert not trial.tested.split.search and trial.holdout == tuple(range(len(tested)))
        (other,) = trial.cases
        assert other.benchmark is not tested and other.split.search
    with pytest.raises(BadStudy, match="got one benchmark, wanted at least 2"):
        plan_transfer(STUDIES["transfer"], whole[:1], (1,))


def test_few_architectures_give_two_fifths_at_most(cases: list[Case]) -> None:
    assert len(seen(cases[1], 1, 50).split.search) == 7 and len(seen(cases[1], 1, 5).split.search) == 5


@pytest.mark.parametrize("turn", [1, -1])
def test_the_fixed_ranking_is_the_best_one_on_the_splits_with_its_sign(
    cases: list[Case], turn: int
) -> None:  # fmt: skip
    pools = [{"good": turn * c.benchmark.quality, "noise": np.arange(len(c.benchmark)) % 3} for c in cases]
    only_here = [{**pools[0], "unknown elsewhere": cases[0].benchmark.quality}, pools[1]]
    assert best_fixed(only_here, cases, "mean") == ("good", turn)
    assert best_fixed([{}, pools[1]], cases, "mean") is None


def test_a_count_that_does_not_grow_with_every_size_is_passed_over_for_one_that_does(cases: list[Case]) -> None:
    quality = [stats.rankdata(c.benchmark.quality) for c in cases]
    pools = [{"depth": q, "#params": q + 3 * (np.arange(len(q)) % 3)} for q in quality]
    assert best_fixed(pools, cases, "mean") == ("depth", 1)
    assert best_fixed(pools, cases, "mean", grows=True) == ("#params", 1)


def several(quality: list[float], tokens: list[float]) -> Benchmark:
    """Networks of one size, trained for so many tokens."""
    config = load_benchmark("gpt2-mini").architectures[0].config
    rows = [replace(SPACES["gpt2"].architecture(f"a{i}", config), tokens=count) for i, count in enumerate(tokens)]
    return Benchmark("several", "gpt2", "accuracy", True, tuple(rows), np.array(quality), "several")


def test_equal_scores_count_nothing_and_a_missing_score_leaves_none() -> None:
    some = several([1.0, 2.0, 3.0], [1e9] * 3)
    for test in (protocol.tested, protocol.tested_near):
        assert test(some.quality, some) == pytest.approx(1) and test(np.ones(3), some) == 0
        assert test(np.array([1.0, np.nan, 2.0]), some) is None


def test_rankings_are_tested_within_each_training_budget() -> None:
    some = several([1.0, 2.0, 3.0, 7.0, 8.0, 9.0], [1e9] * 3 + [8e9] * 3)
    scores = np.array([7.0, 8.0, 9.0, 1.0, 2.0, 3.0])  # upside down between the budgets
    assert protocol.tested(scores, some) == 1 and protocol.tested_near(scores, some) == 1
    assert protocol.tested(-scores, some) == -1 and protocol.tested_near(-scores, some) == -1


def record(name: str, seed: int, **tau: float | None) -> dict[str, Any]:
    return {"label": "mean", "left_out": name, "seed": seed, "tau": {k.replace("_", " "): v for k, v in tau.items()}}


def test_a_ranking_has_its_mean_and_its_worst_over_benchmarks_and_its_lead_over_the_count() -> None:
    rows = transfers([
        record("a", 1, formula=0.5, best_fixed_count=0.4), record("b", 1, formula=0.1, best_fixed_count=0.2),
        record("a", 2, formula=0.7, best_fixed_count=0.4), record("b", 2, formula=None, best_fixed_count=0.2),
    ])  # fmt: skip
    formula, count = rows
    assert (formula["who"], formula["seeds"], count["who"]) == ("formula", 2, "best fixed count")
    assert formula["by"]["a"]["mean"] == pytest.approx(0.6) and formula["by"]["b"]["mean"] == pytest.approx(0.05)
    assert formula["mean"]["mean"] == pytest.approx(0.325) and formula["worst"]["mean"] == pytest.approx(0.05)
    assert formula["difference"]["mean"] == pytest.approx(0.025) and count["difference"] is None


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--study", "transfer"], "the study transfer: got one benchmark, wanted at least 2"),
        (["--study", "transfer", "--benchmark", "FEW"], "twice, wanted different ones"),
        (["--study", "transfer", "--benchmark", "MORE", "--metric", "loss"], "--metric: got loss with 2 benchmarks"),
        (["--study", "pps", "--benchmark", "MORE"], "--benchmark: got 2, wanted one; only the study transfer takes"),
    ],
)
def test_a_mistake_with_benchmarks_is_one_line(
    halves: tuple[Path, Path], words: list[str], reason: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    paths = {"FEW": str(halves[0]), "MORE": str(halves[1])}
    more = [paths.get(word, word) for word in words]
    assert cli.main(["ablate", "--benchmark", str(halves[0]), *more, "--out", str(tmp_path)]) in (1, 2)
    error = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1 and reason in error[0], error
