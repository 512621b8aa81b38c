"""select --weights: a subnet within a budget, chosen by a formula and by looking at a few, and written as a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_checkpoint
import torch
from test_cuts import loss_of
from transformers import LlamaForCausalLM

import cli
from gp import cut_selection
from gp.cut_selection import UnreachableBudget, block_influence, draw_cuts, rival_choices
from models.spaces import SPACES, WEIGHTED
from models.spaces.checkpoint import Checkpoint
from models.spaces.llama.checkpoint import whole_architecture
from models.spaces.llama.subnets import Whole, calibration_tokens
from models.training.cuts.sample import cut_config

BUDGET = 18_000
SELECT = ("select", "--space", "llama", "--devices", "cpu", "--batch", "2", "--seq-len", "12", "--networks", "40",
          "--look", "3", "--seed", "100")  # fmt: skip


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
    assert named == ["chosen", "whole network", "block influence, 3 looks", "random, 3 looks"]


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
    found = draw_cuts(whole, BUDGET, 60, 100, "activation")
    sizes = [SPACES["llama"].parameters(a).total for a in found]
    assert len({a.digest for a in found}) == len(found) >= 20
    assert all(0.97 * BUDGET <= size <= BUDGET for size in sizes)
    assert [a.digest for a in draw_cuts(whole, BUDGET, 60, 100, "activation")] == [a.digest for a in found]
    with pytest.raises(
        UnreachableBudget, match=r"--budget params: got 99,000, wanted more than .* and less than 25,848, a quarter"
    ):
        draw_cuts(whole, 99_000, 10, 100, "activation")
    most = SPACES["llama"].parameters(whole).total
    for budget in (most, most + 1, 1):
        with pytest.raises(UnreachableBudget, match=f"got {budget:,}, wanted more than"):
            draw_cuts(whole, budget, 10, 100, "activation")


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


def test_block_influence_weighs_the_share_of_each_block_that_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of width 48 has 144 weights a unit and 2,304 a group of two heads."""
    whole = {"n_layer": 2, "d_model": 48, "n_head": [6] * 2, "n_kv_head": [3] * 2, "d_ffn": [40] * 2, "head_dim": 8}
    whole |= {"n_token": 300, "tgt_len": 64}
    kept = {"groups": ((30, 3), (40, 3)), "units": ((40, 1), (40, 3)), "later": ((40, 3), (20, 1))}
    candidates = [SPACES["llama"].architecture(name, cut_config(whole, cut, "first")) for name, cut in kept.items()]
    looks: Any = SimpleNamespace(
        whole=SimpleNamespace(architecture=SimpleNamespace(config=whole)),
        depth=2,
        losses=lambda few, tokens: [0.0] * len(few),
    )
    for influence, best in (([1.0, 1.0], "groups"), ([1.0, 0.0], "later")):
        monkeypatch.setattr(cut_selection, "block_influence", lambda whole, tokens, own=influence: np.array(own))
        found = rival_choices(candidates, looks, torch.zeros(1, 4, dtype=torch.long), 1, 0)
        assert found["block influence, 1 looks"].id == best
        assert set(found) == {"block influence, 1 looks", "random, 1 looks"}


@pytest.mark.parametrize("given", [True, False])
def test_the_subnet_with_the_lowest_loss_of_those_that_rank_first_is_chosen(
    given: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    class Looks:
        def losses(self, chosen: Any, tokens: Any) -> list[float]:
            looked.extend(chosen)
            return [{"a": 3.0, "c": 1.0, "d": 2.0}[name] for name in chosen]

    candidates: Any = ["a", "b", "c", "d", "e"]
    scores = np.array([-9.0, -1.0, -8.0, -8.0, np.nan])
    monkeypatch.setattr(cut_selection, "parts_for", lambda workshop, candidates: None)
    monkeypatch.setattr(cut_selection, "formula_scores", lambda formula, parts, candidates: scores)
    monkeypatch.setattr(cut_selection.Whole, "of", lambda candidates, weights: "whole")
    monkeypatch.setattr(cut_selection, "CutLooks", lambda whole: Looks() if not given else None)
    clock = iter((10.0, 12.0, 13.0, 17.0, 20.0, 30.0))
    monkeypatch.setattr(cut_selection, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    told: list[str] = []
    formula: Any = SimpleNamespace(sign=-1.0)
    found = cut_selection.choose_cut(
        formula, candidates, SimpleNamespace(weights=None), torch.zeros(1, 2),  # type: ignore[arg-type]
        3, Looks() if given else None, told.append,  # type: ignore[arg-type]
    )  # fmt: skip
    assert looked == ["a", "c", "d"] and told == ["5 candidates scored; looking at 3"]
    assert (found.chosen, found.loss, found.place, found.candidates) == ("c", 1.0, 2, 5)
    assert found.looked == (("c", 1.0), ("d", 2.0), ("a", 3.0))
    assert found.seconds == {"visit": 2.0, "screening": 4.0, "looks": 10.0}


def test_json_lists_as_many_of_the_subnets_looked_at_as_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    from commands.cut_select import _show

    config = {"n_layer": 2, "d_model": 48, "n_head": [6] * 2, "n_kv_head": [3] * 2, "d_ffn": [40] * 2, "n_token": 300}
    subnets = [SPACES["llama"].architecture(name, {**config, "tgt_len": 64}) for name in ("a", "b", "c")]
    choice: Any = SimpleNamespace(seconds={}, looked=tuple(zip(subnets, (1.0, 2.0, 3.0), strict=True)), candidates=9)
    asked: Any = SimpleNamespace(top=2, form="json", seed=0, bounds={})
    _show(choice, SimpleNamespace(name="mine"), asked)  # type: ignore[arg-type]
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["id"], row["calibration loss"], row["depth"]) for row in rows] == [("a", 1.0, 2), ("b", 2.0, 2)]
