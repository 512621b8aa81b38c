"""bench.science.peers: what the libraries get, what their trees are judged by, and what is said where one is missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.science import peers, symbolic
from bench.science.symbolic import Setting, Task, Tree
from fitness.evaluation import Split
from fitness.features import workshop
from primitives.grammar import parse

RNG = np.random.default_rng(3)
FEW = {"iterations": 2, "population": 6, "brood": 3, "sweeps": 1, "folds": 0, "branches": 2, "n_unary": 1,
       "inputs": ("W",), "pool": 3, "pps": False}  # fmt: skip


def nearest(task: Task, setting: Setting) -> Tree:
    """A library that finds the column nearest to the target."""
    place = int(np.argmax(np.abs(task.target @ task.columns)))
    sign = np.sign(task.target @ task.columns[:, place])
    return Tree([place], lambda columns: sign * columns[:, place], 7, 0.5, f"X{place + 1}")


def test_columns_are_screened_by_rho_with_the_quality() -> None:
    values, quality = RNG.normal(size=(12, 20)), RNG.normal(size=20)
    rho = [abs(stats.spearmanr(row, quality).statistic) for row in values]
    assert symbolic.screened(values, quality, 4).tolist() == sorted(np.argsort(rho)[-4:].tolist())
    assert symbolic.screened(values, quality, 0).tolist() == list(range(12))


def test_held_out_values_are_in_units_of_the_split() -> None:
    seen, rows = np.array([[1.0, 3.0], [10.0, 30.0]]), np.array([[5.0], [0.0]])
    assert symbolic.standardised(rows, seen).tolist() == [[3.0], [-2.0]]


@pytest.mark.parametrize("screen", [0, 3])
def test_a_tree_reads_the_branches_of_its_columns(screen: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(symbolic.SEARCHERS, "operon", nearest)
    proxies = [parse(f"mean[ {name}(W) ]") for name in ("abs", "exp", "sqrt", "log", "pow2")]
    values = RNG.normal(size=(5, 10))
    quality = -values[3] + 0.01 * RNG.normal(size=10)
    singles = SimpleNamespace(values=values, proxies=proxies)
    prepared: Any = SimpleNamespace(
        problem=SimpleNamespace(target=SimpleNamespace(values=quality)), sweeper=SimpleNamespace(singles=singles)
    )
    ours = peers.Champion(peers.OURS, "none", 1, Split((), ()), (), lambda rows: rows[0], 9, 2.0, 0.0, "")
    found = peers.regressed(prepared, "operon", Setting(screen), ours)
    assert found.parts == (proxies[3],) and found.text.endswith(f" = {proxies[3]}") and found.compared == 7
    rows = np.array([[2.0, 5.0, -1.0]])  # of held-out networks
    assert found.score(rows) == pytest.approx(-(rows[0] - values[3].mean()) / values[3].std())


def test_a_missing_library_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(symbolic, "find_spec", lambda name: None if name == "gplearn" else name)
    monkeypatch.setattr(sys, "argv", ["peers", "--benchmark", "no-such-benchmark"])
    assert peers.main() is None
    assert capsys.readouterr().out == "not installed: gplearn; pip install -r bench/requirements-peers.txt\n"


def test_every_search_is_judged_with_and_without_a_teacher(
    tiny_benchmark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(workshop, "check_devices", lambda text: ("cpu",))
    monkeypatch.setattr(peers, "SETTINGS", FEW)
    monkeypatch.setattr(peers, "missing", lambda names: "")
    monkeypatch.setitem(symbolic.SEARCHERS, "operon", nearest)
    out, words = tmp_path / "rows.json", ["--libraries", "operon", "--labels", "16", "--seeds", "100", "--sketch"]
    given = ["--benchmark", str(tiny_benchmark), *words, "--teacher", "auto", "none", "always", "--json", str(out)]
    monkeypatch.setattr(sys, "argv", ["peers", *given, "--bank", str(tmp_path / "bank")])
    peers.main()
    rows = {(row["row"], row["teacher"]): row for row in json.loads(out.read_text())}
    assert len(rows) == 6
    for row in (peers.OURS, "Operon, 9 nodes, all columns"):
        plain, auto, taught = (rows[row, teacher] for teacher in ("none", "auto", "always"))
        assert auto == plain | {"teacher": "auto"}  # which without folds is never chosen
        assert plain["pool_seconds"] == 0 < taught["pool_seconds"]
        assert all(-1 <= each[key] <= 1 and each[key] != 0 for each in (plain, taught) for key in ("split", "held"))
    more = rows[peers.OURS, "always"]["held"] - rows["Operon, 9 nodes, all columns", "always"]["held"]
    last = capsys.readouterr().out.splitlines()[-1]
    assert f"ours - it {more:+.3f}, higher on {int(more > 0)}" in last


@pytest.mark.parametrize("library", ["gplearn", "operon"])
def test_a_library_finds_a_sum_of_columns(library: str) -> None:
    pytest.importorskip(symbolic.MODULES[library])
    columns = RNG.normal(size=(40, 5))
    target = columns[:, 1] - columns[:, 4]
    tree = symbolic.SEARCHERS[library](Task(columns, target, 0.3, 1), Setting())
    assert {1, 4} <= set(tree.places) <= set(range(5)) and "X2" in tree.text and "X5" in tree.text and tree.trees > 0
    assert stats.spearmanr(tree.predict(columns), target).statistic > 0.99
