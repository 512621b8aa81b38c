"""End of a search: the verdict, and a warning where its labels are few."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from commands.verdict import few_labels, say_verdict, verdict
from fitness.protocol import ENOUGH
from gp.hall_cases import HallCase, SplitIds
from gp.hall_entries import Baseline, Measured
from gp.hall_file import load_hall

HALL = load_hall(Path(__file__).resolve().parent.parent / "proxies" / "gpt2-mini.json")


def case(labels: int, *taus: float | None) -> HallCase:
    ids = tuple(f"a{i}" for i in range(labels))
    figures = tuple(Measured(None, None if tau is None else {"kendall": tau}, None) for tau in taus)
    rows = tuple(Baseline(name, None, {"kendall": tau}, None) for name, tau in (("width", 0.1), ("depth", 0.2)))
    return replace(HALL.cases[0], split=SplitIds(ids, ("b", "c")), figures=figures, baselines=rows, rivals=rows[:1])


def test_the_verdict_names_the_best_of_each_kind() -> None:
    assert verdict(case(50, 0.5)) == (
        "verdict: on 2 held-out architectures of gpt2-mini the champion has tau-b 0.500, the best regression on the same "
        "labels (width) 0.100 and the best count (depth) 0.200"
    )
    assert verdict(case(50, None)) is None


@pytest.mark.parametrize(
    ("labels", "taus", "said"),
    [
        (ENOUGH, (0.5, 0.6), None),
        (ENOUGH - 1, (None,), None),
        (ENOUGH - 1, (0.5,), "few labels: 39 architectures, fewer than 40, are fitted alike by many formulas; suggest names"),
        (12, (0.5, 0.75, -0.25), "the 3 of the hall have held-out tau-b -0.250 to 0.750, and rank --committee 3 takes"),
    ],
)  # fmt: skip
def test_a_warning_stands_where_labels_are_few(labels: int, taus: tuple[float | None, ...], said: str | None) -> None:
    sentence = few_labels(case(labels, *taus))
    assert sentence is None if said is None else sentence is not None and said in sentence


def test_both_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    say_verdict(replace(HALL, cases=(case(12, 0.5, 0.6),)), Path("hall.json"))
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == ["verdict", "few labels"]
