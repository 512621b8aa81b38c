"""The choice of a subnet step by step, with stand-ins for the network: looks, rivals, rows, and what is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
import torch

from commands import cut_select
from commands.feature_options import FeatureOptions
from gp import cut_rivals, cut_selection
from gp.cut_rivals import greedy_removal, rival_choices
from gp.cut_selection import finalists
from models.spaces import SPACES
from models.spaces.checkpoint import BadWeights
from models.training.cuts.measuring import cut_of
from models.training.cuts.sample import cut_config


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
        monkeypatch.setattr(cut_rivals, "block_influence", lambda whole, tokens, own=influence: np.array(own))
        found = rival_choices(candidates, looks, torch.zeros(1, 4, dtype=torch.long), 1, 0)
        assert found["block influence, 1 looks"].id == best
        assert set(found) == {"block influence, 1 looks", "random, 1 looks"}


@pytest.mark.parametrize(("budget", "kept", "shown"), [
    (90_672, ((40, 3), None, (40, 3), (40, 3)), [4]),  # one block of 12,672: 4 comparisons
    (89_952, ((40, 3), None, (35, 3), (40, 3)), [2, 2]),  # and five units of 144: 4 + 3, on half of the tokens
    (87_792, ((40, 3), None, (20, 3), (40, 3)), [2, 2]),  # twenty units, half of the layer
    (78_000, (None, None, (40, 3), (40, 3)), [2, 2]),
    (86_096, (None, None, (40, 3), (40, 3)), [2, 2]),  # 4,576 more is most of a layer: a whole block
], ids=["one block", "some units", "half a layer", "two blocks", "most of a layer"])  # fmt: skip
def test_blocks_are_removed_one_after_another_at_the_price_of_the_looks(
    budget: int, kept: Any, shown: list[int]
) -> None:
    """103,344 parameters: four blocks of three groups of 2,304 and 40 units of 144 (and a pair of norms of 48 each), and
    52,224 of tokens. Without block 1 the loss is the lowest, then without block 0, or with a narrower block 2."""
    whole = {"n_layer": 4, "d_model": 48, "n_head": [6] * 4, "n_kv_head": [3] * 4, "d_ffn": [40] * 4, "head_dim": 8}
    whole |= {"n_token": 544, "tgt_len": 64}
    architecture, rows = SPACES["llama"].architecture("whole", whole), list[int]()

    def losses(few: Any, tokens: torch.Tensor) -> list[float]:
        rows.append(len(tokens))
        return [sum(cost(*pair) for pair in enumerate(cut_of(a.config, 4))) for a in few]

    def cost(block: int, kept: tuple[int, int] | None) -> float:
        dropped, narrower = [(1.0, 3.0), (0.0, 3.0), (3.0, 0.5), (2.0, 0.7)][block]
        return dropped if kept is None else narrower if kept[0] < 40 else 0.0

    looks: Any = SimpleNamespace(whole=SimpleNamespace(architecture=architecture), depth=4, losses=losses)
    found = greedy_removal(looks, budget, "magnitude", torch.zeros(4, 8, dtype=torch.long), 4)
    assert cut_of(found.config, 4) == kept and found.config["order"] == "magnitude" and rows == shown


class Numbers:
    """Stands for networks: subnet i costs abs(i - 30) nats; variations of some subnets are the numbers above them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: list[tuple[list[int], int]] = []
        self.asked: list[tuple[list[int], int, int]] = []
        scores = lambda formula, parts, some: np.array([-float(a.number) for a in some])  # noqa: E731
        monkeypatch.setattr(cut_selection, "parts_for", lambda workshop, candidates: None)
        monkeypatch.setattr(cut_selection, "formula_scores", scores)

    def make(self, *numbers: int) -> list[Any]:
        return [SimpleNamespace(number=i, digest=str(i)) for i in numbers]

    def choice(self, candidates: Any, windows: int, look: int, *tell: Any) -> Any:
        choose: Any = cut_selection.choose_cut
        own = (self, candidates, SimpleNamespace(), torch.zeros(windows, 2), look, self)
        return choose(SimpleNamespace(sign=-1.0), *own, *tell)

    def losses(self, chosen: Any, tokens: torch.Tensor) -> list[float]:
        self.shown.append(([a.number for a in chosen], len(tokens)))
        return [float(abs(a.number - 30)) for a in chosen]

    def near(self, parents: Any, count: int, turn: int) -> list[Any]:
        self.asked.append(([a.number for a in parents], count, turn))
        return self.make(*(parents[0].number + step for step in (1, 2, 4)))


