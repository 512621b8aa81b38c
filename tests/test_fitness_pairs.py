"""The pair table and the chains behind it: the same numbers as one proxy at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement

import numpy as np
import pytest
import torch

from fitness.features.bank import FeatureBank, FeatureKey, SketchEntry, sketch_features
from fitness.features.collect import Features, collect
from fitness.ranking import RankTarget
from fitness.tables.branches import BranchTable
from fitness.tables.chains import chains_of, run, walk
from fitness.tables.pairs import PairTable
from fitness.tables.table_file import load_branches, save_branches, table_key
from gp.exhaustive import exhaust, trees_in
from models.architecture import Architecture
from models.spaces import SPACES
from models.tokens import TokenBatch
from primitives.operators import AGGREGATION, BINARY, UNARY, Binary
from primitives.operators.registry import binary
from primitives.proxy import Branch, Proxy

CHAINS = [(), ("abs",), ("softmax",), ("to_std",), ("pow2", "l1_norm"), ("normalize", "exp"), ("logsoftmax", "relu")]


@pytest.fixture(scope="module")
def entries(tiny_architectures: list[Architecture], batch: TokenBatch) -> list[SketchEntry]:
    found = [sketch_features(collect(SPACES["gpt2"].build(a, 0), batch)) for a in tiny_architectures[:7]]
    features = collect(SPACES["gpt2"].build(tiny_architectures[7], 0), batch)
    lacking = tuple({**block, "H": (), "S": ()} if i == 0 else block for i, block in enumerate(features.blocks))
    return [*found, sketch_features(Features(lacking, features.loss))]


@pytest.mark.parametrize("aggregate", AGGREGATION)
@pytest.mark.parametrize("pair", ["AJ", "AW", "JH", "GW", "HS", "WG", "JS"])
def test_a_pair_table_equals_one_proxy_at_a_time(pair: str, aggregate: str, entries: list[SketchEntry]) -> None:
    table = BranchTable(entries)
    pairs = PairTable(BranchTable(entries), *pair, CHAINS, aggregate, jobs=2)
    for operator in (o for o in BINARY if pairs.distinct(o)):
        check_operator(pairs, table, operator)


def check_operator(pairs: PairTable, table: BranchTable, operator: str) -> None:
    for rows, scores in pairs.batches(operator):
        for place, left in enumerate(CHAINS[rows]):
            proxies = [
                Proxy(pairs.aggregate, Branch(pairs.left, left), operator, Branch(pairs.right, r)) for r in CHAINS
            ]
            expected = table.scores(proxies)
            assert np.array_equal(np.isfinite(scores[place]), np.isfinite(expected))
            # Differences of nearly equal values keep the rounding of the values.
            size = np.abs(expected[np.isfinite(expected)]).max(initial=0)
            np.testing.assert_allclose(scores[place], expected, rtol=1e-6, atol=1e-13 * size)


TOYS = {
    "larger": Binary("larger", False, True, "x", torch.maximum),
    "midpoint": Binary("midpoint", True, True, "x", lambda x, y: (x + y) / 2),
    "root": Binary("root", False, False, "x", lambda x, y: (x.abs() + y**2).sqrt()),
}


@pytest.fixture(params=TOYS)
def fifth(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a binary operator that is registered for a while."""
    yield binary(TOYS[request.param]).name
    del BINARY[request.param]


@pytest.mark.parametrize("pair", ["AJ", "JH", "GW", "HS"])
def test_a_fifth_binary_operator_is_in_the_pair_table_too(fifth: str, pair: str, entries: list[SketchEntry]) -> None:
    pairs = PairTable(BranchTable(entries), *pair, CHAINS, "mean")
    assert pairs.distinct(fifth)
    check_operator(pairs, BranchTable(entries), fifth)
    survey = exhaust(BranchTable(entries), RankTarget.create(np.arange(8.0)), 1, "mean", tuple(pair), top=3)
    assert survey.trees == trees_in(1, tuple(pair))


