"""A teacher on subnets of a checkpoint: its pool costs no visit, and it knows what a missing block costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_checkpoint
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from transformers import LlamaForCausalLM

from fitness.evaluation import Split
from fitness.features.workshop import Workshop
from fitness.predictors.numbers import NumberTable
from gp import benchmark_search, cut_lesson
from gp.benchmark_search import search
from gp.case import Case
from gp.choice import faithful
from gp.config import SearchConfig
from gp.cut_lesson import block_costs, cut_numbers, cut_pool
from gp.lesson import Lesson
from models.architecture import Architecture
from models.benchmarks.benchmark import Benchmark
from models.spaces import SPACES
from models.spaces.checkpoint import Checkpoint
from models.spaces.llama.subnets import Whole, whole_architecture
from models.training.cuts.measuring import cut_of
from models.training.cuts.sample import CutSample, cut_config, subnets

WHOLE = (40, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint.write(tmp_path_factory.mktemp("tiny"))


def opened(folder: Path, price: str = "whole", bank: str = "bank") -> Workshop:
    place = folder.parent / bank
    return Workshop.open("llama", weights=folder, bank=place, price=price, devices="cpu", batch=2, length=16)


def cuts(folder: Path, *chosen: Any) -> list[Architecture]:
    """Subnets, units kept by magnitude."""
    space, whole = SPACES["llama"], whole_architecture(Checkpoint.open(folder))
    return [space.architecture(f"c{i}", cut_config(whole.config, cut, "magnitude")) for i, cut in enumerate(chosen)]


def drawn(folder: Path) -> list[Architecture]:
    config = whole_architecture(Checkpoint.open(folder)).config
    sample = CutSample((0.1,) * 4, (0.9, 0.7), borders=(0, 2), branches=(10, 3))
    return cuts(folder, *(subnet.cut for subnet in subnets(sample, config)))


def test_a_block_costs_what_the_library_loses_without_it(folder: Path) -> None:
    workshop = opened(folder, bank="fresh")
    costs = block_costs(Whole.of(drawn(folder), workshop.weights), workshop)
    tokens, losses = workshop.batch.tokens, []
    for gone in (None, 0, 1, 2, 3):
        model: Any = LlamaForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
        model.model.layers = torch.nn.ModuleList(x for i, x in enumerate(model.model.layers) if i != gone)
        with torch.no_grad():
            logits = model(input_ids=tokens, use_cache=False).logits[:, :-1]
        losses.append(float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())))
    assert costs == pytest.approx(np.array(losses[1:]) - losses[0], abs=1e-4)


def test_block_costs_are_looked_up_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop = opened(folder, bank="twice")
    whole = Whole.of(drawn(folder), workshop.weights)
    first = block_costs(whole, workshop)
    with monkeypatch.context() as patch:
        patch.setattr(cut_lesson.CutLooks, "block_costs", lambda looks, tokens: pytest.fail("computed again"))
        assert block_costs(whole, workshop).tolist() == first.tolist()
    (kept,) = (workshop.bank.place / "costs").iterdir()
    kept.write_bytes(kept.read_bytes()[:-1] + b"?")
    assert block_costs(whole, workshop).tolist() == first.tolist()
    for damaged in (np.full(4, np.nan), np.ones(3)):
        shelf = cut_lesson.ArrayShelf(workshop.bank.place / "costs", 1 << 20)
        shelf.save(f"{workshop.bank.entry(whole.architecture)}:{whole.kind}", {"costs": damaged})
        assert block_costs(whole, workshop).tolist() == first.tolist()


def test_numbers_say_what_is_gone_and_what_it_costs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut_lesson, "block_costs", lambda whole, workshop: np.array([8.0, -1.0, 0.5, 2.0]))
    table = cut_numbers(
        cuts(folder, (WHOLE,) * 4, (None, (30, 3), None, (20, 1)), ((40, 2), None, None, WHOLE)), opened(folder)
    )
    log = np.log
    wanted = {
        "blocks gone": [0, 2, 2], "gaps": [0, 2, 1], "ffn gone": [0, 0.75, 0], "attention gone": [0, 2 / 3, 1 / 3],
        "cost of blocks gone": [0, 8.5, -0.5], "log cost of blocks gone": [0, log(8) + log(0.5), log(1e-3) + log(0.5)],
        "cost of ffn gone": [0, -0.25 + 1, 0], "cost of attention gone": [0, 4 / 3, 8 / 3], "largest cost": [0, 8, 0.5],
    }  # fmt: skip
    assert table.names == tuple(wanted)
    np.testing.assert_allclose(table.values, np.array(list(wanted.values())).T)


def test_a_pool_begins_like_one_subnet_and_ends_like_another(folder: Path) -> None:
    seen = drawn(folder)
    pool = cut_pool(seen, opened(folder), 20)
    assert [a.config for a in pool] == [a.config for a in cut_pool(seen, opened(folder), 20)]
    assert len({a.digest for a in [*seen, *pool]}) == len(seen) + 20
    parents = [cut_of(a.config, 4) for a in seen]
    for child in (cut_of(a.config, 4) for a in pool):
        assert any(
            child[:border] == x[:border] and child[border:] == y[border:]
            for border in (1, 2, 3) for x in parents for y in parents
        )  # fmt: skip
    assert cut_pool(seen[:1], opened(folder), 20) == []
    halves = cuts(folder, (WHOLE, WHOLE, None, None), (None, None, WHOLE, WHOLE))
    assert all(any(cut_of(a.config, 4)) for a in cut_pool(halves, opened(folder), 20))


def labelled(folder: Path) -> tuple[Benchmark, Split]:
    """Subnets whose quality is the sum of what their blocks would cost."""
    found = drawn(folder)
    numbers = cut_numbers(found, opened(folder))
    quality = numbers.of(["cost of blocks gone"])[:, 0] + numbers.of(["ffn gone"])[:, 0]
    benchmark = Benchmark("made", "llama", "cost", False, tuple(found), quality, "0" * 64)
    return benchmark, Split(tuple(range(0, len(found), 2)), tuple(range(1, len(found), 2)))


def test_only_subnets_that_cost_no_visit_are_a_pool(folder: Path) -> None:
    benchmark, split = labelled(folder)
    lesson = Lesson.of(Case(benchmark, opened(folder), split), 12)
    assert lesson is not None and len(lesson.pool) == 12 and "largest cost" in lesson.numbers.names
    assert Lesson.of(Case(benchmark, opened(folder, "own"), split), 12) is None
    held = list(split.holdout)
    numbers = cut_numbers(benchmark.architectures, opened(folder))
    said = Lesson(lesson.workshop, lesson.seen, (), NumberTable(numbers.names, numbers.values), lesson.quality)
    order = [*split.search, *held]
    known = Lesson(said.workshop, said.seen, (), NumberTable(numbers.names, numbers.values[order]), said.quality)
    told = known.says(np.arange(len(split.search)))[len(split.search) :]
    assert stats.kendalltau(told, benchmark.quality[held]).statistic > 0.8


def test_a_search_with_a_teacher_ends_with_formulas_that_sketches_tell(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark, split = labelled(folder)
    config = SearchConfig(teacher="always", iterations=10, population=20, brood=10, sweeps=1, inputs=("W",), n_unary=1)
    config = SearchConfig(**{**vars(config), "pool": 12, "hall_size": 2, "folds": 0})
    found = search([Case(benchmark, opened(folder), split)], config)
    assert found.hall.best.fitness > 0.3 and len(found.hall.champions) == 2
    monkeypatch.setattr(benchmark_search, "faithful", lambda exact, sketch: [len(exact) - 1])
    left = search([Case(benchmark, opened(folder), split)], config)
    assert len(left.hall.champions) == 1 and left.hall.best.fitness <= found.hall.best.fitness


@given(st.lists(st.booleans(), min_size=1, max_size=6))
def test_formulas_that_sketches_misread_are_left_out(sound: list[bool]) -> None:
    exact = np.tile(np.arange(8.0), (len(sound), 1))
    sketch = np.array([row if ok else -row for row, ok in zip(exact, sound, strict=True)])
    wanted = [place for place, ok in enumerate(sound) if ok]
    assert faithful(exact, sketch) == (wanted or list(range(len(sound))))
    assert faithful(exact, np.zeros_like(exact)) == list(range(len(sound)))
