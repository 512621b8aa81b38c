"""Benchmarks at several budgets: which runs there are, in which order, and how a training goes on."""

from __future__ import annotations

import hashlib
import inspect
import json
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from models.benchmarks.layouts import read_benchmark
from models.spaces import SPACES
from models.training import budgets
from models.training.budgets import BUDGET_RECIPES, BudgetRecipe, train_budgets
from models.training.corpus import load_corpus
from models.training.learning import Budget, train_one
from storage.files import BadFile

TINY = Budget(steps=2, batch=2, length=16, checkpoints=2, curve_windows=2, final_windows=4)
SMALL = replace(BUDGET_RECIPES["llama-budgets"], sizes=(36_000, 54_000), shapes=5, longest=2, replicated=3, seeds=2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_budgets(tmp_path_factory.mktemp("budgets") / "tiny.jsonl", SMALL, budget=TINY)


@pytest.mark.parametrize("recipe", BUDGET_RECIPES.values(), ids=lambda recipe: recipe.family.prefix)
def test_shapes_of_one_size_are_alike_in_size_and_unlike_in_shape(recipe: BudgetRecipe) -> None:
    space = SPACES[recipe.space]
    for target, shapes in zip(recipe.sizes, recipe.architectures(), strict=True):
        assert len({a.digest for a in shapes}) == recipe.shapes == 25
        assert all(abs(space.parameters(a).decoder - target) <= 0.04 * target for a in shapes)
        depths, widths = zip(*map(space.shape, shapes[:2]), strict=True)
        assert max(depths) >= 4 * min(depths) and max(widths) >= 2 * min(widths)


RECIPES = {  # sizes, the range of feed-forward widths, and the sha256 of all runs in order
    "llama-budgets": ((36_000, 54_000, 80_000, 120_000), ("d_ffn", 32, 384), "1a1f2bfd5d7fa4fe"),
    "gpt2-budgets": ((48_000, 72_000, 108_000, 160_000), ("d_inner", 64, 512), "ce041a277b39fedb"),
}


@pytest.mark.parametrize("name", BUDGET_RECIPES)
def test_the_first_runs_pair_unlike_shapes_of_each_size_at_two_budgets(name: str) -> None:
    """The runs of a recipe stay as they are: others would be another benchmark, of which nothing is trained."""
    recipe, (sizes, inner, digest) = BUDGET_RECIPES[name], RECIPES[name]
    family = recipe.family
    assert (recipe.sizes, family.inner, family.prefix) == (sizes, inner, name.removesuffix("-budgets"))
    assert (family.depths, family.widths) == ((1, 2, 3, 4, 5, 6), (32, 48, 64, 80, 96, 112, 128))
    tasks = recipe.tasks(TINY)
    runs = [(t.architecture.id, t.architecture.digest, t.seed, t.budget.steps) for t in tasks]
    assert hashlib.sha256(json.dumps(runs).encode()).hexdigest()[:16] == digest
    assert len(tasks) == len({(t.architecture.digest, t.budget.steps, t.seed) for t in tasks}) == 328
    classes = len(recipe.sizes)
    first = tasks[: 4 * classes]
    assert {t.budget.steps for t in first} == {2, 8} and len({t.architecture.digest for t in first}) == 2 * classes
    long = [t.architecture.digest for t in tasks if t.budget.steps == 32]
    assert len(long) == len(set(long)) == 48
    assert len({t.architecture.digest for t in tasks if t.seed}) == 10


def test_a_record_says_its_budget_and_repeats_its_architecture(whole: Path) -> None:
    header, *records = map(json.loads, whole.read_text().splitlines())
    assert header["runs"] == {"finished": 30, "planned": 30}
    assert whole.read_text().splitlines() == [json.dumps(line, sort_keys=True) for line in (header, *records)]
    assert header["task"] == {
        "budget": asdict(TINY), "corpus": load_corpus().digest, "seeds": 2, "space": "llama", "torch": torch.__version__,
    }  # fmt: skip
    assert (header["multiples"], header["size"]) == ([1, 4, 16], "decoder params")
    assert [r["id"] for r in records[:3]] == ["llama-36k-00@1x", "llama-36k-00@4x", "llama-36k-00@16x"]
    assert len(records) == 2 * (5 * 2 + 2) and {r["tokens"] for r in records} == {64, 256, 1024}
    assert all(r["tokens"] == r["steps"] * 32 for r in records)
    assert sum("replicates" in r for r in records) == 6 and all(len(r.get("replicates", "ab")) == 2 for r in records)
    benchmark = read_benchmark(whole)
    assert len(set(benchmark.groups.tolist())) == 10
    record = next(r for r in records if r["id"].endswith("@4x"))
    again = SPACES["llama"].architecture("x", record["config"])
    assert round(train_one(again, 0, replace(TINY, steps=8), load_corpus()).loss, 6) == record["loss"]


def test_a_training_goes_on_from_the_file_alone(whole: Path, tmp_path: Path) -> None:
    path = train_budgets(tmp_path / "tiny.jsonl", SMALL, budget=TINY, most=11)
    header = json.loads(path.read_text().splitlines()[0])
    assert header["runs"]["finished"] == 11
    path.with_name("tiny.partial.jsonl").unlink()
    seen: list[object] = []
    train_budgets(path, SMALL, budget=TINY, on_progress=seen.append)
    assert len(seen) == 19 and path.read_bytes() == whole.read_bytes()


def test_a_training_that_is_stopped_leaves_what_is_finished(tmp_path: Path) -> None:
    seen: list[object] = []
    with pytest.raises(KeyboardInterrupt):
        train_budgets(
            tmp_path / "x.jsonl", SMALL, budget=TINY, on_progress=seen.append, should_stop=lambda: len(seen) > 2
        )
    assert json.loads((tmp_path / "x.jsonl").read_text().splitlines()[0])["runs"]["finished"] == 3


def test_a_file_of_another_task_is_refused(whole: Path) -> None:
    with pytest.raises(BadFile, match="trained with another budget, text or torch; move it away"):
        train_budgets(whole, SMALL, budget=replace(TINY, batch=3))


def test_a_file_that_is_none_of_ours_is_refused_and_one_process_is_the_usual(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny.jsonl"
    for first in ("[]", "{}", '{"task": 3}'):
        path.write_text(first + "\n")
        with pytest.raises(BadFile) as caught:
            train_budgets(path, SMALL, budget=TINY)
        said = "trained with another budget, text or torch; move it away, or give another --out"
        assert str(caught.value) == f"{path}: {said}"
    usual = {name: parameter.default for name, parameter in inspect.signature(train_budgets).parameters.items()}
    assert (usual["jobs"], usual["niceness"], usual["most"]) == (1, 0, None)
    assert asdict(replace(SMALL, family=None, sizes=())) == {  # type: ignore[arg-type]
        "family": None, "sizes": (), "shapes": 5, "longest": 2, "replicated": 3, "seeds": 2, "multiples": (1, 4, 16),
        "seed": 2033,
    }  # fmt: skip


def test_runs_of_a_file_have_every_seed(tmp_path: Path) -> None:
    config = {
        "n_layer": 1,
        "d_model": 16,
        "n_head": [2],
        "n_kv_head": [1],
        "d_ffn": [32],
        "n_token": 300,
        "tgt_len": 64,
    }
    record = {"id": "a", "config": config, "steps": 8, "loss": 1.5, "curve": [3.0, 2.0]}
    task = {"space": "llama"}
    lines = [{"task": task}, {**record, "replicates": [1.5, 1.25]}, {**record, "steps": 2}]
    (tmp_path / "x").write_text("".join(json.dumps(line) + "\n" for line in lines))
    digest = SPACES["llama"].architecture("a", config).digest
    found = budgets._finished_in(tmp_path / "x", task)
    assert {key: (run.loss, run.curve) for key, run in found.items()} == {
        (digest, 8, 0): (1.5, (3.0, 2.0)), (digest, 8, 1): (1.25, ()), (digest, 2, 0): (1.5, (3.0, 2.0)),
    }  # fmt: skip


def test_the_logs_of_a_training_have_room_for_its_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def full(path: Path, task: object, most: int) -> None:
        asked.append(most)
        if len(asked) == 2:
            raise InterruptedError
        return nullcontext(None)  # type: ignore[return-value]

    monkeypatch.setattr(budgets.RecordLog, "open", full)
    with pytest.raises(InterruptedError):
        train_budgets(tmp_path / "x.jsonl", SMALL, budget=TINY)
    assert asked == [30, 531_441]
