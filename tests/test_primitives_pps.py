"""Every PPS rule: a formula that breaks it, near ones that do not, and sentences a user can read."""

from __future__ import annotations

import pytest

from primitives.grammar import parse
from primitives.pps import RULES, violation, violations

BREAKS = {
    "both_pruned": ["mean[ sum( prune(W), prune(G) ) ]"],
    "inverse_pair": ["mean[ log(exp(W)) ]", "mean[ invert(invert(W)) ]", "mean[ sqrt(no_op(pow2(A))) ]"],
    "repeated": ["mean[ abs(abs(W)) ]", "mean[ normalize(normalize(W)) ]", "mean[ no_op(no_op(W)) ]"],
    "equivalent": ["mean[ log(softmax(G)) ]", "mean[ abs(exp(W)) ]", "sum[ normalized_sum(W) ]", "sum[ relu(S) ]"],
    "conflict": ["mean[ sqrt(revert(pow2(W))) ]", "mean[ log(logsoftmax(G)) ]", "sum[ relu(revert(S)) ]"],
    "scalar_collapse": ["mean[ softmax(to_mean(W)) ]", "mean[ to_std(l1_norm(A)) ]"],
    "mixed_lists": ["mean[ product( W, A ) ]", "sum[ sum( exp(J), S ) ]"],
    "matmul_of_numbers": [
        "mean[ matmul( to_mean(W), to_std(G) ) ]",
        "matmul( sum[ sum( W, pow2(G) ) ], first[ exp(A) ] )",
    ],
    "same_branches": ["mean[ difference( abs(W), abs(W) ) ]", "difference( sum[ exp(W) ], sum[ exp(W) ] )"],
    "constant": [
        "mean[ normalize(W) ]",
        "sum[ to_mean(softmax(S)) ]",
        "mean[ sum( normalize(A), to_std(W) ) ]",
        "mean[ S ]",
        "mean[ exp(to_mean(S)) ]",
        "mean[ softmax(J) ]",
        "sum[ revert(normalize(W)) ]",
        "sum[ pow2(normalize(G)) ]",
        "product( sum[ product( W, normalize(G) ) ], sum[ normalize(G) ] )",
    ],
    "twin": [
        "mean[ sum( to_std(W), to_std(A) ) ]",
        "sum( sum[ A ], sum[ W ] )",
        "sum( mean[ sum( to_std(W), to_std(A) ) ], last[ exp(J) ] )",
    ],
}
KEEPS = [
    "sum[ frobenius_norm(normalize(W)) ]", "mean[ softmax(W) ]", "mean[ pow2(S) ]",
    "mean[ exp(abs(J)) ]", "sum[ product( W, normalize(G) ) ]", "sum[ matmul( abs(G), abs(W) ) ]",
    "product( sum[ abslog(frobenius_norm(W)) ], mean[ exp(frobenius_norm(G.ffn)) ] )", "sum[ exp(revert(pow2(W))) ]",
    "product( sum[ product( W, normalize(G) ) ], sum[ exp(G) ] )", "sum( sum[ sum( W, exp(G) ) ], first[ exp(A) ] )",
    "difference( sum[ exp(W) ], mean[ exp(W) ] )", "sum[ sum( prune(W), exp(J) ) ]",
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda r: r.name)
def test_each_rule_refuses_what_it_is_made_for(rule: object) -> None:
    for text in BREAKS[rule.name]:  # type: ignore[attr-defined]
        assert rule in violations(parse(text)), text  # type: ignore[operator]


@pytest.mark.parametrize("text", KEEPS)
def test_good_formulas_break_no_rule(text: str) -> None:
    assert violation(parse(text)) is None


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda r: r.name)
def test_a_rule_explains_itself(rule: object) -> None:
    assert len(rule.sentence) > 20 and not rule.sentence.endswith(".")  # type: ignore[attr-defined]


def test_published_champions_break_named_rules() -> None:
    names = [r.name for r in violations(parse("mean[ sum( pow2(revert(H)), logsoftmax(frobenius_norm(A)) ) ]"))]
    assert "scalar_collapse" in names and "equivalent" in names
