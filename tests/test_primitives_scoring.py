"""Scores against plain torch, written out by hand; canonical forms keep the value; rules 3 and 4."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_primitives_grammar import proxies

from fitness.features.collect import Features
from primitives.grammar import parse
from primitives.inputs import COUNTS
from primitives.invalid import Invalid
from primitives.proxy import BadProxy, Proxy
from primitives.scoring import RESOLUTION, PassingScorer, Scorer, branch_numbers, resolved, score


def blocks() -> list[dict[str, tuple[torch.Tensor, ...]]]:
    """Two blocks with two weight matrices each."""
    g = torch.Generator().manual_seed(0)
    result = []
    for _ in range(2):
        W = torch.randn(6, 4, generator=g), torch.randn(4, 8, generator=g)
        G = torch.randn(6, 4, generator=g), torch.randn(4, 8, generator=g)
        block = {"W": W, "G": G, "W.attn": W[:1], "W.ffn": W[1:], "G.attn": G[:1], "G.ffn": G[1:]}
        block |= {"A": (torch.randn(10, 8, generator=g),), "J": (torch.randn(10, 4, generator=g),)}
        block |= {"H": (torch.randn(10, 4, generator=g),), "S": (torch.rand(2, 5, 5, generator=g).softmax(-1),)}
        result.append(block)
    return result


B = blocks()
GOLDEN = {
    "mean[ exp(abs(J)) ]": lambda: sum(b["J"][0].abs().exp().mean() for b in B) / 2,
    "sum[ frobenius_norm(W) ]": lambda: sum(w.norm() for b in B for w in b["W"]),
    "mean[ sum( l1_norm(pow2(W)), pow2(softmax(G)) ) ]": lambda: sum(
        (w**2).abs().mean() + (g.softmax(1) ** 2).mean() for b in B for w, g in zip(b["W"], b["G"], strict=True)
    ) / 4,
    "sum[ product( abs(W), abs(G) ) ]": lambda: sum(
        (w.abs() * g.abs()).mean() for b in B for w, g in zip(b["W"], b["G"], strict=True)
    ),
    "sum[ matmul( W, G ) ]": lambda: sum((w @ g.T).mean() for b in B for w, g in zip(b["W"], b["G"], strict=True)),
    "mean[ product( softmax(J), logsoftmax(H) ) ]": lambda: sum(
        (b["J"][0].softmax(0) * b["H"][0].log_softmax(0)).mean() for b in B
    ) / 2,
    "sum[ product( to_std(W), to_mean(A) ) ]": lambda: sum(
        sum(w.std(correction=0) for w in b["W"]) * b["A"][0].mean() for b in B
    ),
    "mean[ product( to_std(W), to_mean(A) ) ]": lambda: sum(
        sum(w.std(correction=0) for w in b["W"]) / 2 * b["A"][0].mean() for b in B
    ) / 2,
    "mean[ product( to_std(W), l1_norm(G) ) ]": lambda: sum(
        w.std(correction=0) * g.abs().mean() for b in B for w, g in zip(b["W"], b["G"], strict=True)
    ) / 4,
    "sum[ sum( W, to_mean(S) ) ]": lambda: sum(sum(w.mean() for w in b["W"]) + b["S"][0].mean() for b in B),
    "product( sum[ l1_norm(G.ffn) ], mean[ pow2(S) ] )": lambda: sum(b["G"][1].abs().mean() for b in B)
    * sum((b["S"][0] ** 2).mean() for b in B) / 2,
    "difference( mean[ abs(W.attn) ], sum[ sigmoid(H) ] )": lambda: sum(b["W"][0].abs().mean() for b in B) / 2
    - sum(b["H"][0].sigmoid().mean() for b in B),
    "mean[ sum( pow2(revert(H)), logsoftmax(frobenius_norm(A)) ) ]": lambda: sum((b["H"][0] ** 2).mean() for b in B) / 2,
    "first[ frobenius_norm(W) ]": lambda: sum(w.norm() for w in B[0]["W"]),
    "last[ frobenius_norm(W) ]": lambda: sum(w.norm() for w in B[1]["W"]),
    "rising[ exp(J) ]": lambda: B[0]["J"][0].exp().mean() / 2 + B[1]["J"][0].exp().mean(),
    "falling[ exp(J) ]": lambda: B[0]["J"][0].exp().mean() + B[1]["J"][0].exp().mean() / 2,
    "product( mean[ product( abs(W), abs(G) ) ], last[ exp(J) ] )": lambda: sum(
        (w.abs() * g.abs()).mean() for b in B for w, g in zip(b["W"], b["G"], strict=True)
    ) / 4 * B[1]["J"][0].exp().mean(),
    "difference( product( sum[ pow2(H) ], first[ pow2(A) ] ), rising[ exp(J) ] )": lambda: sum(
        (b["H"][0] ** 2).mean() for b in B
    ) * (B[0]["A"][0] ** 2).mean() - B[0]["J"][0].exp().mean() / 2 - B[1]["J"][0].exp().mean(),
    "sum( sum[ difference( prune(W), to_mean(J) ) ], sum[ pow2(H) ] )": lambda: sum(
        b["J"][0].mean() + (b["H"][0] ** 2).mean() for b in B
    ),
    "sum[ sum( prune(W), to_mean(J) ) ]": lambda: sum(b["J"][0].mean() for b in B),
}  # fmt: skip


@pytest.mark.parametrize("text", GOLDEN)
def test_score_equals_plain_torch(text: str) -> None:
    assert score(parse(text), B) == pytest.approx(float(GOLDEN[text]()), rel=1e-5, abs=1e-7)


@settings(max_examples=400, deadline=None)
@given(proxies)
def test_every_formula_has_a_finite_score_or_a_named_reason_and_changes_no_tensor(proxy: Proxy) -> None:
    before = [x.clone() for b in B for xs in b.values() for x in xs]
    result = score(proxy, B)
    assert isinstance(result, Invalid) or math.isfinite(result)
    assert all(torch.equal(x, y) for x, y in zip(before, (x for b in B for xs in b.values() for x in xs), strict=True))


@settings(max_examples=400, deadline=None)
@given(proxies)
def test_the_canonical_form_has_the_same_value(proxy: Proxy) -> None:
    try:
        canonical = score(proxy.canonical(), B)
    except BadProxy:
        assert score(proxy, B) is Invalid.NO_BRANCH
        return
    value = score(proxy, B)
    if isinstance(value, Invalid) or isinstance(canonical, Invalid):
        return
    parts = [score(Proxy(a, b), B) for b in proxy.branches for a in ("sum", "mean")]
    scale = max([abs(p) for p in parts if not isinstance(p, Invalid)] + [abs(value)])
    assert value == pytest.approx(canonical, rel=1e-9, abs=1e-9 * scale + 1e-12)


def test_an_input_that_a_block_lacks_contributes_0() -> None:
    lacking = [{**B[0], "S": (), "H": ()}, B[1]]
    assert score(parse("sum[ exp(S) ]"), lacking) == pytest.approx(float(B[1]["S"][0].exp().mean()), rel=1e-5)
    assert score(parse("sum[ product( exp(H), exp(J) ) ]"), lacking) == pytest.approx(
        float((B[1]["H"][0].exp() * B[1]["J"][0].exp()).mean()), rel=1e-5
    )
    both = score(parse("sum[ sum( exp(S), to_mean(J) ) ]"), lacking)
    assert both == pytest.approx(float(B[1]["S"][0].exp().mean() + sum(b["J"][0].mean() for b in B)), rel=1e-5)


def test_overflow_has_a_name() -> None:
    assert score(parse("sum[ exp(exp(exp(A))) ]"), [{"A": (torch.full((2, 2), 9.0),)}]) is Invalid.NON_FINITE


def test_scores_on_a_real_network_are_finite_for_every_input(tiny_features: Features) -> None:
    for name in tiny_features.blocks[0]:
        assert isinstance(score(parse(f"sum[ to_std({name}) ]"), tiny_features.blocks), float)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(), min_size=1, max_size=8))
def test_a_score_is_rounded_to_its_resolution_and_keeps_its_order(values: list[float]) -> None:
    x = np.array(values)
    y = resolved(x)
    normal = np.isfinite(x) & (np.abs(x) > 1e-300) & (np.abs(x) < 1e300)
    assert (np.abs(y[normal] - x[normal]) <= 2.0 ** -(RESOLUTION + 1) * np.abs(x[normal])).all()
    assert np.array_equal(y[~np.isfinite(x)], x[~np.isfinite(x)], equal_nan=True)
    assert np.array_equal(resolved(y), y, equal_nan=True)
    order = np.argsort(x[normal], kind="stable")
    assert (np.diff(y[normal][order]) >= 0).all()


def test_what_only_rounding_tells_apart_is_tied() -> None:
    """The norm of a z-score is the root of its size by algebra; float32 makes it differ in the seventh digit."""
    proxy = parse("sum[ frobenius_norm(normalize(W)) ]")
    rng = torch.Generator().manual_seed(1)
    scores = {float(score(proxy, [{"W": (torch.randn(40, 30, generator=rng),)}])) for _ in range(20)}
    assert scores == {float(resolved(np.array(1200**0.5)))}


def test_a_formula_with_the_budget_has_the_reason_of_its_part() -> None:
    blocks = [{"W": (torch.full((2, 2), 3e38),), "G": (torch.ones(2, 2),)}]
    whole = score(parse("sum( sum[ G ], product( T, sum[ pow2(W) ] ) )"), blocks)
    assert whole is Invalid.NON_FINITE is score(parse("sum[ pow2(W) ]"), blocks)
    assert score(parse("sum( sum[ G ], product( T, sum[ W ] ) )"), blocks, 1.0) == pytest.approx(3e38, rel=1e-4)


PASSED = {
    "sum[ matmul( W, G ) ]": {"W", "G"},
    "product( mean[ abs(W) ], last[ exp(J) ] )": {"W", "J"},
    "sum( sum[ product( abs(W), abs(G) ) ], first[ exp(A) ] )": {"W", "G", "A"},
    "falling[ log(heads) ]": {"heads"},
    "sum( sum( mean[ W.ffn ], sum[ prune(J) ] ), last[ pow2(S) ] )": {"W.ffn", "S"},
    "sum[ prune(W) ]": set(),
}


def test_a_network_that_passes_block_by_block_has_the_score_of_the_whole() -> None:
    formulas = [parse(text) for text in PASSED]
    passing, whole = PassingScorer(formulas), Scorer(B)
    for index in (1, 0):
        passing.see(index, B[index])
    assert [passing.score(formula) for formula in formulas] == [whole.score(formula) for formula in formulas]
    read = [{each.name for each in PassingScorer([formula]).inputs} for formula in formulas]
    assert read == list(PASSED.values())


def test_one_branch_is_summed_and_averaged_by_the_same_scorer() -> None:
    block = {"W": (torch.full((2, 2), 3.0), torch.full((2, 3), 5.0))}
    scorer = Scorer([block, block])
    assert [scorer.score(parse(f"{name}[ W ]")) for name in ("sum", "mean", "sum", "last")] == [16, 4, 16, 8]


def test_a_tensor_that_two_inputs_share_is_read_along_the_axis_of_each() -> None:
    x = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    branches = [parse(f"sum[ pow2(softmax({name})) ]").left for name in ("W", "W.ffn", "J")]
    found = branch_numbers(branches, {"W": (x + 1, x), "W.ffn": (x,), "J": (x,)})
    rows, columns = float((x.softmax(1) ** 2).mean()), float((x.softmax(0) ** 2).mean())
    wanted = ([rows, rows], [rows], [columns])
    assert [found[branch] for branch in branches] == [pytest.approx(numbers, rel=1e-6) for numbers in wanted]


COUNTED = {"params": 12 + 30, "params.attn": 12, "params.ffn": 30, "width": 6, "hidden": 5 + 7, "heads": 2, "block": 1}


@pytest.mark.parametrize("name", COUNTS)
def test_a_count_of_a_block_is_that_of_its_tensors(name: str) -> None:
    shapes = {"W": ((3, 4), (5, 6)), "W.attn": ((3, 4),), "W.ffn": ((5, 6),), "H": ((8, 6),), "A": ((8, 5), (8, 7)),
              "S": ((2, 2, 4, 4),)}  # two sequences of four tokens  # fmt: skip
    block = {key: tuple(torch.zeros(shape) for shape in found) for key, found in shapes.items()}
    assert score(parse(f"sum[ {name} ]"), [block]) == COUNTED[name]
    assert score(parse(f"sum[ {name} ]"), [{**block, "W": (), "H": ()}, block]) == COUNTED[name] * (
        1 if name in ("params", "width", "heads") else 2
    )
    source = COUNTS[name]
    assert (source.tensors, source.axis, source.nonnegative, source.shape) == (f"count {name}", -1, True, "()")


@pytest.mark.parametrize(
    ("chain", "value"),
    [("softmax", 1.0), ("logsoftmax", 0.0), ("min_max", 0.0), ("normalize", 0.0), ("exp(softmax", math.e)],
)
def test_an_operator_on_one_number_takes_it_as_a_line_of_one_entry(chain: str, value: float) -> None:
    text = f"sum[ {chain}(to_mean(W)){')' * chain.count('(')} ]"
    assert score(parse(text), [{"W": (torch.tensor([[1.0, 2.0]]),)}]) == pytest.approx(value, rel=1e-5, abs=1e-6)
