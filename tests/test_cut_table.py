"""The table of measured cuts, its plan and its stages, piece by piece."""

from __future__ import annotations

import inspect
import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_cuts import PLAN

from models.training.cuts import campaign, plan
from models.training.cuts.measuring import cut_of, keys_of
from models.training.cuts.sample import block_sizes, cut_config
from models.training.cuts.table import LossTable
from storage.files import BadFile


def test_sizes_of_one_block_and_of_its_units() -> None:
    one = {"n_layer": 1, "d_model": 24, "n_head": [6], "n_kv_head": [3], "d_ffn": [40]}
    assert block_sizes(one) == ((40, 3), (72, 2 * 24 * 4 * 3)) and block_sizes(one | {"head_dim": 8}) == (
        (40, 3), (72, 2 * 24 * 8 * 3),
    )  # fmt: skip
    found = cut_config(one, ((20, 2),), "first")
    assert found == one | {
        "keep": [0], "order": "first", "d_ffn": [20], "n_kv_head": [2], "n_head": [4], "head_dim": 4
    }  # fmt: skip
    assert cut_config(one | {"head_dim": 8}, (None,), "first")["head_dim"] == 8
    assert keys_of(((1, 2), None)) == ((1, 2), (0, 0))
    assert cut_of({"d_ffn": [9, 8], "n_kv_head": [1, 2], "keep": [0, 2]}, 4) == ((9, 1), None, (8, 2), None)
    assert cut_of({"d_ffn": [9, 8], "n_kv_head": [1, 2]}, 2) == ((9, 1), (8, 2))


def test_stages_begin_with_two_rounds_and_two_looks() -> None:
    first = [("measured", 0), ("calibration", 0), ("measured", 1), ("calibration", 1)]
    assert [replace(PLAN, rounds=rounds).stages() for rounds in (1, 2, 4)] == [
        first[:3], first, [*first, ("measured", 2), ("measured", 3)],
    ]  # fmt: skip
    windows = plan.Windows(torch.arange(5), torch.arange(6).view(3, 2))
    shown = {stage: windows.of_stage(stage, 2).tolist() for stage in (*first, ("measured", 2))}
    assert list(shown.values()) == [[0, 1], [0, 1], [2, 3], [2, 3, 4], [4, 5]]


@pytest.fixture
def filled(tmp_path: Path) -> tuple[Path, list[dict[str, Any]]]:
    configs: list[dict[str, Any]] = [{"n_layer": 2}, {"n_layer": 1}]
    table = LossTable({"a": 1}, PLAN, configs)
    table.add(("measured", 0), [[1.00000049, 2.0], [3.0, 4.0]])
    table.add(("calibration", 0), [[1.5], [2.5]])
    (tmp_path / "t.jsonl").write_bytes(table.content("t", 4))
    return tmp_path / "t.jsonl", configs


def test_a_table_that_is_resumed_is_the_one_that_was_written(filled: tuple[Path, list[dict[str, Any]]]) -> None:
    path, configs = filled
    table = LossTable.resumed(path, {"a": 1}, PLAN, configs)
    assert (table.stages, table.rounds, table.parts.tolist()) == (2, 1, [[1.0, 2.0], [3.0, 4.0]])
    assert {name: values.tolist() for name, values in table.looks.items()} == {"calibration_few": [1.5, 2.5]}
    assert table.content("t", 4) == path.read_bytes()
    table.add(("measured", 1), [[1.0, 2.0], [3.0, 4.0]])
    table.add(("calibration", 1), [[1.5, 2.5], [2.5, 3.5]])
    path.write_bytes(table.content("t", 4))
    again = LossTable.resumed(path, {"a": 1}, PLAN, configs)
    assert list(again.looks) == ["calibration_few", "calibration_all"] and again.stages == 4


@pytest.mark.parametrize(
    ("line", "change", "said"),
    [
        (2, None, ": got 1 subnets, wanted 2; restore it, or move it away"),
        (0, {"a": 2}, ": measured with other values of a; restore them, or move it away"),
        (0, {"stages": {"done": 5}}, ", line 1: stages: done: got 5, wanted a whole number from 0 to 4"),
        (0, {"stages": {"done": -1}}, ", line 1: stages: done: got -1, wanted a whole number from 0 to 4"),
        (1, {"replicates": [1, 2, 3]}, ", line 2: replicates: got 3 entries"),
    ],
)
def test_a_table_of_something_else_is_refused(
    line: int, change: dict[str, Any] | None, said: str, filled: tuple[Path, list[dict[str, Any]]]
) -> None:
    path, configs = filled
    lines = path.read_text().splitlines()
    lines[line : line + 1] = [json.dumps(json.loads(lines[line]) | change)] if change else []
    path.write_text("\n".join(lines))
    with pytest.raises(BadFile) as caught:
        LossTable.resumed(path, {"a": 1}, PLAN, configs)
    assert str(caught.value).startswith(f"{path}{said}")


def test_losses_of_a_root_are_rounded_and_a_worker_keeps_one_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    setting: Any = SimpleNamespace(
        windows=SimpleNamespace(of_stage=lambda stage, few: (stage, few)), below=lambda root: [root],
        network=lambda: SimpleNamespace(losses=lambda cuts, tokens: [[0.12345678], [len(cuts)]] if tokens else []),
    )  # fmt: skip
    monkeypatch.setattr(campaign, "one_thread", lambda **given: asked.append(given) or nullcontext())
    monkeypatch.setattr(campaign.CutSetting, "of", lambda weights, plan: asked.append(weights.digest) or setting)
    monkeypatch.setattr(campaign, "_kept", {})
    for digest in ("x", "x", "y"):
        task = campaign.RootTask(SimpleNamespace(digest=digest), PLAN, 1, 7)  # type: ignore[arg-type]
        assert campaign.measure_root(task, "cpu") == [[0.123457], [1]]
        assert list(campaign._kept) == [(digest, PLAN)]
    flush = {"flush_denormals": True}
    assert asked == [flush, "x", flush, flush, "y"]


def test_a_log_holds_the_records_of_its_stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(campaign.RecordLog, "open", lambda path, task, **more: given.update(more) or (path, task))
    assert campaign._log(tmp_path, {"a": 1}, 3) == (tmp_path, {"a": 1})  # type: ignore[comparison-overlap]
    assert given["most"] == 1_000_000 and [given["wanted"]({"stage": stage}) for stage in (2, 3)] == [False, True]


def test_a_measuring_is_of_one_process_and_all_stages_unless_said() -> None:
    usual = {name: parameter.default for name, parameter in inspect.signature(campaign.measure_cuts).parameters.items()}
    assert (usual["jobs"], usual["niceness"], usual["stages"], usual["plan"]) == (1, 0, None, plan.SMOLLM2)