@pytest.mark.parametrize("whole", [False, True])
def test_walking_gives_what_running_gives(whole: bool, entries: list[SketchEntry]) -> None:
    tensors = BranchTable(entries).inputs["W"]
    chains = chains_of(2)
    seen = set()
    for chain, values in walk(tensors, chains, whole):
        alone = run(tensors, chain, whole)
        assert np.array_equal(values.means, alone.means, equal_nan=True), chain
        if whole and not any(UNARY[name].kind.name == "REDUCE" for name in chain):
            assert np.array_equal(values.grid, alone.grid, equal_nan=True), chain
        seen.add(chain)
    assert seen == set(chains)


def test_filling_in_threads_changes_no_bit(entries: list[SketchEntry]) -> None:
    one, two, single = BranchTable(entries), BranchTable(entries), BranchTable(entries)
    one.fill("G", chains_of(2), jobs=1)
    two.fill("G", chains_of(2), jobs=2)
    for chain in chains_of(2):
        branch = Branch("G", chain)
        with np.errstate(all="ignore"):
            expected = single.means(branch)
        assert np.array_equal(one.means(branch), expected, equal_nan=True), chain
        assert np.array_equal(two.means(branch), expected, equal_nan=True), chain


def test_chains_are_all_different_and_all_there() -> None:
    real = len(UNARY) - 2  # without no_op and prune
    for n in range(4):
        chains = chains_of(n)
        assert len(chains) == len(set(chains)) == sum(real**k for k in range(n + 1))


def test_a_saved_table_comes_back_and_a_damaged_one_does_not(
    entries: list[SketchEntry], tiny_architectures: list[Architecture], batch: TokenBatch, tmp_path
) -> None:
    bank = FeatureBank(tmp_path, FeatureKey.create("gpt2", batch.digest))
    seen = tiny_architectures[:8]
    path = bank.tables.path(table_key(bank, seen))
    table = BranchTable(entries)
    table.fill("J", CHAINS)
    table.fill("W.attn", CHAINS)
    save_branches(table, bank, seen)
    again = BranchTable(entries)
    assert load_branches(again, bank, seen) == 2 * len(CHAINS)
    for name, means in table.known().items():
        for chain, values in means.items():
            assert np.array_equal(again.means(Branch(name, chain)), values, equal_nan=True)
    content = bytearray(path.read_bytes())
    for place in (0, 31, 32, 40, len(content) // 2, len(content) - 1):
        damaged = content.copy()
        damaged[place] ^= 4
        path.write_bytes(bytes(damaged))
        assert load_branches(BranchTable(entries), bank, seen) == 0
    path.write_bytes(bytes(content[:-7]))
    assert load_branches(BranchTable(entries), bank, seen) == 0
    assert load_branches(BranchTable(entries[:5]), bank, seen[:5]) == 0


def test_a_table_of_other_architectures_has_another_name(
    tiny_architectures: list[Architecture], batch: TokenBatch, tmp_path
) -> None:
    bank = FeatureBank(tmp_path, FeatureKey.create("gpt2", batch.digest))
    other = FeatureBank(tmp_path, FeatureKey.create("gpt2", batch.digest, init_seed=1))
    keys = {table_key(bank, tiny_architectures[:n]) for n in (3, 4, 5)} | {table_key(other, tiny_architectures[:3])}
    assert len(keys) == 4


def test_every_pair_of_inputs_can_be_joined(entries: list[SketchEntry]) -> None:
    from primitives.inputs import INPUTS

    table = BranchTable(entries)
    for left, right in combinations_with_replacement(INPUTS, 2):
        pairs = PairTable(table, left, right, [(), ("to_std",)], "sum")
        for operator in BINARY:
            for _, scores in pairs.batches(operator):
                assert scores.shape == (2, 2, len(entries))
