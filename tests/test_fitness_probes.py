"""The predictive rules, many formulas at once and one by one, on the probes of a made-up table."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from fitness.features.bank import sketch_features
from fitness.features.collect import collect
from fitness.tables.branches import BranchTable
from fitness.tables.probes import PROBE_RULES, RETEST, Probes
from gp.config import SearchConfig
from gp.evolution.primitive_set import primitive_set
from gp.evolution.variation import generate
from models.architecture import Architecture
from models.spaces import SPACES
from models.tokens import TokenBatch
from primitives.grammar import parse
from primitives.proxy import Proxy

SETS = [
    primitive_set(SearchConfig(n_unary=n, joins=joins))
    for n in (1, 2)
    for joins in (("inside",), ("outside",), ("inside", "outside"))
]


def drawn(count: int, seed: int) -> list[Proxy]:
    """Random formulas of one to three branches, joined inside and outside, pruned ones too."""
    rng = random.Random(seed)
    return [generate(rng, SETS[i % len(SETS)]).spelling for i in range(count)]


@pytest.fixture(scope="module")
def tables(tiny_architectures: list[Architecture], batch: TokenBatch) -> tuple[BranchTable, BranchTable]:
    """Eight networks, initialised twice."""
    first, second = (
        [sketch_features(collect(SPACES["gpt2"].build(a, seed), batch)) for a in tiny_architectures[:8]]
        for seed in (0, 1)
    )
    return BranchTable(first), BranchTable(second)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_a_batch_of_formulas_has_the_scores_of_each_alone(tables: tuple[BranchTable, BranchTable], seed: int) -> None:
    proxies = drawn(40, seed)
    alone = np.stack([tables[0].score(proxy) for proxy in proxies])
    assert np.array_equal(tables[0].scores(proxies), alone, equal_nan=True)
    assert np.array_equal(tables[0].scores(proxies[::-1], jobs=2), alone[::-1], equal_nan=True)


def test_a_row_is_the_value_of_a_branch_alone(tables: tuple[BranchTable, BranchTable]) -> None:
    proxy = parse("last[ exp(abs(J)) ]")
    assert np.array_equal(tables[0].row("last", proxy.left), tables[0].value(proxy))
    assert tables[0].row("last", proxy.left) is tables[0].row("last", proxy.left)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_many_formulas_break_the_probe_rules_that_each_breaks_alone(
    tables: tuple[BranchTable, BranchTable], seed: int
) -> None:
    probes, proxies = Probes(*tables), drawn(30, seed)
    found = probes.violations(proxies)
    assert found == [probes.violations([proxy])[0] for proxy in proxies]
    for proxy, rule in zip(proxies, found, strict=True):
        one, two = (table.score(proxy) for table in tables)
        if not (np.isfinite(one).all() and np.isfinite(two).all()):
            assert rule == "probe_invalid"
        elif np.ptp(one) == 0 or np.ptp(two) == 0:
            assert rule == "probe_constant"
        elif abs(agreement := spearmanr(one, two).statistic - RETEST) > 1e-9:
            assert rule == ("probe_noise" if agreement < 0 else None)


def test_every_probe_rule_is_broken_by_some_formula(tables: tuple[BranchTable, BranchTable]) -> None:
    assert set(Probes(*tables).violations(drawn(400, 0))) == {None, *PROBE_RULES}
    assert Probes(*tables).violations([]) == []


def test_a_search_can_want_more_of_a_second_initialisation(tables: tuple[BranchTable, BranchTable]) -> None:
    proxies = drawn(200, 1)
    few, many = (Probes(*tables, least).violations(proxies) for least in (RETEST, 0.999))
    refused = [new for old, new in zip(few, many, strict=True) if old is None and new is not None]
    assert set(refused) == {"probe_noise"}
    assert all(new == old for old, new in zip(few, many, strict=True) if old is not None)
