"""select for networks that the library can train: fixed fields, ranges, multiples, equal blocks, the exported folder."""

from __future__ import annotations

import json
import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from test_select import example
from transformers import AutoConfig, AutoModelForCausalLM

import cli
from commands.region_options import RegionOptions
from fitness.costs import CostLimits, TrainingBatch, costs_of
from gp.selection import SelectionConfig, select
from models.architecture import Architecture, BadArchitecture
from models.checkpoints.export import export_architecture
from models.checkpoints.packages import BadPackage
from models.spaces import SPACES
from models.spaces.asked_region import BadRegion, RegionWishes, Span, asked_region, cost_range, held_choices
from models.spaces.llama.library import check_library, library_fields
from models.spaces.llama.space import LlamaSpace
from models.spaces.variation import Region, crossed, drawn, mutated, valid

LLAMA, BUDGET = LlamaSpace(), 60_000
FIELDS = LLAMA.fields
assert FIELDS is not None


def measured() -> list[Architecture]:
    """Two benchmarks of one space that differ in vocabulary, context and norm."""
    rng, found = random.Random(8), []
    for i in range(24):
        depth, heads = rng.randint(1, 4), rng.choice((1, 2, 4))
        sizes = {"n_layer": depth, "d_model": rng.choice((16, 32, 48)), "n_head": [heads] * depth}
        blocks = {"n_kv_head": [1] * depth, "d_ffn": [rng.choice((24, 40, 72)) for _ in range(depth)]}
        held = {"n_token": 256, "tgt_len": 128} if i % 3 else {"n_token": 4096, "tgt_len": 512, "norm": "layer"}
        found.append(LLAMA.architecture(str(i), sizes | blocks | held))
    return found


def size(config: dict[str, Any]) -> float:
    return float(LLAMA.parameters(LLAMA.architecture("x", config)).total)


def region(near: int = 1, **wishes: Any) -> Region:
    known = measured()
    return asked_region(known, FIELDS, known[near], RegionWishes(**wishes))  # type: ignore[arg-type]


def members(found: Region, count: int = 80) -> list[dict[str, Any]]:
    """Configurations that drawing, mutation and crossover lead to."""
    rng = random.Random(3)
    pool = [valid(lambda: drawn(found, rng), LLAMA.check) for _ in range(count)]
    pool += [valid(lambda a=a: mutated(found, a, rng), LLAMA.check) for a in pool[:count]]
    pool += [valid(lambda a=a: crossed(found, a, rng.choice(pool), rng), LLAMA.check) for a in pool[:count]]
    return pool


def values(configs: list[dict[str, Any]], name: str) -> set[Any]:
    return {v for c in configs for v in (c[name] if isinstance(c[name], tuple) else (c[name],))}


def test_fields_that_nobody_searches_are_those_of_the_nearest_measured_architecture() -> None:
    for near, token, norm in ((1, 256, "rms"), (0, 4096, "layer")):
        found = members(region(near))
        assert values(found, "n_token") == {token} and values(found, "norm") == {norm}
    choices = held_choices(measured(), FIELDS, RegionWishes(fixed={"norm": "rms"}))  # type: ignore[arg-type]
    assert choices == {"n_token": [4096, 256], "tgt_len": [512, 128]}


def test_a_fixed_field_has_one_value_in_all_blocks_and_everywhere() -> None:
    found = members(region(fixed={"n_token": 999, "d_ffn": 56, "n_head": 8, "n_layer": 3}))
    for name, only in (("n_token", 999), ("d_ffn", 56), ("n_head", 8), ("n_layer", 3)):
        assert values(found, name) == {only}
    assert values(found, "n_kv_head") == {1, 8}  # what benchmarks have, and as many as heads


