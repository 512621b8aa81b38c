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
        ("sum( mean[ W ], 0.33*last[ J ] )", 6),
        ("product( T, sum[ W ] )", 4),
        ("sum( mean[ W ], product( T, 0.5*last[ J ] ) )", 8),
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
        ("sum[ sum( no_op(A), W ) ]", "sum[ sum( A, W ) ]"),
        ("sum[ sum( A, no_op(W) ) ]", "sum[ sum( A, W ) ]"),
        ("sum( mean[ prune(W) ], 0.5*last[ G ] )", "last[ G ]"),
        ("sum( sum[ sum( prune(W), prune(A) ) ], 0.5*mean[ G ] )", "mean[ G ]"),
        (
            "sum( sum( sum[ sum( A, W ) ], mean[ no_op(G) ] ), last[ J ] )",
            "sum( sum( sum[ sum( A, W ) ], mean[ G ] ), last[ J ] )",
        ),
        (
            "sum( sum( sum[ sum( W, A ) ], mean[ G ] ), last[ J ] )",
            "sum( sum( sum[ sum( A, W ) ], mean[ G ] ), last[ J ] )",
        ),
        ("product( sum[ A ], product( T, mean[ W ] ) )", "product( product( T, sum[ A ] ), mean[ W ] )"),
        (
            "sum( sum( product( T, mean[ A ] ), sum[ G ] ), last[ no_op(W) ] )",
            "sum( sum( product( T, mean[ A ] ), sum[ G ] ), last[ W ] )",
        ),
        (
            "sum( sum( product( T, mean[ no_op(A) ] ), sum[ G ] ), last[ W ] )",
            "sum( sum( product( T, mean[ A ] ), sum[ G ] ), last[ W ] )",
        ),
        (
            "sum( sum( product( T, mean[ W ] ), sum[ prune(G) ] ), last[ A ] )",
            "sum( last[ A ], product( T, mean[ W ] ) )",
        ),
    ],
)
def test_all_spellings_of_a_formula_have_one_representative(text: str, canonical: str) -> None:
    assert parse(text).canonical().text == canonical


@pytest.mark.parametrize(
    "text",
    [
        "sum[ sum( A, W ) ]", "sum( mean[ A ], 0.5*sum[ W ] )", "sum( sum[ sum( A, W ) ], mean[ G ] )",
        "product( sum( last[ A ], mean[ W ] ), product( T, sum[ G ] ) )",
        "product( product( product( T, last[ A ] ), mean[ W ] ), sum[ G ] )",
        "product( product( T, last[ A ] ), product( T, mean[ W ] ) )",
        "product( product( product( T, last[ A ] ), mean[ W ] ), product( T, sum[ G ] ) )",
        "sum( product( T, mean[ G ] ), sum[ W ] )", "sum( product( mean[ A ], sum[ W ] ), product( T, last[ G ] ) )",
    ],
)  # fmt: skip
def test_a_representative_is_its_own(text: str) -> None:
    formula = parse(text)
    assert formula.canonical() is formula and formula.pruned() is formula
    assert formula.extension is None or formula.extension.canonical() is formula.extension


@pytest.mark.parametrize(
    ("text", "turned"),
    [
        ("sum[ W ]", "product( T, sum[ W ] )"),
        ("sum[ product( W, G ) ]", "product( T, sum[ product( W, G ) ] )"),
        ("product( sum[ W ], mean[ A ] )", "product( product( T, sum[ W ] ), mean[ A ] )"),
        ("matmul( sum[ W ], mean[ A ] )", "matmul( product( T, sum[ W ] ), mean[ A ] )"),
        ("sum( sum[ W ], 0.5*mean[ A ] )", "sum( product( T, sum[ W ] ), product( T, 0.5*mean[ A ] ) )"),
        ("product( sum[ sum( W, G ) ], last[ J ] )", "product( product( T, sum[ sum( W, G ) ] ), last[ J ] )"),
        (
            "difference( product( sum[ W ], mean[ A ] ), last[ J ] )",
            "difference( product( product( T, sum[ W ] ), mean[ A ] ), product( T, last[ J ] ) )",
        ),
    ],
)
def test_a_formula_times_the_budget_has_it_once_in_every_summand(text: str, turned: str) -> None:
    formula = parse(text).times_budget()
    assert formula.text == turned
    with pytest.raises(BadProxy) as caught:
        formula.times_budget()
    assert str(caught.value) == f"{turned}: T times T, wanted T once"


@pytest.mark.parametrize(
    ("text", "reads", "scalar"),
    [
        ("sum[ width ]", "sizes", True), ("sum[ log(width) ]", "sizes", True), ("sum[ W ]", "network", False),
        ("sum[ abs(to_mean(W)) ]", "network", True), ("sum[ product( abs(W), width ) ]", "network and sizes", False),
        ("sum( sum( sum[ W ], mean[ A ] ), last[ width ] )", "network and sizes", False),
        ("sum[ product( width, heads ) ]", "sizes", True),
    ],
)  # fmt: skip
def test_what_a_formula_reads_and_whether_its_first_branch_is_one_number(text: str, reads: str, scalar: bool) -> None:
    assert (parse(text).reads, parse(text).left.is_scalar) == (reads, scalar)
    assert parse(text).left.source.name == parse(text).left.input


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("sum[ W ]", "sum[ W ]"), ("sum( mean[ A ], 0.5*sum[ W ] )", "sum( mean[ A ], sum[ W ] )"),
        ("sum( sum[ A ], 0.5*sum[ W ] )", "sum[ sum( A, W ) ]"),
        ("sum( sum( mean[ A ], 2*sum[ W ] ), 0.5*last[ J ] )", "sum( sum( mean[ A ], sum[ W ] ), last[ J ] )"),
    ],
)  # fmt: skip
def test_without_constants_every_constant_is_1(text: str, plain: str) -> None:
    assert parse(text).without_constants().text == plain


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
    longer = parse("difference( sum( product( sum[ W ], mean[ A ] ), last[ G ] ), first[ exp(J) ] )").to_genotype()
    assert longer["extensions"] == [
        {"binary": "sum", "aggregate": "last", "branch": {"input": "G", "chain": []}},
        {"binary": "difference", "aggregate": "first", "branch": {"input": "J", "chain": ["exp"]}},
    ]
    assert list(longer) == ["binary", "branches", "aggregates", "extensions"] and len(longer["branches"]) == 2
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
