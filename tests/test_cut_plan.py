"""The plan of measured subnets: its sample, the embedded table, configurations, stages and rounds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import pytest
from test_cuts import CUTS, PLAN, read

from models.benchmarks.origins import embedded_path, verify
from models.spaces import SPACES
from models.training.cuts.campaign import CutProgress, _Stage
from models.training.cuts.measuring import cut_of
from models.training.cuts.plan import SMOLLM2
from models.training.cuts.sample import CutSample, block_sizes, cut_config, subnets
from models.training.cuts.table import LossTable


def test_the_sample_is_distinct_shares_prefixes_and_meets_its_levels() -> None:
    config = {"n_layer": 12, "d_model": 48, "n_head": [6] * 12, "n_kv_head": [3] * 12, "d_ffn": [128] * 12}
    sample = CutSample((9.0, *(0.1 * i for i in range(1, 12))), (0.95, 0.8, 0.65), (0, 5, 9), (6, 2, 3))
    found = subnets(sample, config)
    cuts = [subnet.cut for subnet in found]
    assert len(set(cuts)) == len(cuts) == 36
    assert len({cut[:5] for cut in cuts}) <= 6 and len({cut[:9] for cut in cuts}) <= 12
    whole, (unit, group) = block_sizes(config)
    full = 12 * (whole[0] * unit + whole[1] * group)
    for subnet in found:
        share = sum(0 if kept is None else kept[0] * unit + kept[1] * group for kept in subnet.cut) / full
        assert abs(share - subnet.level) < 0.04
        assert subnet.cut[0] is not None, "a dear block was dropped"
    assert any(None in cut for cut in cuts)
    assert subnets(sample, config) == found and subnets(replace(sample, seed=1), config) != found
    drawn = json.dumps([(subnet.root, subnet.level, subnet.cut) for subnet in found])
    assert hashlib.sha256(drawn.encode()).hexdigest()[:16] == "00d2b6e75045a183"
    assert [subnet.root for subnet in found] == [root for root in range(6) for _ in range(6)]


def test_the_subnets_of_smollm2_stay_those_that_were_measured() -> None:
    config = {"n_layer": 30, "d_model": 576, "n_head": [9] * 30, "n_kv_head": [3] * 30, "d_ffn": [1536] * 30}
    found = subnets(replace(SMOLLM2.sample, branches=(2, 1, 2, 2)), config)
    drawn = json.dumps([(subnet.root, subnet.level, subnet.cut) for subnet in found])
    assert hashlib.sha256(drawn.encode()).hexdigest()[:16] == "c97f0f5bd2e60c52"


def test_the_plan_of_smollm2_stays_that_of_what_was_measured() -> None:
    """Another plan would be another benchmark: a log of figures that were measured is then of no use."""
    plan = json.dumps(asdict(SMOLLM2), sort_keys=True)
    assert hashlib.sha256(plan.encode()).hexdigest()[:16] == "f1789be456a4e476"


def test_the_embedded_table_is_of_the_plan_and_its_losses_are_means_of_their_parts() -> None:
    benchmark = verify("smollm2-subnets")
    header, records = read(embedded_path("smollm2-subnets"))
    assert header["plan"] == json.loads(json.dumps(asdict(SMOLLM2))) and header["stages"]["done"] >= 2
    assert len(benchmark) == len(set(benchmark.groups)) == 625 and benchmark.architectures[0].id == "whole"
    assert all(r["loss"] == pytest.approx(sum(r["replicates"]) / 5, abs=1e-6) for r in records)
    near = [r for r in records if r["loss"] < records[0]["loss"] + 1.5]
    assert len(near) > 312 and {len(a.config.get("keep", ())) for a in benchmark.architectures[1:]} > set(range(20, 30))


def test_configurations_of_cuts_lead_back_to_them() -> None:
    whole = {"n_layer": 4, "d_model": 24, "n_head": [6] * 4, "n_kv_head": [3] * 4, "d_ffn": [40] * 4, "head_dim": 4}
    whole |= {"n_token": 300, "tgt_len": 64}
    for cut in CUTS[1:]:
        config = SPACES["llama"].check(cut_config(whole, cut, "activation"))
        assert cut_of(config, 4) == cut
        assert config["keep"] == tuple(i for i, kept in enumerate(cut) if kept is not None)


def test_a_stage_that_is_stopped_ends_and_one_that_is_done_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    setting: Any = SimpleNamespace(roots=[0, 0, 1, 2, 1], weights=None, plan=PLAN)
    told: list[Any] = []

    def measured(function: Any, tasks: Any, devices: Any, niceness: int) -> Any:
        return ((task, [[float(task.root)] * 2] * setting.roots.count(task.root)) for task in tasks)

    monkeypatch.setattr("models.training.cuts.campaign.map_on_devices", measured)
    log: Any = SimpleNamespace(records=[{"root": 0, "losses": [[7.0], [8.0]]}], append=told.append)
    stops = iter([False, True])
    with pytest.raises(KeyboardInterrupt):
        _Stage(1, setting, log, None, lambda: next(stops)).run(1, 0)
    assert told == [{"stage": 1, "root": 1, "losses": [[1.0, 1.0], [1.0, 1.0]]}]
    told.clear()
    seen: list[CutProgress] = []
    found = _Stage(1, setting, log, seen.append, lambda: False).run(1, 0)
    assert found == [[7.0], [8.0], [1.0, 1.0], [2.0, 2.0], [1.0, 1.0]]
    assert [(p.stage, p.stages, p.done, p.total, p.loss) for p in seen] == [(1, 4, 2, 3, 1.0), (1, 4, 3, 3, 2.0)]
    assert seen[0].seconds_left > 0 == seen[1].seconds_left
    log.records += [{"root": root, "losses": [[root]] * 2} for root in (1, 2)]
    assert _Stage(1, setting, log, None, lambda: True).run(1, 0) == [[7.0], [8.0], [1], [2], [1]]


def test_the_table_joins_rounds_and_looks() -> None:
    table = LossTable({"a": 1}, replace(PLAN, calibration=3, few=1), [{"n_layer": 1}, {"tied": True}])
    table.add(("measured", 0), [[1.0, 2.0], [3.0, 4.0]])
    table.add(("calibration", 0), [[1.0], [2.0]])
    assert (table.rounds, table.stages) == (1, 2)
    table.add(("measured", 1), [[3.0, 2.0], [5.0, 8.0]])
    table.add(("calibration", 1), [[2.0, 3.0], [4.0, 6.0]])
    assert table.parts.tolist() == [[2.0, 2.0], [4.0, 6.0]] and (table.rounds, table.stages) == (2, 4)
    assert table.looks["calibration_few"].tolist() == [1.0, 2.0] and table.looks["calibration_all"].tolist() == [
        2.0,
        4.0,
    ]
    assert [table.id(i) for i in (0, 1, 12)] == ["whole", "cut-000", "cut-011"]
    empty = LossTable({}, PLAN, [{}])
    assert empty.parts.tolist() == [[0.0, 0.0]] and (empty.stages, empty.rounds, empty.looks) == (0, 0, {})
    header, first, second = lines = [json.loads(line) for line in table.content("x", 4).splitlines()]
    assert table.content("x", 4).decode().splitlines() == [json.dumps(line, sort_keys=True) for line in lines]
    assert (header["a"], header["stages"], header["measured_tokens"]) == (1, {"done": 4, "of": 4}, 2 * 2 * 11)
    assert first["config"] == {"n_layer": 1} and second["config"] == {"tied": True} and second["loss"] == 5.0


BASE: dict[str, Any] = {
    "n_layer": 3, "d_model": 24, "n_head": [6] * 3, "n_kv_head": [3] * 3, "d_ffn": [40] * 3, "n_token": 300,
    "tgt_len": 64,
}  # fmt: skip


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"keep": [0, 1, 1]}, r"keep: got block 1 twice, wanted each block once, in rising order"),
        ({"keep": [0, 2, 1]}, r"keep: got block 1 after block 2, wanted each block once"),
        ({"keep": [0, 1]}, r"keep: got 2 entries, wanted a list of 3, one per block"),
        ({"keep": [0, 1, -2]}, r"keep\[2\]: got -2, wanted a whole number from 0"),
        ({"order": "best"}, r"order: got 'best', wanted one of first, magnitude, activation"),
        ({"head_dim": 3}, r"n_head\[0\]: got 6, so heads of 3 features at d_model = 24, wanted an even number"),
        (
            {"d_ffn": [40, 0, 40], "keep": [0, 1, 2]},
            r"d_ffn\[1\]: got 0, wanted at least 1 in a subnet; drop the block",
        ),
    ],
)
def test_a_subnet_that_cannot_be_is_refused_in_a_line(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SPACES["llama"].check(BASE | more)


def test_what_a_configuration_leaves_out_keeps_its_digest() -> None:
    plain = SPACES["llama"].architecture("a", BASE)
    said: Sequence[dict[str, Any]] = ({"head_dim": 4}, {"order": "first"}, {"keep": None})
    assert all(SPACES["llama"].architecture("a", BASE | more).digest == plain.digest for more in said)
    assert SPACES["llama"].architecture("a", BASE | {"keep": [0, 1, 2]}).digest != plain.digest