def test_few_looks_go_to_the_subnets_that_rank_first(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: Any = Numbers(monkeypatch)
    clock = iter((10.0, 12.0, 13.0, 17.0))
    monkeypatch.setattr(cut_selection, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    told: list[str] = []
    candidates = numbers.make(3, 9, 8, 7)
    found = numbers.choice(candidates, 16, 3, told.append)
    assert numbers.shown == [([9, 8, 7], 16)] and numbers.asked == []
    assert told == ["4 candidates scored; looking at 3, then at variations of the best"]
    assert (found.chosen.number, found.loss, found.candidates) == (9, 21.0, 4)
    assert [loss for _, loss in found.looked] == [21.0, 22.0, 23.0]
    assert found.seconds == {"screening": 2.0, "looks": 4.0}


def test_many_looks_go_in_rounds_to_variations_of_the_best_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: Any = Numbers(monkeypatch)
    candidates = numbers.make(*range(20))
    found = numbers.choice(candidates, 16, 13)
    short = [([19, 18, 17, 16, 15, 14, 13], 2), ([23, 21], 2), ([27, 25], 2), ([31, 29], 2)]
    last = [29, 31, 27, 25, 23, 21, 19, 18, 17, 16, 15, 14]  # the 12 best of 13
    assert numbers.shown[:4] == short and len(numbers.shown) == 5
    assert sorted(numbers.shown[4][0]) == sorted(last) and numbers.shown[4][1] == 16
    assert numbers.asked == [([19, 18, 17], 1000, 0), ([23, 21, 19], 1000, 1), ([27, 25, 23], 1000, 2)]
    assert found.loss == 1.0 and len(found.looked) == 12


def test_a_best_subnet_without_variations_costs_no_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: Any = Numbers(monkeypatch)
    numbers.near = lambda parents, count, turn: numbers.make(17)  # which was looked at
    found = numbers.choice(numbers.make(*range(20)), 8, 18)
    assert found.chosen.number == 19 and [len(own) for own, _ in numbers.shown] == [9, 0, 0, 9]


def test_of_many_only_the_best_on_the_first_eighth_of_the_text_are_looked_at_on_all_of_it() -> None:
    shown: list[tuple[int, int]] = []

    def losses(chosen: Any, tokens: torch.Tensor) -> list[float]:
        shown.append((len(chosen), len(tokens)))
        return [float(i if len(tokens) == 2 else -i) for i in chosen]

    looks: Any = SimpleNamespace(losses=losses)
    numbers: Any = list(range(20, 0, -1))
    found = finalists(looks, numbers, torch.zeros(16, 4))
    assert found == tuple((i, -float(i)) for i in range(12, 0, -1)) and shown == [(20, 2), (12, 16)]
    shown.clear()
    assert len(finalists(looks, numbers[:12], torch.zeros(16, 4))) == 12 and shown == [(12, 16)]
    assert len(finalists(looks, numbers[:13], torch.zeros(3, 4))) == 12 and shown[1:] == [(13, 1), (12, 3)]


def test_json_lists_as_many_of_the_subnets_looked_at_as_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    from commands.cut_select import _show

    config = {"n_layer": 2, "d_model": 48, "n_head": [6] * 2, "n_kv_head": [3] * 2, "d_ffn": [40] * 2, "n_token": 300}
    subnets = [SPACES["llama"].architecture(name, {**config, "tgt_len": 64}) for name in ("a", "b", "c")]
    choice: Any = SimpleNamespace(seconds={}, looked=tuple(zip(subnets, (1.0, 2.0, 3.0), strict=True)), candidates=9)
    asked: Any = SimpleNamespace(top=2, form="json", seed=0, bounds={})
    _show(choice, SimpleNamespace(name="mine"), asked)  # type: ignore[arg-type]
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["id"], row["calibration loss"], row["depth"]) for row in rows] == [("a", 1.0, 2), ("b", 2.0, 2)]


