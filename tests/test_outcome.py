"""What evolve prints at its end: tables in each format, what was refused, the verdict, the next command."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from commands.outcome import case_rows, show_outcome
from gp.hall_entries import Ending
from gp.hall_file import HallDocument, load_hall
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path("runs") / "x"


@pytest.fixture(scope="module")
def hall() -> HallDocument:
    return load_hall(ROOT / "proxies" / "gpt2-mini.json")


@pytest.fixture(scope="module")
def benchmark() -> Benchmark:
    return load_benchmark("gpt2-mini")


def told(
    document: HallDocument | None, benchmarks: list[Benchmark], capsys: pytest.CaptureFixture[str], form: str = "table"
) -> tuple[int, str, str]:
    run: Any = SimpleNamespace(folder=FOLDER, settings=SimpleNamespace(cases=[SimpleNamespace(benchmark="gpt2-mini")]))
    state = SimpleNamespace(state=SimpleNamespace(iteration=321))
    outcome: Any = SimpleNamespace(document=document, result=state, seconds={"search": 1.234, "exact": 0.06})
    with click.Context(click.Command("evolve")):
        code = show_outcome(outcome, run, benchmarks, form)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_a_search_that_was_stopped_says_how_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown, said = told(None, [], capsys)
    lines = said.splitlines()
    assert code == 130 and shown == "" and lines[0] == "stopped at iteration 321; nothing is lost"
    assert lines[1].startswith("next: ") and lines[1].endswith(f"evolve --resume {FOLDER}") and len(lines) == 2


def test_a_table_a_benchmark_and_then_what_a_reader_should_know(
    hall: HallDocument, benchmark: Benchmark, capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown, said = told(hall, [benchmark], capsys)
    assert code == 0 and shown.startswith("gpt2-mini: correlation with ") and shown.count("correlation with") == 1
    assert all(text in said for text in ("search: 1.2 s", "exact: 0.1 s", f"{hall.evaluations:,} formulas compared"))
    assert "noise ceiling" in said and "ended early" not in said
    refused = said.split("PPS refused ")[1].splitlines()[0].split(", ")
    counts = [int(part.rsplit(" ", 1)[1]) for part in refused]
    assert counts == sorted(hall.rejections.values(), reverse=True)
    following = [line for line in said.splitlines() if "replay" in line][-1]
    assert following.endswith(f"replay {FOLDER / 'hall_of_fame.json'} --benchmark gpt2-mini")


def test_an_early_end_names_its_reason_and_how_to_go_on(
    hall: HallDocument, benchmark: Benchmark, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = replace(hall, ending=Ending("no better formula", 99, True), rejections={})
    said = told(ended, [benchmark], capsys)[2]
    assert "ended early at iteration 99: no better formula" in said and "PPS refused nothing" in said
    assert any(
        line.startswith("to go on: ") and line.endswith(f"evolve --resume {FOLDER}") for line in said.splitlines()
    )


def test_json_is_the_hall_and_csv_its_rows(
    hall: HallDocument, benchmark: Benchmark, capsys: pytest.CaptureFixture[str]
) -> None:
    assert json.loads(told(hall, [benchmark], capsys, "json")[1]) == hall.to_dict()
    rows = list(csv.DictReader(io.StringIO(told(hall, [benchmark], capsys, "csv")[1])))
    assert len(rows) == len(case_rows(hall, hall.cases[0])) and "benchmark" not in rows[0]
    twice = replace(hall, cases=(hall.cases[0],) * 2)
    rows = list(csv.DictReader(io.StringIO(told(twice, [benchmark] * 2, capsys, "csv")[1])))
    assert {row["benchmark"] for row in rows} == {"gpt2-mini"} and len(rows) == 2 * len(case_rows(hall, hall.cases[0]))


def test_a_row_has_the_fidelity_that_was_measured(hall: HallDocument) -> None:
    case = hall.cases[0]
    rows = case_rows(hall, case)
    measured = [found.fidelity for found in case.figures]
    assert [row["fidelity"] for row in rows[: len(measured)]] == measured and all(
        isinstance(f, float) for f in measured
    )
    more = replace(case, figures=tuple(replace(found, fidelity={"spearman": 0.9}) for found in case.figures))
    assert [row["fidelity"] for row in case_rows(hall, more)[: len(measured)]] == [None] * len(measured)
    assert "reads" not in rows[0] and len(rows) == len(measured) + len(case.rivals) + len(case.baselines)
    assert str(rows[-1]["proxy"].text).startswith("(")