def test_ranges_and_multiples_are_the_values_between_the_ends() -> None:
    wishes = {"ranges": {"d_model": Span(64, 192), "n_layer": Span(5, 7), "n_head": (2, 8)}, "multiples": {"d_ffn": 16}}
    found = region(**wishes)
    assert found.values["d_model"] == (64, 128, 192) and found.depths == (5, 6, 7)
    assert found.values["d_ffn"] == (32, 48, 64)
    seen = members(found, 200)
    for name, all_of_them in (("d_model", {64, 128, 192}), ("n_layer", {5, 6, 7}), ("d_ffn", {32, 48, 64})):
        assert values(seen, name) == all_of_them
    assert values(seen, "n_head") == {2, 8}
    assert region(ranges={"d_model": Span(63, 66)}).values["d_model"] == (63, 64, 65, 66)


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"fixed": {"n_head": (4, 4)}}, "n_head: got a list, wanted one value, which all blocks have"),
        ({"ranges": {"d_ffn": (8, (8, 9))}}, "d_ffn: got a list, wanted one value"),
        ({"ranges": {"n_layer": Span(0, 3)}, "uniform": True}, "n_layer: got 0/3, wanted whole numbers from 1 to"),
        ({"fixed": {"n_layer": "x"}}, "n_layer: got x, wanted whole numbers from 1 to 100,000"),
        ({"ranges": {"n_kv_head": (1, 1.5)}}, "n_kv_head: got 1/1.5, wanted whole numbers"),
        ({"multiples": {"norm": 8}}, "--multiple: got norm, wanted a field of whole numbers"),
        ({"ranges": {"d_ffn": ("a", "b")}, "multiples": {"d_ffn": 8}}, "d_ffn: got a/b in steps of 8, wanted 1 to"),
        ({"ranges": {"n_layer": Span(9, 3)}}, "n_layer: got 9..3 in steps of 1, wanted 1 to"),
        ({"ranges": {"d_model": Span(1, 10**9)}}, "d_model: got 1..1000000000 in steps of 1, wanted 1 to 100,000"),
        (
            {"fixed": {"d_model": 64}, "ranges": {"d_model": Span(64, 128)}},
            "--fix: got d_model in --fix and in --range",
        ),
        ({"fixed": {"d_ffn": 64}, "multiples": {"d_ffn": 8}}, "--fix: got d_ffn in --fix and in --range or --multiple"),
        ({"fixed": {"width": 3}}, "--fix: got the field width, wanted one of n_layer, .* head_dim"),
    ],
)
def test_wishes_that_cannot_be_met_are_one_sentence(wishes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRegion, match=said):
        region(**wishes)


def test_an_optional_field_can_be_fixed() -> None:
    assert {c.get("head_dim", c["d_model"] // c["n_head"][0]) for c in members(region(fixed={"head_dim": 12}))} == {12}


def test_all_blocks_of_a_uniform_region_are_equal_and_vary_between_architectures() -> None:
    found = members(region(uniform=True))
    assert all(len(set(c[name])) == 1 for c in found for name in FIELDS.per_block)  # type: ignore[union-attr]
    assert values(found, "d_ffn") == {24, 40, 72} and values(found, "n_head") == {1, 2, 4}
    assert any(len(set(c["d_ffn"])) > 1 for c in members(region()))


@pytest.mark.parametrize("name", ["gpt2", "llama", "flexibert"])
def test_the_ends_of_a_region_are_what_no_draw_exceeds(name: str) -> None:
    space, rng = SPACES[name], random.Random(1)
    assert space.fields is not None
    known = example(name, 1)
    found = asked_region(known, space.fields, known[0], RegionWishes())

    def cost(config: dict[str, Any]) -> float:
        return float(space.parameters(space.architecture("x", config)).total)

    least, most = cost_range(found, space.check, cost)
    draws = [cost(valid(lambda: drawn(found, rng), space.check)) for _ in range(400)]
    assert least <= min(draws) and max(draws) <= most


def test_the_ends_of_a_region_of_products_are_its_corners() -> None:
    corners = [
        size(LLAMA.check({"n_layer": n, "d_model": d, "n_head": [h] * n, "n_kv_head": [1] * n, "d_ffn": [f] * n,
                          "n_token": 256, "tgt_len": 128}))
        for n in (1, 4) for d in (16, 48) for h in (1, 2, 4) for f in (24, 72)
    ]  # fmt: skip
    assert cost_range(region(), LLAMA.check, size) == (min(corners), max(corners))


def found_by_search(seed: int = 100) -> Architecture:
    """The largest network within a budget, among those that the library has."""
    found = select(
        "llama", region(fixed={"norm": "rms", "n_token": 500}, uniform=True, multiples={"d_ffn": 8}),
        SelectionConfig(40, 10, seed=seed), allowed=lambda a, costs: costs.params <= BUDGET, check=check_library,
        count=lambda a: costs_of(a, 16), score=lambda batch: [(size(dict(a.config)), "") for a in batch],
    )  # fmt: skip
    return found.front[0].architecture


def test_the_exported_folder_is_a_network_of_the_library_with_as_many_parameters_that_learns(tmp_path: Path) -> None:
    architecture = found_by_search()
    total = LLAMA.parameters(architecture).total
    export_architecture(architecture, tmp_path / "made", "own", 3)
    with torch.device("meta"):
        assert AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tmp_path / "made")).num_parameters() == total
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "made")
    assert 0.8 * BUDGET < model.num_parameters() == total <= BUDGET
    tokens = torch.randint(0, 500, (2, 16), generator=torch.Generator().manual_seed(0))
    optimiser, losses = torch.optim.AdamW(model.parameters(), lr=1e-3), []
    for _ in range(3):
        loss = model(tokens, labels=tokens).loss
        losses.append(float(loss.detach()))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    assert losses[2] < losses[1] < losses[0] < 7
    with pytest.raises(BadPackage, match="exists and is never overwritten"):
        export_architecture(architecture, tmp_path / "made")
    export_architecture(architecture, tmp_path / "new" / "folders" / "made")
    assert [path.name for path in (tmp_path / "new" / "folders").glob("**/*")] == ["made", "config.json"]


