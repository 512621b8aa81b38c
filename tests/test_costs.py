"""Costs of a network: bounds at their edge, and the latency of a forward pass."""

from __future__ import annotations

import random

import pytest
from conftest import tiny_config

from fitness import costs
from fitness.costs import CostLimits, Costs, Latency, latency_of
from fitness.features.collect import collect
from models.spaces import SPACES
from models.tokens import TokenBatch


def test_latency_is_the_median_of_its_runs_and_leaves_the_threads_alone() -> None:
    import torch

    before = torch.get_num_threads()
    architecture = SPACES["gpt2"].architecture("x", tiny_config(random.Random(0)))
    found = latency_of(architecture, TokenBatch.from_passage(2, 24))
    assert found.runs == 15 and 0 < found.low <= found.median <= found.high and torch.get_num_threads() == before


def test_a_network_that_was_timed_can_be_visited() -> None:
    """Rotary tables are cached, and a later pass has gradients."""
    config = {"n_layer": 1, "d_model": 12, "n_head": [2], "n_kv_head": [2], "d_ffn": [8], "n_token": 300, "tgt_len": 32}
    architecture, batch = SPACES["llama"].architecture("x", config), TokenBatch.from_passage(1, 31)
    latency_of(architecture, batch)
    assert collect(SPACES["llama"].build(architecture, 0), batch).finite


def test_a_budget_is_met_at_its_bound() -> None:
    costs, time = Costs(10, 1, 20, 1, 1), Latency(0.5, 0.4, 0.6)
    assert CostLimits(10, 20, 0.5).allows(costs) and CostLimits(10, 20, 0.5).allows_time(time)
    assert not CostLimits(params=9).allows(costs) and not CostLimits(flops=19).allows(costs)
    assert not CostLimits(seconds=0.4).allows_time(time) and CostLimits(seconds=0.4).allows_time(None)


def test_passes_that_warm_up_are_not_in_the_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([100.0] * costs.WARM_UPS + [float(i) for i in range(1, costs.RUNS + 1)])
    monkeypatch.setattr(costs, "_pass", lambda model, tokens: next(seconds))
    network = SPACES["gpt2"].architecture("x", tiny_config(random.Random(0)))
    found = costs.latency_of(network, TokenBatch.from_passage(1, 8))
    assert (costs.WARM_UPS, costs.RUNS) == (3, 15) and next(seconds, None) is None
    assert (found.median, found.low, found.high) == (8.0, 4.5, 11.5)
