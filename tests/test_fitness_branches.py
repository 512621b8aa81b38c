"""The branch table against exact scoring on real networks: equal where the sketch is whole, close elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from fitness.features.bank import FeatureBank, FeatureKey, SketchEntry, sketch_features
from fitness.features.collect import Features, collect
from fitness.features.sketch import GRID, NODES, sketches
from fitness.features.workshop import Workshop
from fitness.tables.branches import BranchTable
from fitness.tables.chains import chains_of
from models.architecture import Architecture
from models.spaces import SPACES
from models.tokens import TokenBatch
from primitives.grammar import parse
from primitives.inputs import INPUTS, LETTERS
from primitives.operators import UNARY
from primitives.proxy import Branch
from primitives.scoring import Scorer

TEXTS = [
    "sum[ frobenius_norm(W) ]", "mean[ exp(abs(J)) ]", "sum[ relu(A) ]", "mean[ to_std(S) ]",
    "mean[ sum( l1_norm(pow2(W)), pow2(softmax(G)) ) ]", "sum[ difference( abs(H), sqrt(J) ) ]",
    "sum[ product( to_std(W), to_std(A) ) ]", "mean[ product( to_std(W), l1_norm(G) ) ]",
    "sum[ product( abs(W.ffn), abs(G.ffn) ) ]", "mean[ product( pow2(H), abs(J) ) ]", "sum[ matmul( abs(G), abs(W) ) ]",
    "mean[ matmul( pow2(H), abs(J) ) ]", "product( sum[ abslog(W) ], mean[ frobenius_norm(G.attn) ] )",
    "product( sum( sum[ abs(H) ], mean[ frobenius_norm(G.attn) ] ), last[ to_std(W) ] )",
    "difference( mean[ product( pow2(H), abs(J) ) ], sum[ frobenius_norm(W) ] )",
    "sum[ frobenius_norm(min_max(W)) ]", "mean[ to_std(sigmoid(H)) ]",
]  # fmt: skip


@pytest.fixture(scope="module")
def measured(tiny_architectures: list[Architecture], batch: TokenBatch) -> tuple[BranchTable, list[Features]]:
    features = [collect(SPACES["gpt2"].build(a, 0), batch) for a in tiny_architectures]
    return BranchTable([sketch_features(f) for f in features]), features


@pytest.mark.parametrize("text", TEXTS)
def test_sketch_scores_rank_like_exact_ones(text: str, measured: tuple[BranchTable, list[Features]]) -> None:
    table, features = measured
    exact = np.array([Scorer(f.blocks).score(parse(text)) for f in features], dtype=float)
    close = table.score(parse(text))
    assert spearmanr(exact, close).statistic > 0.97
    assert np.median(np.abs(close - exact) / np.abs(exact)) < 0.05


@pytest.mark.parametrize("name", [n for n in UNARY if n != "prune"])
@pytest.mark.parametrize("letter", LETTERS)
def test_a_constant_tensor_is_summarised_exactly(name: str, letter: str) -> None:
    x = torch.full((2, 7, 5) if letter == "S" else (7, 5), 0.375)
    layout = np.array([[0, 0, x.numel(), x.shape[INPUTS[letter].axis]]])
    rows = {n: sketches([(n, x)]) for n in LETTERS}
    entry = SketchEntry(rows, dict.fromkeys(LETTERS, layout), 1, 0.0)
    proxy = parse(f"sum[ {name}({letter}) ]")
    exact = Scorer([{letter: (x,)}]).score(proxy)
    assert BranchTable([entry]).score(proxy)[0] == pytest.approx(exact, rel=1e-5)


def test_a_sketch_keeps_mean_and_extremes_and_ignores_the_order_of_entries() -> None:
    x = torch.randn(300, 200, generator=torch.Generator().manual_seed(0))
    whole, turned = sketches([("W", x), ("W", x.flip(0))])
    nodes = whole[:NODES]
    assert len(whole) == NODES + GRID
    assert nodes[0] < x.quantile(1e-4) and nodes[-1] > x.quantile(0.9999)
    assert np.allclose(nodes, turned[:NODES], rtol=3e-7, atol=0)


def test_an_absent_input_contributes_0(tiny_features: Features) -> None:
    lacking = Features(tuple({**b, "S": ()} if i == 0 else b for i, b in enumerate(tiny_features.blocks)), 1.0)
    table = BranchTable([sketch_features(lacking)])
    exact = Scorer(lacking.blocks).score(parse("sum[ sum( exp(S), to_mean(J) ) ]"))
    assert table.score(parse("sum[ sum( exp(S), to_mean(J) ) ]"))[0] == pytest.approx(exact, rel=1e-2)
    none = Features(tuple({**b, "H": ()} for b in tiny_features.blocks), 1.0)
    assert BranchTable([sketch_features(none)]).score(parse("sum[ product( exp(H), exp(J) ) ]"))[0] == 0


@pytest.mark.parametrize("letter", ["W", "G"])
def test_role_terminals_are_selected_from_their_letter_bit_for_bit(
    letter: str, measured: tuple[BranchTable, list[Features]]
) -> None:
    entries = [sketch_features(features) for features in measured[1]]
    roles, chains = [f"{letter}.attn", f"{letter}.ffn"], [c for c in chains_of(2) if len(c) != 1]
    alone, filled = BranchTable(entries), BranchTable(entries)
    filled.fill(roles[0], chains)
    for chain in chains:
        parts = [alone.means(Branch(role, chain)) for role in roles]
        assert all(len(part) for part in parts)
        assert [part.tobytes() for part in parts] == [filled.means(Branch(role, chain)).tobytes() for role in roles]
        whole = alone.means(Branch(letter, chain))
        assert np.array_equal(np.sort(whole), np.sort(np.concatenate(parts)), equal_nan=True), chain


def test_threads_change_no_bit(
    measured: tuple[BranchTable, list[Features]], tiny_architectures: list[Architecture]
) -> None:
    entries = [sketch_features(f) for f in measured[1]]
    proxies = [parse(t) for t in TEXTS]
    one, two = BranchTable(entries).scores(proxies), BranchTable(entries).scores(proxies, jobs=2)
    assert np.array_equal(one, two)


def test_the_table_of_a_bank_is_that_of_the_features(
    tmp_path, batch: TokenBatch, tiny_architectures: list[Architecture], measured
) -> None:
    workshop = Workshop(FeatureBank(tmp_path, FeatureKey.create("gpt2", batch.digest)), batch)
    workshop.extract(tiny_architectures[:4])
    entries = [workshop.bank.load_sketch(a) for a in tiny_architectures[:4]]
    proxies = [parse(t) for t in TEXTS]
    assert np.allclose(BranchTable(entries).scores(proxies), measured[0].scores(proxies)[:, :4], rtol=1e-5)