def test_the_memory_of_activations_is_what_the_library_keeps_for_the_backward_pass() -> None:
    D, F, V, B, T, L = 64, 192, 300, 2, 40, 3
    config = {"n_layer": L, "d_model": D, "n_head": [4] * L, "n_kv_head": [4] * L, "d_ffn": [F] * L, "n_token": V,
              "tgt_len": 64}  # fmt: skip
    architecture = LLAMA.architecture("x", config)
    model: Any = AutoModelForCausalLM.from_config(AutoConfig.for_model(**library_fields(architecture.config)))
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    tokens = torch.zeros(B, T, dtype=torch.long)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(tokens, labels=tokens)
    measured = sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in own)
    found = costs_of(architecture, 16, None, TrainingBatch(B, T))
    backward = 2 * 4 * B * T * V  # two more tables of logits, which exist in the backward pass alone
    assert found.memory - 16 * found.params - backward == pytest.approx(measured, rel=0.1)
    longest = costs_of(architecture, 16, None, TrainingBatch(B, 1000)).memory - 16 * found.params
    assert longest == pytest.approx((found.memory - 16 * found.params) * 64 / T, rel=1e-6)
    assert CostLimits(memory=found.memory).allows(found) and not CostLimits(memory=found.memory - 1).allows(found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"d_ffn": [24, 40]}, "d_ffn: got blocks that differ"),
        ({"norm": "layer"}, "norm: got layer, wanted rms"),
        ({"n_head": [3, 3], "n_kv_head": [1, 1]}, "n_head: got 3, wanted a divisor of d_model = 32"),
    ],
)
def test_what_the_library_does_not_have_is_refused(change: dict[str, Any], said: str) -> None:
    config = {"n_layer": 2, "d_model": 32, "n_head": [2, 2], "n_kv_head": [1, 1], "d_ffn": [24, 24], "n_token": 256,
              "tgt_len": 64}  # fmt: skip
    assert library_fields(check_library(config))["head_dim"] == 16
    with pytest.raises(BadArchitecture, match=said):
        check_library(config | change)


def test_exported_architectures_have_equal_blocks_and_the_norm_of_the_library() -> None:
    wishes = RegionOptions(fixed=((("n_token", 9),),)).wishes(exported=True)
    assert wishes.uniform and dict(wishes.fixed) == {"norm": "rms", "n_token": 9}
    assert RegionOptions().wishes(exported=False) == RegionWishes()


def test_the_command_writes_a_folder_that_rank_reads(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    where = ["--bank", str(tmp_path / "bank"), "--devices", "cpu", "--batch", "1", "--seq-len", "8"]
    words = ["select", "--space", "llama", "--budget", "params=60K", "--budget", "memory=12M", "--memory-at",
             "2x64", "--fix", "n_token=300,tgt_len=64", "--networks",
             "3", "--population", "3", "--export", str(tmp_path / "made"), "--format", "json"]  # fmt: skip
    assert cli.main([*words, *where]) == 0
    said = capfd.readouterr()
    rows = json.loads(said.out)["rows"]
    assert all(0 < row["memory"] <= 12_000_000 for row in rows)
    first = rows[0]
    config = json.loads((tmp_path / "made" / "config.json").read_text())
    assert (config["vocab_size"], config["max_position_embeddings"]) == (300, 64)
    assert f"config.json of {first['id']}, LlamaForCausalLM with {first['params']:,} parameters" in said.err
    assert cli.main(["rank", str(tmp_path / "made"), "--format", "json", *where]) == 0
    assert json.loads(capfd.readouterr().out)["rows"][0]["params"] == first["params"]
    assert cli.main([*words, *where]) == 1
    assert "exists and is never overwritten" in capfd.readouterr().err


def test_a_field_that_is_not_varied_is_named_with_its_other_values(capsys: pytest.CaptureFixture[str]) -> None:
    from commands.search_plan import planned

    count = partial(costs_of, length=16)
    planned("llama", measured(), RegionWishes(), False, {}, count)
    said = capsys.readouterr().err
    assert "n_token is 256 in all architectures; --fix n_token=VALUE sets another (benchmarks: 4096)" in said or (
        "n_token is 4096 in all architectures; --fix n_token=VALUE sets another (benchmarks: 256)" in said
    )
    planned("llama", measured(), RegionWishes({"n_token": 300}), False, {}, count)
    assert "n_token is" not in capsys.readouterr().err
