"""Every PPS rule: a formula that breaks it, near ones that do not, and sentences a user can read."""

from __future__ import annotations

import itertools

import pytest
import torch

from fitness.features.collect import Features
from primitives.frames import ExactFrame
from primitives.grammar import parse
from primitives.inputs import INPUTS
from primitives.operators import UNARY
from primitives.pps import EQUIVALENT, IDEMPOTENT, INVERSE, RULES, BadRule, Rule, rule, sign_of, violation, violations
from primitives.proxy import Branch, Proxy
from primitives.scoring import score

BREAKS = {
    "both_pruned": ["mean[ sum( prune(W), prune(G) ) ]"],
    "inverse_pair": ["mean[ log(exp(W)) ]", "mean[ invert(invert(W)) ]", "mean[ sqrt(no_op(pow2(A))) ]"],
    "repeated": [
        "mean[ abs(abs(W)) ]",
        "mean[ normalize(normalize(W)) ]",
        "mean[ no_op(no_op(W)) ]",
        "sum[ relu(relu(W)) ]",
        "sum[ min_max(no_op(min_max(A))) ]",
        "sum[ sum( no_op(no_op(W)), G ) ]",
    ],
    "equivalent": [
        "mean[ log(softmax(G)) ]",
        "mean[ abs(exp(W)) ]",
        "sum[ normalized_sum(W) ]",
        "sum[ relu(S) ]",
        "sum[ sum( normalized_sum(W), exp(A) ) ]",
        "sum[ sum( exp(A), log(softmax(G)) ) ]",
    ],
    "conflict": ["mean[ sqrt(revert(pow2(W))) ]", "mean[ log(logsoftmax(G)) ]", "sum[ relu(revert(S)) ]"],
    "scalar_collapse": ["mean[ softmax(to_mean(W)) ]", "mean[ to_std(l1_norm(A)) ]"],
    "mixed_lists": ["mean[ product( W, A ) ]", "sum[ sum( exp(J), S ) ]"],
    "matmul_of_numbers": [
        "mean[ matmul( to_mean(W), to_std(G) ) ]",
        "matmul( sum[ sum( W, pow2(G) ) ], first[ exp(A) ] )",
        "sum( matmul( sum[ sum( W, pow2(G) ) ], first[ exp(A) ] ), last[ exp(J) ] )",
    ],
    "same_branches": ["mean[ difference( abs(W), abs(W) ) ]", "difference( sum[ exp(W) ], sum[ exp(W) ] )"],
    "constant": [
        "mean[ normalize(W) ]",
        "sum[ to_mean(softmax(S)) ]",
        "mean[ sum( normalize(A), to_std(W) ) ]",
        "mean[ S ]",
        "mean[ exp(to_mean(S)) ]",
        "mean[ softmax(J) ]",
        "mean[ softmax(A) ]",
        "mean[ softmax(H) ]",
        "mean[ normalized_sum(S) ]",
        "mean[ to_mean(abs(S)) ]",
        "mean[ to_mean(relu(S)) ]",
        "mean[ to_mean(revert(S)) ]",
        "mean[ l1_norm(revert(S)) ]",
        "mean[ l1_norm(pow2(normalize(W))) ]",
        "mean[ to_mean(abs(pow2(normalize(W)))) ]",
        "mean[ to_mean(relu(pow2(normalize(W)))) ]",
        "mean[ to_mean(revert(pow2(normalize(W)))) ]",
        "sum[ to_std(normalize(W)) ]",
        "sum[ normalized_sum(normalize(W)) ]",
        "sum( sum[ product( W, G ) ], mean[ normalize(A) ] )",
        "sum[ revert(normalize(W)) ]",
        "sum[ pow2(normalize(G)) ]",
        "product( sum[ product( W, normalize(G) ) ], sum[ normalize(G) ] )",
        "sum( sum( sum[ product( W, G ) ], mean[ normalize(A) ] ), last[ exp(J) ] )",
    ],
    "twin": [
        "mean[ sum( to_std(W), to_std(A) ) ]",
        "sum( sum[ A ], sum[ W ] )",
        "sum( mean[ sum( to_std(W), to_std(A) ) ], last[ exp(J) ] )",
        "sum( sum[ sum( W, A ) ], product( T, last[ G ] ) )",
        "product( product( product( mean[ A ], sum[ W ] ), last[ G ] ), product( T, last[ J ] ) )",
    ],
}
KEEPS = [
    "sum[ frobenius_norm(normalize(W)) ]", "mean[ softmax(W) ]", "mean[ pow2(S) ]",
    "mean[ exp(abs(J)) ]", "sum[ product( W, normalize(G) ) ]", "sum[ matmul( abs(G), abs(W) ) ]",
    "product( sum[ abslog(frobenius_norm(W)) ], mean[ exp(frobenius_norm(G.ffn)) ] )", "sum[ exp(revert(pow2(W))) ]",
    "product( sum[ product( W, normalize(G) ) ], sum[ exp(G) ] )", "sum( sum[ sum( W, exp(G) ) ], first[ exp(A) ] )",
    "difference( sum[ exp(W) ], mean[ exp(W) ] )", "sum[ sum( prune(W), exp(J) ) ]",
    "difference( product( mean[ exp(G) ], sum[ exp(W) ] ), product( T, last[ exp(W) ] ) )",
    "sum( sum( product( T, mean[ exp(G) ] ), sum[ exp(W) ] ), last[ exp(J) ] )",
]  # fmt: skip


