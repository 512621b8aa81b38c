"""Costs of a network: bounds at their edge, and the latency of a forward pass."""

from __future__ import annotations

import random

import pytest
from conftest import tiny_config

from fitness import costs
from fitness.costs import CostLimits, Costs, Latency, TrainingBatch, costs_of, latency_of
from fitness.features.collect import collect
from models.architecture import ParameterCount
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
    seconds = iter([100.0] * costs.WARM_UPS + [i / 1000 for i in range(1, costs.RUNS + 1)])
    monkeypatch.setattr(costs, "_pass", lambda model, tokens: next(seconds))
    network = SPACES["gpt2"].architecture("x", tiny_config(random.Random(0)))
    found = costs.latency_of(network, TokenBatch.from_passage(1, 8))
    assert (costs.WARM_UPS, costs.RUNS) == (3, 15) and next(seconds, None) is None
    assert (found.median, found.low, found.high) == pytest.approx((0.008, 0.0045, 0.0115)) and found.runs == 15


@pytest.mark.parametrize(("each", "runs"), [(0.05, 15), (0.0625, 15), (0.125, 8), (0.2, 5), (0.3, 5), (50.0, 5)])
def test_a_slow_network_is_timed_for_a_second_and_at_least_five_runs(
    each: float, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = list[float]()
    monkeypatch.setattr(costs, "_pass", lambda model, tokens: passes.append(each) or each)
    network = SPACES["gpt2"].architecture("x", tiny_config(random.Random(0)))
    found = costs.latency_of(network, TokenBatch.from_passage(1, 8))
    assert found == Latency(each, each, each, runs) and len(passes) == costs.WARM_UPS + runs


def test_the_memory_of_a_training_step_is_its_formula() -> None:
    """16 bytes a parameter, and 4 for each of 6 L D + 4/3 maps / D + 3 V numbers of every token."""
    count = ParameterCount(12, 24, 40, 50, 100)
    assert costs.training_memory(count, 2, 6, 10, 5, TrainingBatch(3, 7)) == 16 * 100 + 4 * 15 * (72 + 8 + 30)
    assert costs.training_memory(count, 2, 6, 10, 9, TrainingBatch(3, 7)) == 16 * 100 + 4 * 21 * (72 + 8 + 30)


def test_costs_are_counted_for_eight_sequences_of_1024_tokens_where_nothing_is_said() -> None:
    assert TrainingBatch() == TrainingBatch(8, 1024) and Costs(1, 1, 1, 1, 1).memory == 0
    network = SPACES["gpt2"].architecture("x", tiny_config(random.Random(0)) | {"tgt_len": 2000})
    found = costs_of(network, 24)
    assert (
        found
        == costs_of(network, 24, None, TrainingBatch(8, 1024))
        != costs_of(network, 24, None, TrainingBatch(8, 1023))
    )
    depth, width = SPACES["gpt2"].shape(network)
    count = SPACES["gpt2"].parameters(network)
    memory = costs.training_memory(count, depth, width, 300, 2000, TrainingBatch())
    flops = 2 * SPACES["gpt2"].multiply_adds(network, 24, None)
    assert found == Costs(count.total, count.decoder, flops, depth, width, memory)


@pytest.mark.parametrize("bound", ["params", "flops", "memory"])
def test_each_bound_holds_alone(bound: str) -> None:
    found = Costs(10, 1, 20, 1, 1, 30)
    limit = {"params": 10, "flops": 20, "memory": 30}[bound]
    assert CostLimits(**{bound: limit}).allows(found) and not CostLimits(**{bound: limit - 1}).allows(found)
