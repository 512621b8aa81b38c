"""Formulas as data: their size, their one representative, what is pruned, and what cannot be built."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from primitives.grammar import parse
from primitives.proxy import MAX_BRANCHES, BadProxy, Branch, Extension, Proxy


@pytest.mark.parametrize(
    ("text", "complexity"),
    [
        ("sum[ W ]", 2),
        ("sum[ abs(W) ]", 3),
        ("sum[ no_op(abs(W)) ]", 3),
        ("sum[ sum( W, G ) ]", 4),
        ("sum[ product( exp(abs(W)), no_op(pow2(G)) ) ]", 7),
        ("sum( sum[ W ], mean[ G ] )", 5),
        ("product( sum[ abs(W) ], mean[ G ] )", 6),
        ("sum( sum[ sum( W, G ) ], mean[ A ] )", 7),
        ("sum( sum( sum[ abs(W) ], last[ G ] ), mean[ pow2(A) ] )", 10),
    ],
)
def test_complexity_counts_inputs_operators_and_aggregations(text: str, complexity: int) -> None:
    assert parse(text).complexity == complexity


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("sum[ no_op(W) ]", "sum[ W ]"),
        ("sum[ sum( W, no_op(A) ) ]", "sum[ sum( A, W ) ]"),
        ("sum[ difference( W, A ) ]", "sum[ difference( W, A ) ]"),
        ("sum( sum[ W ], sum[ A ] )", "sum[ sum( A, W ) ]"),
        ("difference( sum[ W ], sum[ A ] )", "sum[ difference( W, A ) ]"),
        ("sum( sum[ W ], mean[ A ] )", "sum( mean[ A ], sum[ W ] )"),
        ("sum( sum[ A ], mean[ A ] )", "sum( mean[ A ], sum[ A ] )"),
        ("product( sum[ W ], sum[ A ] )", "product( sum[ A ], sum[ W ] )"),
        ("matmul( sum[ W ], sum[ A ] )", "matmul( sum[ A ], sum[ W ] )"),
        ("sum( sum[ prune(W) ], mean[ A ] )", "mean[ A ]"),
        ("sum[ product( W, prune(A) ) ]", "sum[ W ]"),
        ("sum( sum[ sum( W, A ) ], mean[ prune(G) ] )", "sum[ sum( A, W ) ]"),
        ("sum( sum[ sum( W, prune(A) ) ], mean[ no_op(G) ] )", "sum( mean[ G ], sum[ W ] )"),
        ("sum( sum[ sum( prune(W), prune(A) ) ], mean[ no_op(G) ] )", "mean[ G ]"),
        ("product( sum[ sum( W, A ) ], mean[ no_op(G) ] )", "product( sum[ sum( A, W ) ], mean[ G ] )"),
    ],
)
def test_all_spellings_of_a_formula_have_one_representative(text: str, canonical: str) -> None:
    assert parse(text).canonical().text == canonical


def test_only_a_prune_makes_a_formula_another_one() -> None:
    assert parse("sum[ sum( no_op(W), A ) ]").pruned().text == "sum[ sum( no_op(W), A ) ]"
    assert parse("sum[ sum( no_op(W), prune(A) ) ]").pruned().text == "sum[ W ]"
    for text in ("sum[ prune(W) ]", "sum( sum[ sum( prune(W), prune(A) ) ], mean[ prune(G) ] )"):
        with pytest.raises(BadProxy, match="both branches are pruned; leave one of them"):
            parse(text).canonical()


@pytest.mark.parametrize(
    ("text", "joins"),
    [
        ("sum[ product( W, G ) ]", True),
        ("sum[ matmul( J, H ) ]", True),
        ("sum[ sum( W, G ) ]", False),
        ("sum[ product( W, A ) ]", False),
        ("product( sum[ W ], sum[ G ] )", False),
        ("sum[ product( to_mean(W), G ) ]", False),
        ("sum[ product( W, to_std(G) ) ]", False),
        ("sum[ W ]", False),
    ],
)
def test_entries_meet_where_aligned_tensors_are_joined_inside(text: str, joins: bool) -> None:
    assert parse(text).joins_entries is joins


def test_a_formula_grows_by_one_branch_at_a_time_up_to_the_most() -> None:
    one = Proxy("sum", Branch("W"))
    two = one.extended("product", "mean", Branch("A"))
    three = two.extended("sum", "last", Branch("G", ("abs",)))
    assert (str(two), str(three)) == (
        "product( sum[ W ], mean[ A ] )", "sum( product( sum[ W ], mean[ A ] ), last[ abs(G) ] )",
    )  # fmt: skip
    assert three.base == two and two.base is two and [str(b) for b in three.branches] == ["W", "A", "abs(G)"]
    most = three
    for place in range(3, MAX_BRANCHES):
        longer = most.extended("difference", "first", Branch("J", ("exp",)))
        assert longer.base == most and longer.pair == two and len(longer.branches) == place + 1
        assert parse(longer.text) == longer and longer.canonical().extensions == longer.extensions
        most = longer
    with pytest.raises(BadProxy, match="has 8 branches already, which is the most"):
        most.extended("sum", "sum", Branch("W"))
    with pytest.raises(BadProxy, match=r"sum\[ W \]: an extension needs two branches"):
        Proxy("sum", Branch("W"), extensions=(Extension("sum", "sum", Branch("G")),))


def test_a_genotype_holds_names_only() -> None:
    assert parse("sum( product( sum[ abs(W) ], mean[ A ] ), last[ G ] )").to_genotype() == {
        "binary": "product",
        "branches": [{"input": "W", "chain": ["abs"]}, {"input": "A", "chain": []}],
        "aggregates": ["sum", "mean"],
        "extension": {"binary": "sum", "aggregate": "last", "branch": {"input": "G", "chain": []}},
    }
    assert parse("sum[ W ]").to_genotype() == {
        "binary": None, "branches": [{"input": "W", "chain": []}], "aggregates": ["sum"],
    }  # fmt: skip


@pytest.mark.parametrize("text", ["sum[ W ]", "sum[ sum( exp(W), A ) ]", "sum( mean[ sum( W, G ) ], last[ abs(J) ] )"])
def test_equal_formulas_are_one_key(text: str) -> None:
    assert len({parse(text), parse(text.replace(" ", "")), parse(f" {text}\n")}) == 1


LOOKS_UP = """
import pickle, sys
from primitives.proxy import Branch
branch = Branch("W", ("log", "abs"))
found = pickle.load(sys.stdin.buffer)
print(found in {branch}, hash(found) == hash(branch), hash(branch), "log" in vars(found).get("chain", ()))
"""


@pytest.mark.parametrize("seed", ["1", "2"])
def test_a_branch_from_another_process_is_found_in_a_set(seed: str) -> None:
    branch = Branch("W", ("log", "abs"))
    hash(branch), str(branch), branch.canonical()  # all that is kept with it
    done = subprocess.run(
        [sys.executable, "-c", LOOKS_UP], input=pickle.dumps(branch), capture_output=True, check=True,
        env={**os.environ, "PYTHONHASHSEED": seed}, cwd=Path(__file__).resolve().parent.parent,
    )  # fmt: skip
    found, same, other, whole = done.stdout.decode().split()
    assert (found, same, whole) == ("True", "True", "True") and int(other) != hash(branch)