def test_a_table_of_the_subnets_looked_at_has_a_row_each(capsys: pytest.CaptureFixture[str]) -> None:
    config = {"n_layer": 2, "d_model": 48, "n_head": [6] * 2, "n_kv_head": [3] * 2, "d_ffn": [40] * 2, "n_token": 300}
    subnets = [SPACES["llama"].architecture(name, {**config, "tgt_len": 64}) for name in ("a", "b")]
    size = SPACES["llama"].parameters(subnets[0]).total
    choice: Any = SimpleNamespace(
        seconds={"visit": 1.26}, looked=tuple(zip(subnets, (1.0, 2.0), strict=True)), candidates=9000
    )
    source: Any = SimpleNamespace(name="mine")
    cut_select._show(choice, source, SimpleNamespace(top=None, form="csv", seed=0, bounds={}, look=4))  # type: ignore[arg-type]
    said = capsys.readouterr()
    rows = [f"1,a,1.0,{size},2", f"2,b,2.0,{size},2"]
    assert said.out.splitlines() == ["place,id,calibration loss,params,depth", *rows] and said.err == "visit: 1.3 s\n"
    cut_select._show(choice, source, SimpleNamespace(top=1, form="table", seed=0, bounds={}, look=4))  # type: ignore[arg-type]
    title = " ".join(capsys.readouterr().out.split())
    assert "9,000 subnets, the finalists of 4 looked at; chosen by calibration loss" in title
    asked: Any = SimpleNamespace(top=1, form="json", seed=5, bounds={"params": 7})
    cut_select._show(choice, source, asked)
    shown = capsys.readouterr().out
    described = {"space": "llama", "config": json.loads(json.dumps(dict(subnets[0].config)))}
    row = {"place": 1, "id": "a", "calibration loss": 1.0, "params": size, "depth": 2, **described}
    found = {"scorer": "mine", "scored": 9000, "seed": 5, "budget": {"params": 7}, "rows": [row]}
    assert json.loads(shown) == found and shown.splitlines()[:2] == ["{", '  "budget": {']
    assert [line.split(":")[0] for line in shown.splitlines() if line.startswith('  "')] == [
        f'  "{name}"' for name in sorted(found)
    ]
    bad: Any = SimpleNamespace(seconds={}, looked=((subnets[0], float("nan")),), candidates=1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        cut_select._show(bad, source, asked)


@pytest.mark.parametrize("done", [True, False])
def test_a_subnet_is_chosen_then_measured_and_exported_if_asked(done: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[Any] = []
    workshop = SimpleNamespace(weights="checkpoint", check=lambda whole: steps.append(("check", whole)))
    opened: Any = lambda self, space: steps.append((self.price, space)) or workshop  # noqa: E731
    monkeypatch.setattr(FeatureOptions, "open", opened)
    monkeypatch.setattr("models.spaces.llama.checkpoint.whole_architecture", lambda checkpoint: "whole")
    monkeypatch.setattr("models.spaces.llama.subnets.calibration_tokens", lambda checkpoint: "tokens")
    monkeypatch.setattr("models.spaces.llama.subnets.Whole", lambda *given: given)
    choice = SimpleNamespace(chosen="best")
    draws = SimpleNamespace(candidates=lambda count: f"{count} drawn")
    create = lambda *given: steps.append(("drawn", *given)) or draws  # noqa: E731
    monkeypatch.setattr(cut_selection.CutDraws, "create", create)
    looks = SimpleNamespace(block_costs=lambda tokens: f"costs on {tokens}")
    monkeypatch.setattr(cut_selection, "CutLooks", lambda whole: steps.append(whole) or looks)
    monkeypatch.setattr(cut_selection, "choose_cut", lambda *given: steps.append(given[:-1]) or choice)
    for name in ("_show", "_measure", "_export"):
        monkeypatch.setattr(cut_select, name, lambda *given, name=name: steps.append((name, *given)))
    asked = cut_select.CutOrder({"params": 9.7}, 40, 3, 7, "first", Path("out") if done else None, done, None, "table")
    source: Any = SimpleNamespace(predictor=None, size=None, formulas=("f", "g"))
    cut_select.select_cut(source, FeatureOptions(), asked)
    drawn = "40 drawn"
    wanted = [
        ("whole", "llama"), ("check", "whole"), ("whole", "first", "checkpoint"),
        ("drawn", "whole", 9, 7, "first", "costs on t"),  # of "tokens" the first
        ("f", draws, drawn, workshop, "tokens", 3, looks),
        ("_show", choice, source, asked),
    ]  # fmt: skip
    wanted += [
        ("_measure", choice, drawn, looks, "checkpoint", "tokens", asked), ("_export", "best", "checkpoint", Path("out")),
    ] * done  # fmt: skip
    assert steps == wanted
    workshop.weights = None  # type: ignore[assignment]
    with pytest.raises(click.UsageError, match="^--weights: wanted the folder of a checkpoint$"):
        cut_select.select_cut(source, FeatureOptions(), asked)
    for more in ({"predictor": "p", "size": None}, {"predictor": None, "size": 2}):
        with pytest.raises(click.UsageError, match="^--weights: wanted one formula that chooses, a --hall without"):
            cut_select.select_cut(SimpleNamespace(**more, formulas=()), FeatureOptions(), asked)  # type: ignore[arg-type]


def test_measuring_needs_the_tokenizer_of_the_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=r"^--measure: wanted a checkpoint with its tokenizer\.json$"):
        cut_select._unseen(SimpleNamespace(folder=tmp_path))  # type: ignore[arg-type]


def test_a_block_that_is_dropped_weighs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {"n_layer": 2, "d_model": 48, "n_head": [6] * 2, "n_kv_head": [3] * 2, "d_ffn": [40] * 2, "head_dim": 8}
    whole |= {"n_token": 300, "tgt_len": 64}
    cuts = {"second": (None, (20, 1)), "first": ((40, 3), None)}
    candidates = [SPACES["llama"].architecture(name, cut_config(whole, cut, "first")) for name, cut in cuts.items()]
    looks: Any = SimpleNamespace(
        whole=SimpleNamespace(architecture=SimpleNamespace(config=whole)), depth=2,
        losses=lambda few, tokens: [0.0] * len(few),
    )  # fmt: skip
    for influence, best in (([1.0, 2.0], "first"), ([1e-4, 1.0], "second")):
        monkeypatch.setattr(cut_rivals, "block_influence", lambda whole, tokens, own=influence: np.array(own))
        found = rival_choices(candidates, looks, torch.zeros(1, 4, dtype=torch.long), 1, 0)
        assert found["block influence, 1 looks"].id == best


def test_looks_are_mean_losses_on_one_thread_without_denormals(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    @contextmanager
    def thread(**given: Any) -> Iterator[None]:
        asked.append(given)
        yield

    monkeypatch.setattr(cut_selection, "one_thread", thread)
    monkeypatch.setattr(cut_selection, "cut_of", lambda config, depth: (config, depth))
    looks: Any = SimpleNamespace(
        depth=3, network=SimpleNamespace(losses=lambda cuts, tokens: asked.append(cuts) or [[1.0, 3.0], [4.0, 5.0]])
    )
    few: Any = [SimpleNamespace(config="a"), SimpleNamespace(config="b")]
    assert cut_selection.CutLooks.losses(looks, few, torch.zeros(1)) == [2.0, 4.5]
    assert asked == [{"flush_denormals": True}, [("a", 3), ("b", 3)]]


def test_an_export_says_its_notes_and_its_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("models.checkpoints.export.export_subnet", lambda *given: [str(given), "second note"])
    chosen, checkpoint = ("best", "checkpoint")
    cut_select._export(chosen, checkpoint, Path("out"))  # type: ignore[arg-type]
    assert capsys.readouterr().err.splitlines() == [
        str((chosen, checkpoint, Path("out"))),
        "second note",
        "written: out",
    ]
