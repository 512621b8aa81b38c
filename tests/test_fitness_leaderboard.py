"""The leaderboard: nobody is missing, signs come from the search split, and the command prints what was measured."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import cli
from fitness.evaluation import Split, split_groups
from fitness.leaderboard import Contender, leaderboard
from fitness.predictors.rivals import RIVALS
from fitness.ranking import kendall, spearman
from fitness.regret import regrets
from fitness.zoo import ZOO
from fitness.zoo.naive import NAIVE, naive_scores
from gp.hall_file import HallDocument, save_hall
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark
from primitives.grammar import parse


@pytest.fixture(scope="module")
def benchmark(tiny_benchmark: Path) -> Benchmark:
    return load_benchmark(str(tiny_benchmark))


@pytest.fixture(scope="module")
def split(benchmark: Benchmark) -> Split:
    return split_groups(benchmark.groups, 12, 1)


def contender(name: str, scores: np.ndarray, kind: str = "hand-made", reason: str = "", **more: object) -> Contender:
    return Contender(name, kind, "x", np.asarray(scores, float), reason, 0.5, **more)  # type: ignore[arg-type]


def noisy(benchmark: Benchmark, sd: float, seed: int = 0) -> np.ndarray:
    return benchmark.quality + np.random.default_rng(seed).normal(0, sd * benchmark.quality.std(), len(benchmark))


def test_rows_are_sorted_signed_and_complete(benchmark: Benchmark, split: Split) -> None:
    nan = noisy(benchmark, 1)
    nan[3] = np.nan
    entries = [
        contender("good", -noisy(benchmark, 0.2)),
        contender("constant", np.ones(len(benchmark))),
        contender("hole", nan, reason="no value on 1 of 30 architectures: boom"),
        contender("count", noisy(benchmark, 1.0), "naive"),
        contender("weak count", noisy(benchmark, 5.0, 2), "naive"),
    ]
    rows = leaderboard(entries, benchmark, split)
    assert [row["name"] for row in rows[:2]] == ["good", "count"]
    assert [row["name"] for row in rows[-2:]] == ["constant", "hole"]
    good, count, *_, constant, hole = rows
    chosen = list(split.holdout)
    assert good["sign"] == -1 and good["rival"] == "count" and good["p_value"] < 0.05
    assert good["holdout"]["kendall"] == pytest.approx(
        kendall(noisy(benchmark, 0.2)[chosen], benchmark.quality[chosen])
    )
    assert good["all"]["spearman"] == pytest.approx(spearman(noisy(benchmark, 0.2), benchmark.quality))
    assert count["p_value"] is None and count["rival"] is None
    assert "boom" in hole["reason"] and "same score" in constant["reason"]
    assert hole["sign"] is None and "holdout" not in hole


def test_the_sign_is_fixed_on_the_search_split_only(benchmark: Benchmark, split: Split) -> None:
    scores = benchmark.quality.copy()
    scores[list(split.search)] *= -1
    row = leaderboard([contender("turncoat", scores)], benchmark, split)[0]
    assert row["sign"] == -1 and row["search"]["spearman"] > 0.99 and row["holdout"]["spearman"] < -0.99


def test_a_recorded_sign_and_split_are_kept(benchmark: Benchmark, split: Split) -> None:
    own = split_groups(benchmark.groups, 10, 2)
    entries = [
        contender("evolved", benchmark.quality, "evolved", sign=-1, split=own),
        contender("count", noisy(benchmark, 1.0), "naive"),
    ]
    evolved = leaderboard(entries, benchmark, split)[-1]
    assert evolved["sign"] == -1 and evolved["holdout"]["kendall"] == pytest.approx(-1)
    assert evolved["holdout"]["n"] == len(own.holdout) != len(split.holdout) and not evolved["shared_split"]


def test_a_score_that_only_tells_depths_apart_has_no_tau_inside_them(benchmark: Benchmark, split: Split) -> None:
    depth = np.array([a.config["n_layer"] for a in benchmark.architectures])
    rows = leaderboard([contender("depth", depth), contender("truth", benchmark.quality)], benchmark, split)
    inside = {row["name"]: row["inside_depth"] for row in rows}
    assert inside == {"depth": 0.0, "truth": 1.0}


@pytest.fixture(scope="module")
def hall(benchmark: Benchmark, split: Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    proxy, ids = parse("sum[ frobenius_norm(W) ]"), [a.id for a in benchmark.architectures]
    document = HallDocument.from_dict({
        "schema": 1, "space": "gpt2", "build": None, "seed": 0, "feature_key": "another", "config": {}, "baselines": [],
        "benchmark": {"name": benchmark.name, "digest": benchmark.digest, "metric": "loss", "higher_is_better": False},
        "split": {part: [ids[i] for i in getattr(split, part)] for part in ("search", "holdout")},
        "counts": {"evaluations": 1, "rejections": {}},
        "proxies": [{
            "text": proxy.text, "genotype": proxy.to_genotype(), "complexity": proxy.complexity, "sign": 1,
            "fitness": 0.5, "found_at": 1, "search": None, "holdout": None, "all": None, "fidelity": None,
        }],
    })  # fmt: skip
    path = tmp_path_factory.mktemp("hall") / "hall_of_fame.json"
    save_hall(path, document)
    return path


def test_the_command_shows_everybody_in_every_format(
    tiny_benchmark: Path,
    hall: Path,
    split: Split,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in RIVALS if name != "ridge"]:  # they take seconds in each of four runs
        monkeypatch.delitem(RIVALS, name)
    folder = tmp_path_factory.mktemp("leaderboard")
    options = ["leaderboard", "--benchmark", tiny_benchmark, "--bank", folder / "bank", "--hall", hall]
    options += ["--batch", 2, "--seq-len", 24, "--devices", "cpu"]
    everybody = {*ZOO, *NAIVE, *RIVALS, "evolved"}

    def run(*more: object) -> str:
        assert cli.main([str(o) for o in (*options, *more)]) == 0
        return capsys.readouterr().out

    document = json.loads(run("--format", "json"))
    assert {row["name"] for row in document["rows"]} == everybody
    assert document["split"]["search"] == list(split.search) and len(document["quality"]) == 30
    for row in document["rows"]:
        assert row["reason"] or (len(row["scores"]) == 30 and row["seconds"] >= 0 and row["holdout"]["ci95_kendall"])
    rows = list(csv.DictReader(run("--format", "csv").splitlines()))
    assert [row["proxy"] for row in rows] == [row["name"] for row in document["rows"]]
    assert next(r for r in rows if r["proxy"] == "evolved")["formula"] == "sum[ frobenius_norm(W) ]"
    table = run()
    assert all(name in table for name in everybody) and "noise ceiling: not measured" in table
    assert "the 95% intervals are wide: 18 architectures are held out" in table
    assert run("--format", "markdown", "--out", folder / "page.md") == ""
    page = (folder / "page.md").read_text()
    tables = [[line for line in part.splitlines() if line.startswith("|")] for part in page.split("\n\n")]
    lines, lost = (table for table in tables if table)
    for table in (lines, lost):
        assert len({line.count("|") for line in table}) == 1
    assert len(lines) == len(everybody) + 2 and len(lost) == 2 + sum(row["reason"] is None for row in document["rows"])
    assert float(rows[0]["all, first 1"]) == document["rows"][0]["regret"]["all"]["first 1"]
    assert ("| note |" in lines[0]) is any(row["note"] for row in rows)


def test_a_search_split_that_leaves_nobody_is_refused(tiny_benchmark: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["leaderboard", "--benchmark", str(tiny_benchmark), "--search-size", "21"]) == 2
    assert "wanted 10 to 20" in capsys.readouterr().err


def test_regret_is_what_the_first_choices_lack_in_each_budget(benchmark: Benchmark) -> None:
    sizes, quality = naive_scores("#params", benchmark.architectures), benchmark.quality
    everyone = list(range(len(benchmark)))
    assert all(lost == 0 for firsts in regrets(quality, benchmark, everyone).values() for lost in firsts.values())
    found = regrets(-quality, benchmark, everyone)
    assert list(found) == ["small", "middle", "all"]
    for share, firsts in zip((1 / 3, 2 / 3, 1), found.values(), strict=True):
        inside = np.sort(quality[sizes <= np.quantile(sizes, share)])[::-1]
        assert firsts["first 1"] == pytest.approx((inside[0] - inside[-1]) / inside.std(), abs=1e-5)
        assert firsts["first 10"] == pytest.approx((inside[0] - inside[-10:].max()) / inside.std(), abs=1e-5)
    unknown = np.where(quality == quality.max(), np.nan, quality)
    assert regrets(unknown, benchmark, everyone)["all"]["first 1"] > 0
