"""The plan of `select`: known architectures, fields that are held, the reach of a budget, and what is exported."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from commands import search_plan
from commands.feature_options import FeatureOptions
from commands.search_plan import check_export, known_architectures, planned, write_export
from models.architecture import BadArchitecture
from models.spaces import SPACES
from models.spaces.asked_region import RegionWishes

LLAMA = {"d_model": 48, "n_kv_head": [3], "n_head": [6], "d_ffn": [40], "n_layer": 1, "n_token": 300, "tgt_len": 64}
ROWS = [SPACES["llama"].architecture(name, LLAMA | {"n_token": 300 + at}) for at, name in enumerate("abc")]
COSTS = {"a": (10.0, 3.0), "b": (1000.0, 1.0), "c": (100.0, 2.0)}  # parameters and FLOPs


def count(architecture: Any) -> Any:
    params, flops = COSTS[architecture.id]
    return SimpleNamespace(params=params, flops=flops)


def test_the_architectures_of_a_space_are_those_of_the_benchmarks_there() -> None:
    homes = [SimpleNamespace(space=space, name=name, architectures=rows) for space, name, rows in (
        ("gpt2", "one", [1]), ("llama", "two", [2, 3]), ("llama", "three", []), ("llama", "four", [4]),
    )]  # fmt: skip
    source: Any = SimpleNamespace(homes=homes)
    assert known_architectures(source, "llama") == [2, 3, 4]
    said = "^--hall: got formulas that were evolved on gpt2, llama, wanted flexibert, the space searched$"
    with pytest.raises(click.UsageError, match=said):
        known_architectures(source, "flexibert")
    source.homes = [homes[2], SimpleNamespace(space="llama", name="five", architectures=[])]
    with pytest.raises(
        click.UsageError, match="^--hall: wanted its benchmark three or five, whose values the search uses"
    ):
        known_architectures(source, "llama")


@pytest.mark.parametrize(
    ("bounds", "nearest"),
    [
        ({"params": 60.0}, "c"), ({"params": 25.0}, "a"), ({"params": 5000.0}, "b"), ({}, "b"), ({"latency": 1.0}, "b"),
        ({"latency": 1.0, "flops": 2.9, "params": 60.0}, "a"), ({"flops": 2.1}, "c"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("exported", [True, False])
def test_fields_that_are_held_are_those_of_the_architecture_nearest_to_the_budget(
    bounds: dict[str, float], nearest: str, exported: bool, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    asked: list[Any] = []
    monkeypatch.setattr("models.spaces.asked_region.asked_region", lambda *given: asked.append(given) or "region")
    monkeypatch.setattr(search_plan, "_check_reach", lambda *given: asked.append(given))
    held = {"n_token": [302, 300], "norm": ["rms", "layer"]}
    monkeypatch.setattr("models.spaces.asked_region.held_choices", lambda *given: held)
    monkeypatch.setattr("models.spaces.llama.library.check_library", "the library's")
    wishes = RegionWishes()
    plan = planned("llama", ROWS, wishes, exported, bounds, count)
    row = next(row for row in ROWS if row.id == nearest)
    assert asked[0] == (ROWS, SPACES["llama"].fields, row, wishes) and asked[1] == (plan, bounds)
    check = "the library's" if exported else SPACES["llama"].check
    assert (plan.space, plan.region, plan.count) == ("llama", "region", count) and plan.check == check
    mine, norm = row.config["n_token"], row.config["norm"]
    others = ", ".join(str(value) for value in (302, 300) if value != mine)
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"n_token is {mine} in all architectures; --fix n_token=VALUE sets another (benchmarks: {others})"
    other = "layer" if norm == "rms" else "rms"
    assert second == f"norm is {norm} in all architectures; --fix norm=VALUE sets another (benchmarks: {other})"


def test_a_space_that_nothing_varies_is_refused() -> None:
    with pytest.raises(click.UsageError, match="^--space: got hf, whose configurations nothing varies$"):
        planned("hf", ROWS, RegionWishes(), False, {}, count)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"params": 100.0}, None), ({"params": 1000.0}, None), ({"latency": 1e-9}, None), ({"flops": 7.0, "params": 500.0}, None),
        ({"params": 99.0}, "--budget params: got 99, wanted at least 100, which the smallest architecture that is "
         "searched needs; allow more, or give smaller values with --range or --fix"),
        ({"latency": 1.0, "params": 1001.0}, "--budget params: got 1,001, wanted at most 900, which the largest architecture "
         "that is searched needs; allow less, or give larger values with --range (now d_ffn=8..40,n_layer=1..2)"),
    ],
)  # fmt: skip
def test_a_budget_is_within_the_reach_of_a_region(
    bounds: dict[str, float], said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cost_range(region: Any, check: Any, cost: Any) -> tuple[float, float]:
        assert check == "check"
        value = cost(LLAMA)
        assert value in (5.0, 7.0) and type(value) is float
        return (7.0, 7.0) if value == 7 else (100.0, 900.0)

    monkeypatch.setattr("models.spaces.asked_region.cost_range", cost_range)
    values = {"d_ffn": (8, 40, 16), "n_layer": (2, 1), "d_model": (48,), "norm": ("rms", "layer"), "x": (1, "y")}
    plan: Any = SimpleNamespace(
        space="llama", region=SimpleNamespace(values=values), check="check",
        count=lambda architecture: SimpleNamespace(params=5, flops=7) if architecture.id == "reach" else None,
    )  # fmt: skip
    if said is None:
        search_plan._check_reach(plan, bounds)
        return
    with pytest.raises(click.UsageError) as caught:
        search_plan._check_reach(plan, bounds)
    assert str(caught.value) == said
    plan.region.values = {"d_model": (48,)}
    assert search_plan._searched(plan.region) == "nothing is varied now"


def test_a_region_of_which_nothing_can_be_built_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def cost_range(*given: object) -> None:
        raise BadArchitecture("d_ffn: odd")

    monkeypatch.setattr("models.spaces.asked_region.cost_range", cost_range)
    with pytest.raises(
        click.UsageError, match="^no architecture of the region can be built; the last one: d_ffn: odd$"
    ):
        search_plan._check_reach(SimpleNamespace(region=None, check=None), {"params": math.inf})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("init", "what"), [(None, "config.json"), ("own", "config.json and drawn weights (--init own)")]
)
def test_what_is_written_is_said(
    init: str | None, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written: list[Any] = []
    monkeypatch.setattr("models.checkpoints.export.export_architecture", lambda *given: written.append(given))
    write_export(ROWS[0], Path("out"), FeatureOptions(init=init, init_seed=4))
    total = SPACES["llama"].parameters(ROWS[0]).total
    assert written == [(ROWS[0], Path("out"), init, 4)]
    assert capsys.readouterr().err == f"written: out, {what} of a, LlamaForCausalLM with {total:,} parameters\n"
    check_export(tmp_path / "new", "llama")
    said = "^--export: got --space gpt2, wanted llama, whose networks Hugging Face's library has$"
    with pytest.raises(click.UsageError, match=said):
        check_export(tmp_path / "new", "gpt2")
    with pytest.raises(Exception, match="exists and is never overwritten"):
        check_export(tmp_path, "llama")
