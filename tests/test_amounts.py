"""Amounts in options and configurations: decimal, and of one kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from commands.options import COUNT, SECONDS, Bound, Duration
from models.architecture import BadArchitecture
from models.spaces import SPACES


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [(COUNT, "0.063424M", 63_424), (COUNT, "0.000001B", 1_000), (COUNT, "2.3M", 2_300_000), (COUNT, "1.1G", 1_100_000_000),
     (COUNT, "4.35K", 4_350), (SECONDS, "0.3ms", 0.0003), (SECONDS, "70us", 0.00007), (Duration(), "0.7m", 42.0),
     (Bound(), "params=0.063424M", ("params", 63_424.0)), (Bound(), "flops=0.29G", ("flops", 290_000_000.0))],
    ids=lambda value: getattr(value, "name", None) or str(value),
)  # fmt: skip
def test_amounts_are_decimal(kind: Any, text: str, value: Any) -> None:
    assert kind.convert(text, None, None) == value


def test_the_largest_network_within_a_bound_written_in_millions_stays(tmp_path: Path) -> None:
    from fitness.costs import CostLimits, Costs

    bound = COUNT.convert("0.063424M", None, None)
    assert CostLimits(params=bound).allows(Costs(63_424, 1, 1, 1, 1))
    assert not CostLimits(params=bound).allows(Costs(63_425, 1, 1, 1, 1))


@pytest.mark.parametrize("theta", [10000, 10000.0, 1e4])
def test_the_base_of_rotary_positions_is_one_number_in_the_space_llama(theta: float) -> None:
    config = {"n_layer": 2, "d_model": 32, "n_head": [4] * 2, "n_kv_head": [4] * 2, "d_ffn": [48] * 2, "n_token": 300,
              "tgt_len": 64}  # fmt: skip
    space = SPACES["llama"]
    assert space.architecture("a", {**config, "rope_theta": theta}) == space.architecture("a", config)
    with pytest.raises(BadArchitecture, match="rope_theta: got 10000.5"):
        space.architecture("a", {**config, "rope_theta": 10000.5})
