"""The law of shape and budget: what its text scores, what its constants follow, what it ranks; formulas by budget."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import cli
from bench.science import budgets
from bench.science import law_fit as law
from fitness.features.workshop import Workshop
from fitness.protocol import near_pairs
from fitness.tables.table_file import branch_table
from fitness.zoo.naive import naive_scores
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark
from primitives.budget import USUAL_T
from primitives.grammar import parse


@pytest.fixture(scope="module")
def some(tiny_benchmark: Path) -> Benchmark:
    """Thirty networks, every second one trained for a hundred times the tokens of the others."""
    found = load_benchmark(str(tiny_benchmark))
    rows = [replace(a, tokens=1e5 if i % 2 else 1e7) for i, a in enumerate(found.architectures)]
    return replace(found, architectures=tuple(rows))


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bank")


@pytest.mark.parametrize("gap", [0.0, 0.1])
def test_the_text_of_a_law_scores_what_its_constants_say(gap: float, some: Benchmark, bank: Path) -> None:
    rows = law.Rows.of(some, bank)
    first = 1 - law.BEST * gap  # the best depth adds to the first branch and takes off the third one
    constants = np.array([first, 1.2, 1.5 + 0.25 * USUAL_T + 4 * law.BEST * gap, 0.25, gap])
    text = law.text_of(2 * constants)
    assert "1.2*mean[ log(params.ffn) ]" in text and "0.25*log_depth[ block ]" in text
    assert ("0.4*squared_log_depth[ block ]" in text) == bool(gap) == ("pow2" in text)
    scores = branch_table(some.architectures, Workshop.open(some.space, bank=bank)).scores([parse(text)])[0]
    assert scores == pytest.approx(rows.terms @ constants, rel=1e-4)


def test_the_constants_follow_what_is_better_unless_they_are_pulled_or_held(some: Benchmark, bank: Path) -> None:
    rows = law.Rows.of(some, bank)
    truth = rows.terms @ np.array([0.2, 1.0, 1.0, 0.5, 0.05])
    known = law.Rows(replace(some, ground_truth=truth, higher_is_better=True), rows.terms)
    free = law.fitted([known], 0, 30, 0.0, np.ones(5))
    tau, near = known.tested(known.terms @ free)
    assert tau > 0.7 and near > 0.6
    assert law.fitted([known], 0, 30, 1e9, np.ones(5)) == pytest.approx(law.PRIOR, abs=1e-6)
    turned = law.Rows(replace(some, ground_truth=-rows.terms[:, 4], higher_is_better=True), rows.terms)
    assert law.fitted([turned], 0, 30, 0.0, np.ones(5))[4] == 0  # the best depth is a best one or none
    held = law.fitted([known], 0, 30, 0.0, np.array([1.0, 1.0, 1.0, 0.0, 1.0]))
    assert held[3] == 0 and known.tested(known.terms @ held)[0] < tau


def test_the_best_of_random_laws_is_chosen_by_the_same_loss(some: Benchmark, bank: Path) -> None:
    rows = law.Rows.of(some, bank)
    known = law.Rows(replace(some, ground_truth=rows.terms[:, 1], higher_is_better=True), rows.terms)
    chosen, other = law.guessed([known], 0, 30), law.guessed([known], 1, 30)
    assert chosen[4] >= 0 and chosen[1] > 0 and not np.array_equal(chosen, other)
    assert known.tested(known.terms @ chosen)[0] > 0.5


def test_pairs_are_of_one_training_budget(some: Benchmark, bank: Path) -> None:
    rows = law.Rows.of(some, bank)
    differences, better, near = rows.pairs(0, 12)
    split_of = len(differences)
    assert 0 < split_of < 66 and set(better) == {-1.0, 1.0} and near.dtype == bool
    tied = law.Rows(replace(some, ground_truth=np.arange(30.0) * 7 % 30 // 4), rows.terms)
    assert set(tied.pairs(0, 12)[1]) == {-1.0, 1.0}
    marked = law.Rows(some, np.column_stack([some.budgets] * 5).astype(float))
    assert not marked.pairs(0, 12)[0].any()


def test_a_row_per_budget_says_what_a_ranking_has_and_foretells(some: Benchmark) -> None:
    budget, depth = some.budgets, naive_scores("depth", some.architectures).astype(float)
    turned = replace(some, ground_truth=np.where(budget == 0, 1.0, -1.0) * depth + 1e-3 * np.arange(30))
    told = budgets.truth_of(turned)
    assert [row["rows"] for row in told] == [15, 15] and [row["tokens"] for row in told] == [1e5, 1e7]
    own = [near_pairs(depth, turned, places)["kendall"] for places in turned.of_budgets()]
    assert [row["depth"] for row in told] == own and own[0] < 0 < own[1]
    found = budgets.rows_of(turned, {"truth": lambda split, seed: turned.quality}, 10, [1])
    assert [(row["ranked by"], row["budget"]) for row in found] == [("truth", 0), ("truth", 1)]
    assert all(row["one size"] == row["from"] == row["to"] == 1 for row in found)
    assert found[0]["depth in it"] < 0 < found[1]["depth in it"]


def test_the_law_turns_an_order_and_has_a_best_depth_inside(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One block of width 96, four of width 48 or sixteen of width 24, 110,592 weights each."""
    shapes = {"flat": (1, 96), "square": (4, 48), "deep": (16, 24)}
    lines = [
        {"id": name, "config": {"n_layer": depth, "d_model": width, "n_head": [2] * depth, "n_kv_head": [2] * depth,
                                "d_ffn": [width * 8 // 3] * depth, "n_token": 256, "tgt_len": 16}}
        for name, (depth, width) in shapes.items()
    ]  # fmt: skip
    (tmp_path / "three.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = law.text_of(np.array([1.0, 1.0, 2.0, 0.3, 0.1]))
    words = ["rank", str(tmp_path / "three.jsonl"), "--space", "llama", "--proxy", text, "--format", "jsonl",
             "--devices", "cpu", "--batch", "2", "--seq-len", "16", "--bank", str(tmp_path / "bank")]  # fmt: skip
    for tokens, order in (("0.1x", ["flat", "square", "deep"]), ("20x", ["square", "flat", "deep"]),
                          ("20000x", ["deep", "square", "flat"])):  # fmt: skip
        assert cli.main([*words, "--tokens", tokens]) == 0
        assert [json.loads(line)["id"] for line in capfd.readouterr().out.splitlines()] == order
