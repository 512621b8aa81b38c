"""select --weights: a subnet within a budget, chosen by a formula and by looking at a few, and written as a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_checkpoint
import torch
from test_cuts import loss_of
from transformers import LlamaForCausalLM

import cli
from gp import cut_selection
from gp.cut_rivals import block_influence
from gp.cut_selection import CutDraws, CutLooks, UnreachableBudget
from models.architecture import Architecture
from models.spaces import SPACES, WEIGHTED
from models.spaces.checkpoint import Checkpoint
from models.spaces.llama.checkpoint import whole_architecture
from models.spaces.llama.subnets import Whole, calibration_tokens
from models.training.cuts.sample import block_sizes

BUDGET = 18_000
FREE = (0.0,) * 4  # nats that the removal of each block costs
SELECT = ("select", "--space", "llama", "--devices", "cpu", "--batch", "2", "--seq-len", "12", "--networks", "40",
          "--look", "3", "--seed", "100")  # fmt: skip


def drawn(whole: Architecture, budget: int, count: int, seed: int, order: str, costs: Any) -> list[Architecture]:
    return CutDraws.create(whole, budget, seed, order, costs).candidates(count)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint.write(tmp_path_factory.mktemp("select") / "tiny")


def test_the_choice_is_the_best_of_the_looks_and_leaves_as_a_checkpoint(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [*SELECT, "--bank", str(tmp_path / "bank"), "--weights", str(folder), "--budget", f"params={BUDGET}",
             "--format", "json", "--measure", "--export", str(tmp_path / "out")]  # fmt: skip
    assert cli.main(asked) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    losses = [row["calibration loss"] for row in found["rows"]]
    assert len(losses) == 3 and losses == sorted(losses) and found["scored"] >= 3
    tokens = calibration_tokens(Checkpoint.open(folder))
    library: Any = LlamaForCausalLM.from_pretrained(tmp_path / "out", attn_implementation="eager").eval()
    assert loss_of(library, tokens) == pytest.approx(losses[0], abs=1e-5)
    for row in found["rows"]:
        architecture = SPACES["llama"].architecture("a", row["config"])
        network: Any = WEIGHTED["llama"].loaded(architecture, Checkpoint.open(folder))
        assert float(network.loss(tokens).detach()) == pytest.approx(row["calibration loss"], abs=1e-5)
        assert 0.97 * BUDGET <= row["params"] == SPACES["llama"].parameters(architecture).total <= BUDGET
    named = [line.split(":")[0] for line in said.err.splitlines() if "nats per token" in line]
    assert named == ["chosen", "whole network", "block influence, 3 looks", "random, 3 looks",
                     "greedy removal of blocks, tokens of 3 looks"]  # fmt: skip


def test_block_influence_is_the_librarys(folder: Path) -> None:
    weights, tokens = Checkpoint.open(folder), torch.arange(24).view(2, 12)
    found = block_influence(Whole(whole_architecture(weights), "first", weights), tokens)
    model: Any = LlamaForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        states = model.model(input_ids=tokens, output_hidden_states=True, use_cache=False).hidden_states
    for block in range(3):  # the library gives the last state behind the final norm
        x, y = states[block].numpy(), states[block + 1].numpy()
        cosine = (x * y).sum(-1) / np.linalg.norm(x, axis=-1) / np.linalg.norm(y, axis=-1)
        assert found[block] == pytest.approx(1 - cosine.mean(), abs=1e-6)


def test_candidates_differ_and_keep_to_the_budget(folder: Path) -> None:
    whole = whole_architecture(Checkpoint.open(folder))
    found = drawn(whole, BUDGET, 60, 100, "activation", FREE)
    sizes = [SPACES["llama"].parameters(a).total for a in found]
    assert len({a.digest for a in found}) == len(found) >= 20
    assert all(0.97 * BUDGET <= size <= BUDGET for size in sizes)
    assert [a.digest for a in drawn(whole, BUDGET, 60, 100, "activation", FREE)] == [a.digest for a in found]
    with pytest.raises(
        UnreachableBudget, match=r"--budget params: got 99,000, wanted more than .* and less than 25,848, a quarter"
    ):
        drawn(whole, 99_000, 10, 100, "activation", FREE)
    most = SPACES["llama"].parameters(whole).total
    for budget in (most, most + 1, 1):
        with pytest.raises(UnreachableBudget, match=f"got {budget:,}, wanted more than"):
            drawn(whole, budget, 10, 100, "activation", FREE)


def test_no_candidate_drops_a_block_that_costs_much_alone(folder: Path) -> None:
    whole = whole_architecture(Checkpoint.open(folder))
    for costs, kept in (((0.0, 1.6, 0.0, 0.0), {1}), ((2.0, 1.5, 0.0, 9.0), {0, 3})):
        found = drawn(whole, BUDGET, 60, 100, "first", costs)
        gone = {block for a in found for block in range(4) if block not in a.config["keep"]}
        assert gone == {0, 1, 2, 3} - kept


def test_variations_differ_from_their_parent_in_a_few_blocks_and_keep_to_the_budget(folder: Path) -> None:
    whole = whole_architecture(Checkpoint.open(folder))
    draws = CutDraws.create(whole, BUDGET, 100, "magnitude", (0.0, 1.6, 0.0, 0.0))
    parents = draws.candidates(20)[:2]
    found = draws.near(parents, 50, 2)
    assert [a.digest for a in found] == [a.digest for a in draws.near(parents, 50, 2)] and len(found) > 5
    assert len({a.digest for a in found}) == len(found) and all(a.id.startswith("near-2-") for a in found)
    for each in found:
        assert 0.97 * BUDGET <= SPACES["llama"].parameters(each).total <= BUDGET and 1 in each.config["keep"]
        assert each.config["order"] == "magnitude"
    for parent in parents:
        assert parent.digest not in {a.digest for a in draws.near([parent], 50, 0)}
    far = [draws.near([parent], 1, 0) for parent in parents]
    assert far[0] != far[1]  # each parent has variations of its own


def test_the_cost_of_a_block_is_what_the_library_loses_without_it(folder: Path) -> None:
    weights, tokens = Checkpoint.open(folder), torch.arange(24).view(2, 12)
    found = CutLooks(Whole(whole_architecture(weights), "activation", weights)).block_costs(tokens)
    model: Any = LlamaForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    layers, whole = list(model.model.layers), loss_of(model, tokens)
    for block in range(4):
        model.model.layers = torch.nn.ModuleList(layers[:block] + layers[block + 1 :])
        assert found[block] == pytest.approx(loss_of(model, tokens) - whole, abs=1e-5)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--budget", "flops=1M"), "--budget: wanted params=N alone for subnets of a checkpoint"),
        (("--budget", "params=18K", "--committee", "2"), "--weights: wanted one formula that chooses"),
    ],
)
def test_what_cannot_be_asked_of_subnets_is_a_usage_error(
    folder: Path, more: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*SELECT, "--weights", str(folder), *more]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--measure",), "--measure: wanted --space llama and --weights DIR"),
        (("--weights", "x", "--fix", "n_token=9"), "wanted none of these with --weights"),
    ],
)
def test_only_subnets_of_a_checkpoint_are_measured_and_their_fields_are_the_checkpoints(
    more: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*SELECT, "--budget", "params=18K", *more]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_a_subnet_at_the_least_share_of_a_budget_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = whole_architecture(Checkpoint.open(folder))
    found = drawn(whole, BUDGET, 20, 100, "first", FREE)
    sizes = sorted({SPACES["llama"].parameters(a).total for a in found})
    assert len(sizes) > 2
    least = next(size for size in sizes[1:] if size / BUDGET * BUDGET == size)
    for near, kept in ((least / BUDGET, least), ((least + 0.5) / BUDGET, least + 1)):
        monkeypatch.setattr(cut_selection, "NEAR", near)
        some = [SPACES["llama"].parameters(a).total for a in drawn(whole, BUDGET, 20, 100, "first", FREE)]
        assert min(some) == min(size for size in sizes if size >= kept)


def test_subnets_of_a_quarter_of_the_blocks_or_less_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = whole_architecture(Checkpoint.open(folder))
    config, most = whole.config, SPACES["llama"].parameters(whole).total
    (ffn, groups), (unit, group) = block_sizes(config)
    blocks = config["n_layer"] * (ffn * unit + groups * group)
    least = most - 3 * blocks // 4
    assert 3 * blocks % 4 == 0
    samples: list[Any] = []
    monkeypatch.setattr(cut_selection, "subnets", lambda sample, config: samples.append(sample) or [])
    with pytest.raises(UnreachableBudget, match=f"got {least:,}, wanted more than {least:,} and less than {most:,}, a"):
        drawn(whole, least, 10, 100, "first", FREE)
    with pytest.raises(UnreachableBudget, match=f"got {least + 1:,}, which none of 10 draws met without a block"):
        drawn(whole, least + 1, 10, 7, "first", (1.0, 2.0, 3.0))
    (sample,) = samples
    aim = 0.25 + (1 - 1.5 * (ffn // 8) * unit) / blocks  # draws differ from it by a step of a width
    assert sample.levels == (pytest.approx(aim),) and sample.cost == (1.0, 2.0, 3.0)
    assert (sample.borders, sample.branches, sample.seed) == ((0,), (10,), 7)