def test_only_attention_is_never_negative() -> None:
    assert [name for name, found in INPUTS.items() if found.nonnegative] == ["S"]


def test_the_rules_are_asked_in_the_order_of_the_file() -> None:
    assert list(RULES)[: len(BREAKS)] == list(BREAKS)


@pytest.mark.parametrize("known", RULES.values(), ids=lambda r: r.name)
def test_each_rule_refuses_what_it_is_made_for(known: Rule) -> None:
    assert known.name in BREAKS, f"{known.name} has no formula that breaks it; add one to BREAKS"
    for text in BREAKS[known.name]:
        assert known in violations(parse(text)), text


SPARED = {
    "both_pruned": ["mean[ sum( prune(W), G ) ]", "sum( sum[ sum( prune(W), prune(G) ) ], sum[ A ] )"],
    "inverse_pair": ["mean[ log(abs(exp(W))) ]", "mean[ exp(abs(A)) ]"],
    "repeated": ["mean[ abs(exp(abs(W))) ]", "mean[ pow2(pow2(W)) ]", "sum[ sum( no_op(W), no_op(G) ) ]"],
    "equivalent": ["mean[ abs(W) ]", "sum[ relu(J) ]", "sum[ l1_norm(log(W)) ]"],
    "conflict": ["mean[ sqrt(pow2(W)) ]", "mean[ exp(revert(pow2(W))) ]", "sum[ relu(revert(J)) ]"],
    "scalar_collapse": ["mean[ abslog(to_mean(W)) ]", "mean[ prune(to_mean(W)) ]", "mean[ to_mean(softmax(W)) ]"],
    "mixed_lists": [
        "mean[ product( prune(W), A ) ]", "mean[ product( W, prune(A) ) ]", "mean[ product( to_mean(W), A ) ]",
        "mean[ product( W, to_mean(A) ) ]", "product( mean[ W ], mean[ A ] )", "mean[ product( W, G ) ]", "mean[ W ]",
    ],
    "matmul_of_numbers": [
        "mean[ matmul( prune(W), to_std(G) ) ]", "mean[ matmul( W, G ) ]", "mean[ matmul( W, A ) ]",
        "product( mean[ W ], mean[ G ] )", "matmul( sum[ sum( prune(W), G ) ], sum[ exp(A) ] )",
    ],
    "same_branches": [
        "mean[ product( W, W ) ]", "difference( sum[ W ], mean[ W ] )", "mean[ sum( W, abs(W) ) ]", "mean[ W ]",
    ],
    "constant": [
        "mean[ product( W, normalize(G) ) ]", "mean[ to_std(softmax(S)) ]", "mean[ exp(normalize(W)) ]",
        "mean[ softmax(W) ]", "mean[ exp(S) ]", "sum[ to_std(pow2(normalize(W))) ]", "mean[ frobenius_norm(S) ]",
    ],
    "twin": ["sum( sum[ prune(W) ], sum[ A ] )", "sum( mean[ A ], sum[ W ] )", "mean[ difference( W, A ) ]", "mean[ W ]"],
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_each_rule_spares_what_it_is_not_made_for(name: str) -> None:
    assert name in SPARED, f"{name} has no formula that it spares; add one to SPARED"
    for text in SPARED[name]:
        assert RULES[name] not in violations(parse(text)), text


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("W", "ANY"), ("S", "NONNEGATIVE"), ("revert(S)", "NONPOSITIVE"), ("revert(revert(S))", "NONNEGATIVE"),
        ("revert(W)", "ANY"), ("abs(W)", "NONNEGATIVE"), ("no_op(abs(W))", "NONNEGATIVE"), ("logsoftmax(W)", "NONPOSITIVE"),
        ("revert(logsoftmax(W))", "NONNEGATIVE"), ("to_mean(revert(pow2(G)))", "NONPOSITIVE"), ("log(S)", "ANY"),
    ],
)  # fmt: skip
def test_what_is_known_of_the_sign_of_a_branch(text: str, sign: str) -> None:
    assert sign_of(parse(f"sum[ {text} ]").left).name == sign


