"""`--tokens`: what a training budget changes in the order of candidates, and what is said of it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import cli
from models.benchmarks.layouts.table import training_tokens
from models.spaces import SPACES
from storage.datum import Datum

SHAPES = {"deep": (6, 16, 40), "flat": (1, 48, 40), "middle": (3, 24, 40)}
TURNING = "sum( product( T, sum[ frobenius_norm(normalize(H)) ] ), 20*mean[ frobenius_norm(normalize(J)) ] )"


@pytest.fixture
def candidates(tmp_path: Path) -> Path:
    """Three shapes; nothing is measured."""
    lines = [{"schema": 1, "space": "gpt2", "metric": "loss", "higher_is_better": False}]
    for id, (depth, width, inner) in SHAPES.items():
        config = {"n_layer": depth, "d_model": width, "n_head": 2, "d_inner": inner, "n_token": 256, "tgt_len": 64}
        lines.append({"id": id, "config": config})
    (path := tmp_path / "shapes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def rank(capsys: pytest.CaptureFixture[str], path: Path, formula: str, *more: str) -> tuple[list[dict], str]:
    asked = ["rank", str(path), "--proxy", formula, "--batch", "2", "--seq-len", "24", "--devices", "cpu",
             "--bank", str(path.parent / "bank"), "--format", "json", *more]  # fmt: skip
    assert cli.main(asked) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out)["rows"], printed.err


def test_the_order_turns_with_the_budget_and_the_line_says_which_way(
    candidates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few, said = rank(capsys, candidates, TURNING, "--tokens", "0.5x")
    many, told = rank(capsys, candidates, TURNING, "--tokens", "4000x")
    assert [row["id"] for row in few] == ["flat", "middle", "deep"]
    assert [row["id"] for row in many] == ["deep", "middle", "flat"]
    assert "training budget: 0.5 tokens a parameter" in said
    assert "depth -1.00" in said and "depth +1.00" in told
    depths = {row["id"]: row["config"]["n_layer"] for row in few}
    usually = depths[rank(capsys, candidates, TURNING)[0][0]["id"]]
    assert f"depth of the first {depths['flat']} ({usually})" in said
    assert f"depth of the first {depths['deep']} ({usually})" in told
    for row in few:
        count = SPACES["gpt2"].parameters(SPACES["gpt2"].architecture("x", row["config"])).decoder
        assert row["tokens"] == pytest.approx(0.5 * count)


def test_without_tokens_it_is_twenty_a_parameter_and_one_line_says_so(
    candidates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual, said = rank(capsys, candidates, TURNING)
    same, _ = rank(capsys, candidates, TURNING, "--tokens", "20x")
    assert [row["score"] for row in usual] == [row["score"] for row in same]
    assert sum("training budget" in line for line in said.splitlines()) == 1 and "20 tokens a parameter" in said
    assert all("tokens" not in row for row in usual)


def test_a_formula_without_t_ignores_the_budget_and_is_said_to(
    candidates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = "sum[ frobenius_norm(W) ]"
    one, said = rank(capsys, candidates, plain)
    other, told = rank(capsys, candidates, plain, "--tokens", "300B")
    assert [row["score"] for row in one] == [row["score"] for row in other]
    assert "budget" not in said and "--tokens changes nothing" in told


def test_each_candidate_may_say_its_own_tokens(candidates: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header, *records = map(json.loads, candidates.read_text().splitlines())
    rows = [{**record, "id": f"{record['id']}@{t:g}", "tokens": t} for record in records for t in (1e5, 1e7)]
    candidates.write_text("".join(json.dumps(line) + "\n" for line in (header, *rows)))
    found = {row["id"]: row for row in rank(capsys, candidates, "product( T, sum[ frobenius_norm(W) ] )")[0]}
    for id in SHAPES:
        few, many = found[f"{id}@100000"], found[f"{id}@1e+07"]
        T = [math.log2(tokens / few["decoder_params"]) for tokens in (1e5, 1e7)]
        assert many["score"] / few["score"] == pytest.approx(T[1] / T[0], rel=1e-4)


@pytest.mark.parametrize("text", ["many", "-1", "0x"])
def test_an_amount_that_cannot_be_read_is_a_usage_error(
    candidates: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["rank", str(candidates), "--proxy", TURNING, "--tokens", text]) == 2
    assert "wanted an amount such as 20B, or 20x" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("header", "tokens"),
    [
        ({}, None),
        ({"tokens": 300}, 300),
        ({"budget": {"steps": 10, "batch": 2, "length": 8}}, 160),
        ({"budget": {"steps": 10, "batch": 2}}, None),
        ({"budget": {"steps": 10, "batch": 2, "length": 0}}, None),
        ({"tokens": 300, "budget": {"steps": 10, "batch": 2, "length": 8}}, 300),
        ({"budget": "long"}, None),
    ],
    ids=str,
)
def test_the_header_of_a_table_says_the_tokens_of_its_rows(header: dict, tokens: float | None) -> None:
    assert training_tokens(Datum("header", header, ValueError)) == tokens
