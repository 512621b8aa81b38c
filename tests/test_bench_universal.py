"""What bench.science.universal says of a formula: pairs of a size with their error, and repetition, on small networks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from test_rank import hall  # noqa: F401  (a fixture)

from bench.science import universal
from fitness.protocol import near_pairs
from fitness.zoo.naive import naive_scores
from models.benchmarks.origins import load_benchmark
from models.tokens import PASSAGE

RNG = np.random.default_rng(2)


def test_the_tau_of_near_pairs_is_that_of_the_protocol(tiny_benchmark: Path) -> None:
    benchmark = load_benchmark(str(tiny_benchmark))
    scores = RNG.integers(0, 5, len(benchmark)).astype(float)
    sizes = naive_scores("#params", benchmark.architectures).astype(float)
    found, wanted = universal.pairs_of_one_size(scores, benchmark.quality, sizes), near_pairs(scores, benchmark)
    assert found.count == wanted["pairs"] > 10 and found.tau == pytest.approx(wanted["kendall"], abs=1e-6)


def test_the_jackknife_leaves_one_architecture_out_at_a_time() -> None:
    scores, quality, sizes = RNG.normal(size=12), RNG.normal(size=12), RNG.uniform(100, 115, 12)
    found = universal.pairs_of_one_size(scores, quality, sizes)
    left = [np.delete(np.arange(12), place) for place in range(12)]
    without = [universal.pairs_of_one_size(scores[k], quality[k], sizes[k]).tau for k in left]
    assert found.without == pytest.approx(without)
    assert found.error == pytest.approx(np.sqrt(11 / 12 * np.sum((without - np.mean(without)) ** 2)))


def test_no_pair_of_a_size_is_no_figure() -> None:
    found = universal.pairs_of_one_size(np.arange(3.0), np.arange(3.0), np.array([1.0, 10.0, 100.0]))
    assert found.count == 0 and np.isnan(found.tau) and np.isnan(found.error)


def test_the_second_text_fills_the_batch_and_is_another_one() -> None:
    text = universal.TEXT.read_text()
    assert len(text.encode()) >= 4 * 64 and text.isascii() and text[:64] != PASSAGE[:64]


def test_every_ranking_has_its_figures_and_formulas_are_repeated(
    hall: Path, tiny_benchmark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "found.json"
    words = [str(hall), "--benchmark", str(tiny_benchmark), "--sample", "6", "--bank", str(tmp_path), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["universal", *words])
    universal.main()
    rows = {row["ranked by"]: row for row in json.loads(out.read_text())["rows"]}
    assert set(rows) == {"formula", "committee of 3", *universal.COUNTS}
    for who in ("formula", "committee of 3"):
        assert rows[who]["repeated"] == "6 of 30" and -1 <= rows[who]["rho, init"] <= 1
        assert rows[who]["ahead"] == pytest.approx(
            rows[who]["tau, near pairs"] - rows[rows[who]["of"]]["tau, near pairs"]
        )
    assert rows["formula"]["rho, text"] == pytest.approx(1)  # it reads weights alone
    assert "rho, init" not in rows["depth"] and "6 of 30" in capsys.readouterr().out
