"""evolve: when formulas may read the training budget, and what is said of it; benchmarks train --runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from test_predictor_file import run

from commands.evolve import _with_budget
from gp.config import SearchConfig
from models.training.budgets import BUDGET_RECIPES
from primitives.operators import turned

PLAIN = SearchConfig()
WITH_T = (*PLAIN.aggregates, *map(turned, PLAIN.aggregates))


def benchmark(budgets: int) -> Any:
    return SimpleNamespace(name=f"of-{budgets}", of_budgets=lambda: [range(3)] * budgets)


@pytest.mark.parametrize(
    ("budgeted", "budgets", "reads", "said"),
    [
        (None, (1,), False, ""),
        (None, (), False, ""),
        (None, (1, 3), True, "of-3: 3 training budgets, so formulas may read T; --no-training-budget leaves it out"),
        (True, (1,), True, ""),
        (True, (3,), True, ""),
        (False, (3,), False, ""),
    ],
)
def test_formulas_read_the_budget_where_budgets_differ_or_it_is_asked(
    budgeted: bool | None, budgets: tuple[int, ...], reads: bool, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = _with_budget(PLAIN, budgeted, [benchmark(count) for count in budgets])
    assert found.aggregates == (WITH_T if reads else PLAIN.aggregates) and (found == PLAIN) != reads
    assert capsys.readouterr().err == (f"{said}\n" if said else "")


@pytest.mark.parametrize("name", ["gpt2-mini", "llama-elastic"])
def test_a_number_of_runs_is_for_trainings_that_have_several(
    name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for function in ("campaign.train", "elastic.train_elastic"):
        monkeypatch.setattr(f"models.training.{function}", lambda *given, **more: tmp_path)
    assert set(BUDGET_RECIPES) == {"llama-budgets", "gpt2-budgets"}
    code, shown, said = run(capsys, "benchmarks", "train", name, "--runs", 2, "--out", tmp_path / "x.jsonl")
    assert code == 2 and shown == "" and not any(tmp_path.iterdir())
    assert f"--runs: got {name}, which is trained in one go; wanted {' or '.join(BUDGET_RECIPES)}" in said
