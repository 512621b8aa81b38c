"""The training budget T in formulas: one spelling, one value by hand, and the same from every way to score."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fitness.budgets import budget_of
from fitness.features.workshop import Workshop
from fitness.tables.table_file import branch_table
from models.benchmarks.layouts import read_benchmark
from models.budget import BadTokens, Tokens
from models.spaces import SPACES
from primitives import parse, score
from primitives.budget import USUAL_T, parts
from primitives.pps import violation
from primitives.proxy import BadProxy
from primitives.rendering import as_latex

GPT2 = {"n_layer": 2, "d_model": 8, "d_embed": 8, "div_val": 1, "n_head": (2, 2), "d_inner": (16, 8), "n_token": 256,
        "tgt_len": 64, "cutoffs": ()}  # fmt: skip
BLOCKS = [{"W": [torch.full((2, 2), 3.0)], "G": [torch.full((2, 2), -1.0)]}, {"W": [torch.full((2, 2), 5.0)], "G": []}]
BY_HAND: dict[str, Callable[[float], float]] = {  # sums: W 8, G -1; means: W 4, G -0.5; last: W 5, G 0
    "product( T, sum[ W ] )": lambda T: T * 8,
    "sum( product( T, mean[ W ] ), sum[ G ] )": lambda T: -1 + 4 * T,
    "sum( sum[ G ], product( T, 0.5*mean[ W ] ) )": lambda T: -1 + 2 * T,
    "product( product( T, sum[ W ] ), mean[ G ] )": lambda T: -4 * T,
    "difference( product( product( T, mean[ G ] ), sum[ W ] ), last[ W ] )": lambda T: -4 * T - 5,
    "difference( product( sum[ W ], mean[ G ] ), product( T, 2*last[ W ] ) )": lambda T: -4 - 10 * T,
    "product( T, sum[ product( W, W ) ] )": lambda T: 34 * T,
    "sum( sum[ product( W, W ) ], product( T, last[ W ] ) )": lambda T: 34 + 5 * T,
}


@pytest.mark.parametrize("text", BY_HAND)
@pytest.mark.parametrize("T", [0.0, 1.5, USUAL_T, -2.0])
def test_a_formula_with_the_budget_has_the_value_by_hand(text: str, T: float) -> None:
    assert score(parse(text), BLOCKS, T) == pytest.approx(BY_HAND[text](T), rel=3e-5, abs=1e-12)


def test_without_a_budget_it_is_twenty_tokens_a_parameter() -> None:
    formula = parse("product( T, sum[ W ] )")
    assert score(formula, BLOCKS) == score(formula, BLOCKS, math.log2(20))


@pytest.mark.parametrize("text", BY_HAND)
def test_a_formula_with_the_budget_is_read_back(text: str) -> None:
    formula = parse(text)
    assert formula.text == text and parse(formula.canonical().text) == formula.canonical()
    assert formula.reads_budget and not any(part.reads_budget for part in parts(formula))
    assert "T \\cdot" in as_latex(formula)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("product( sum[ W ], T )", "product( T, sum[ W ] )"),
        ("product( sum[ W ], product( T, mean[ G ] ) )", "product( product( T, mean[ G ] ), sum[ W ] )"),
        ("product( product( mean[ G ], T ), sum[ W ] )", "product( product( T, mean[ G ] ), sum[ W ] )"),
        ("product( T, product( mean[ G ], sum[ W ] ) )", "product( product( T, mean[ G ] ), sum[ W ] )"),
        ("product( T, sum( sum[ G ], sum[ W ] ) )", "product( T, sum[ sum( G, W ) ] )"),
        ("product( T, sum( mean[ G ], last[ W ] ) )", "sum( product( T, mean[ G ] ), product( T, last[ W ] ) )"),
        (
            "product( product( last[ A ], mean[ W ] ), product( T, sum[ G ] ) )",
            "product( product( product( T, last[ A ] ), mean[ W ] ), sum[ G ] )",
        ),
        (
            "product( matmul( last[ A ], mean[ W ] ), product( T, sum[ G ] ) )",
            "product( matmul( product( T, last[ A ] ), mean[ W ] ), sum[ G ] )",
        ),
    ],
)
def test_spellings_of_one_value_have_one_canonical_form(written: str, canonical: str) -> None:
    formula = parse(written)
    assert formula.canonical().text == canonical
    if formula.text != canonical and formula.right is not None:
        rule = violation(formula)
        assert rule is not None and rule.name == ("matmul_of_numbers" if "matmul" in written else "twin")
    blocks = [{**block, "A": block["W"]} for block in BLOCKS]
    assert score(formula, blocks, 2.5) == pytest.approx(score(parse(canonical), blocks, 2.5), rel=3e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sum( sum[ W ], T )", "got 'T', wanted an aggregation; T stands in a product, such as product"),
        ("sum( T, sum[ W ] )", "got 'T', wanted an aggregation; T stands in a product, such as product"),
        ("product( T, product( T, sum[ W ] ) )", "wanted T only once in what it multiplies"),
        ("sum( mean[ W ], product( T, product( sum[ W ], T ) ) )", "wanted T only once in what it multiplies"),
        ("product( sum[ W ], product( sum[ W ], mean[ W ] ) )", "wanted T, because only the training budget"),
        ("sum[ T ]", "unknown input 'T'"),
        ("product( T )", "wanted ','"),
        ("T", "got the end"),
    ],
)
def test_a_budget_in_the_wrong_place_is_refused(text: str, message: str) -> None:
    with pytest.raises(BadProxy, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("text", "amount", "per_parameter"),
    [("20x", 20, True), ("0.5X", 0.5, True), ("20B", 2e10, False), ("300M", 3e8, False), ("1.5e9", 1.5e9, False)],
)
def test_amounts_of_tokens_are_read(text: str, amount: float, per_parameter: bool) -> None:
    assert Tokens.parse(text) == Tokens(amount, per_parameter)
    architecture = SPACES["gpt2"].architecture("one", GPT2)
    count = SPACES["gpt2"].parameters(architecture).decoder
    given = Tokens.parse(text).given_to(architecture)
    assert given.tokens == amount * (count if per_parameter else 1) and given == architecture
    assert budget_of(given) == pytest.approx(math.log2(given.tokens / count)) and budget_of(architecture) == USUAL_T


@pytest.mark.parametrize("text", ["", "x", "-3B", "0", "20 B B", "nan", "1e30", "20Q"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(BadTokens, match="wanted an amount such as 20B, or 20x"):
        Tokens.parse(text)


def test_table_and_exact_scores_agree_for_every_budget_and_visit_a_network_once(
    tiny_benchmark: Path, tmp_path: Path
) -> None:
    some = read_benchmark(tiny_benchmark).architectures[:3]
    rows = [Tokens(amount).given_to(a) for a in some for amount in (1e5, 1e7)]
    formulas = [
        parse("product( T, sum[ frobenius_norm(W) ] )"), parse("mean[ frobenius_norm(W) ]"),
        parse("sum( sum[ l1_norm(A) ], product( T, mean[ frobenius_norm(W) ] ) )"),
    ]  # fmt: skip
    workshop = Workshop.open(some[0].space, batch=2, length=24, devices="cpu", bank=tmp_path)
    exact = workshop.exact_scores(formulas, rows)
    assert workshop.prepare(formulas, rows) == 0  # nothing is lacking
    T = np.array([budget_of(row) for row in rows])
    plain = workshop.exact_scores([parse("sum[ frobenius_norm(W) ]"), parse("sum[ l1_norm(A) ]")], rows)
    assert exact[0] == pytest.approx(T * plain[0], rel=3e-5)
    assert exact[2] == pytest.approx(plain[1] + T * exact[1], rel=3e-5)
    assert (exact[1, ::2] == exact[1, 1::2]).all() and (exact[0, ::2] < exact[0, 1::2]).all()
    assert branch_table(rows, workshop).scores(formulas) == pytest.approx(exact, rel=1e-3)
