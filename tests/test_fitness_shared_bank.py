"""One bank for everybody: what another version of the code left is never served, and two processes share the work."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import fitness.features.figures as figures_module
from fitness.evaluation import Evaluation
from fitness.features.workshop import Workshop
from fitness.leaderboard import Contender, contenders
from fitness.replay import replay
from fitness.zoo import ZOO
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.layouts import read_benchmark
from primitives.grammar import parse
from primitives.scoring import Scorer

ROOT = Path(__file__).resolve().parent.parent
FORMULA = Evaluation(parse("sum[ frobenius_norm(W) ]"), 0.5, 1)


@pytest.fixture
def benchmark(tiny_benchmark: Path) -> Benchmark:
    return read_benchmark(tiny_benchmark)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop.open("gpt2", batch=2, length=24, devices="cpu", bank=tmp_path / "bank")


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A version of scoring by which every formula is worth 123."""
    with monkeypatch.context() as patch:
        patch.setattr(figures_module, "SCORING_VERSION", 1)
        patch.setattr(Scorer, "score", lambda self, proxy: 123.0)
        yield patch


def entry(found: list[Contender], name: str) -> Contender:
    return next(contender for contender in found if contender.name == name)


def test_scores_of_an_older_version_are_served_nowhere(
    benchmark: Benchmark, workshop: Workshop, older: pytest.MonkeyPatch
) -> None:
    evolved = [("evolved", FORMULA, None)]
    assert (entry(contenders(benchmark, workshop, evolved), "evolved").scores == 123).all()
    assert (workshop.exact_scores([FORMULA.proxy], benchmark.architectures) == 123).all()
    older.undo()
    board = entry(contenders(benchmark, workshop, evolved), "evolved").scores
    exact = workshop.exact_scores([FORMULA.proxy], benchmark.architectures)[0]
    (row,) = replay([FORMULA], benchmark, workshop)
    assert 123 not in board and np.array_equal(board, exact) and np.array_equal(row.scores, exact)


def test_the_leaderboard_reads_scores_where_everybody_does(
    benchmark: Benchmark, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = workshop.exact_scores([FORMULA.proxy], benchmark.architectures)[0]
    monkeypatch.setattr(Scorer, "score", lambda self, proxy: 123.0)  # only its cost is measured anew
    found = entry(contenders(benchmark, workshop, [("evolved", FORMULA, None)]), "evolved")
    assert np.array_equal(found.scores, exact) and found.seconds > 0


LEADERBOARD = """
import json, sys, time
from pathlib import Path
from fitness.evaluation import Evaluation
from fitness.features.workshop import Workshop
from fitness.leaderboard import contenders
from models.benchmarks.layouts import read_benchmark
from primitives.grammar import parse
from storage.shelf import Shelf

table, folder, mine = map(Path, sys.argv[1:4])
benchmark = read_benchmark(table)
workshop = Workshop.open("gpt2", batch=2, length=24, devices="cpu", bank=folder / "bank")
saved, save = [], Shelf.save

def recording(self, key, records):
    saved.extend((self.folder.name, key, name) for name in records)
    save(self, key, records)

Shelf.save = recording
mine.touch()
while len(list(folder.glob("ready*"))) < 2:
    time.sleep(0.01)
found = contenders(benchmark, workshop, [("evolved", Evaluation(parse(sys.argv[4]), 0.5, 1), None)])
print(json.dumps(saved))
print(json.dumps({c.formula: [c.scores.tolist(), c.seconds] for c in found if c.kind != "naive" and not c.reason}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("texts", [("sum[ frobenius_norm(W) ]",) * 2, ("sum[ frobenius_norm(W) ]", "mean[ abs(J) ]")])
def test_two_leaderboards_at_once_compute_each_value_once(
    texts: tuple[str, str], tiny_benchmark: Path, tmp_path: Path
) -> None:
    """With other formulas each, what one of them adds to an entry must survive what the other adds."""
    both = [
        subprocess.Popen(
            [sys.executable, "-c", LEADERBOARD, str(tiny_benchmark), str(tmp_path), str(tmp_path / f"ready{n}"), text],
            cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for n, text in enumerate(texts)
    ]  # fmt: skip
    answers = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    (saved, table), (saved_too, table_too) = ([json.loads(line) for line in out.splitlines()] for out, _ in answers)
    measured = [tuple(value) for value in saved + saved_too]
    assert len(measured) == len(set(measured)) == 30 * (len(ZOO) + 2 * len(set(texts)))
    shared = table.keys() & table_too.keys()
    assert len(shared) >= 10 and all(table[name] == table_too[name] for name in shared)
    assert texts[0] in table and texts[1] in table_too