@pytest.mark.parametrize("text", KEEPS)
def test_good_formulas_break_no_rule(text: str) -> None:
    assert violation(parse(text)) is None


@pytest.mark.parametrize("known", RULES.values(), ids=lambda r: r.name)
def test_a_rule_explains_itself(known: Rule) -> None:
    assert len(known.sentence) > 20 and not known.sentence.endswith(".")


def test_a_rule_of_its_own_is_asked_last_and_a_faulty_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("primitives.pps.RULES", dict(RULES))
    rule("no_heads", "this study does without the outputs of the heads")(lambda proxy: proxy.left.input == "H")
    found = violation(parse("sum[ exp(H) ]"))
    assert found is not None and found.name == "no_heads" and violation(parse("sum[ exp(W) ]")) is None
    with pytest.raises(BadRule, match="no_heads: a rule of that name exists"):
        rule("no_heads", "the same once more")(lambda proxy: False)
    with pytest.raises(BadRule, match="vague: got 'H' for sum.*wanted True or False"):
        rule("vague", "a rule that answers something else")(lambda proxy: "H")  # type: ignore[arg-type, return-value]


X = [
    torch.randn(9, 7, generator=torch.Generator().manual_seed(seed)) * size for seed, size in ((3, 1), (4, 0.3), (5, 4))
]
X.append(-X[0])  # one of the two has a negative mean


def values(*chain: str) -> list[torch.Tensor]:
    found = []
    for x in X:
        frame = ExactFrame(x, -1)
        for name in chain:
            x = UNARY[name].apply(x, frame)
            frame = ExactFrame(x, -1) if x.dim() else frame
        found.append(x.double())
    return found


def agree(xs: list[torch.Tensor], ys: list[torch.Tensor]) -> bool:
    return all(x.shape == y.shape and torch.allclose(x, y, rtol=1e-5, atol=1e-6) for x, y in zip(xs, ys, strict=True))


def test_every_pair_that_equals_one_operator_is_refused_for_that() -> None:
    """So an entry that is missing from a table of pairs is noticed. The last three are known to be missing."""
    names = [
        name for name, operator in UNARY.items() if operator.kind.name in ("ENTRY", "WHOLE", "LINE") and name != "no_op"
    ]
    singles = [values(), *(values(name) for name in UNARY if name not in ("no_op", "prune"))]
    about_pairs = {"inverse_pair", "repeated", "equivalent"}
    kept = [
        pair
        for pair in itertools.product(names, UNARY)
        if not {"no_op", "prune"} & set(pair) and any(agree(values(*pair), single) for single in singles)
        and not about_pairs & {found.name for found in violations(Proxy("sum", Branch("W", pair)))}
    ]  # fmt: skip
    assert kept == [("relu", "log"), ("relu", "abslog"), ("relu", "sqrt")]


@pytest.mark.parametrize("pair", sorted(INVERSE), ids=lambda p: f"{p[1]} of {p[0]}")
def test_an_operator_undoes_its_inverse_where_both_are_one_to_one(pair: tuple[str, str]) -> None:
    x = torch.tensor([0.2, 1.0, 3.0])
    frame = ExactFrame(x, -1)
    assert torch.allclose(UNARY[pair[1]].apply(UNARY[pair[0]].apply(x, frame), frame), x)


@pytest.mark.parametrize("name", sorted(IDEMPOTENT))
def test_an_idempotent_operator_changes_nothing_the_second_time(name: str) -> None:
    assert agree(values(name, name), values(name))


@pytest.mark.parametrize("letter", ["A", "G", "S", "H"])
@pytest.mark.parametrize("pair", EQUIVALENT, ids=lambda p: f"{p[1]} of {p[0]}")
def test_the_two_spellings_of_an_equivalent_pair_score_equal(
    pair: tuple[str, str], letter: str, tiny_features: Features
) -> None:
    long, short = Branch(letter, (*pair, "pow2")), Branch(letter, (EQUIVALENT[pair], "pow2"))
    found = score(Proxy("sum", long), tiny_features.blocks)
    assert found == pytest.approx(score(Proxy("sum", short), tiny_features.blocks), rel=1e-4, abs=1e-9)


def test_published_champions_break_named_rules() -> None:
    names = [r.name for r in violations(parse("mean[ sum( pow2(revert(H)), logsoftmax(frobenius_norm(A)) ) ]"))]
    assert "scalar_collapse" in names and "equivalent" in names
