"""The committed champions: whole records that load, and whose formulas pass every rule."""

from __future__ import annotations

from pathlib import Path

import pytest

import cli
from gp.hall_file import load_hall
from models.benchmarks.origins import ORIGINS
from primitives.pps import violation

FILES = sorted((Path(__file__).resolve().parent.parent / "proxies").glob("*.json"))
AWAITED = {"openlm-grid"}  # whose champion is not evolved yet


def test_every_benchmark_has_its_champions() -> None:
    assert {path.stem for path in FILES} == set(ORIGINS) - AWAITED


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_champions_load_with_their_record(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = load_hall(path)
    assert document.benchmark.name == path.stem and document.ending is not None and not document.ending.early
    assert len(document.split.search) <= 50 < len(document.split.holdout)
    assert (
        document.baselines and document.evaluations > 5_000
    )  # all branches of the space; millions where they are joined
    for record in document.proxies:
        assert violation(record.proxy) is None and record.holdout is not None and record.fidelity is not None
    assert cli.main(["show", str(path)]) == 0
    assert document.proxies[0].proxy.text in " ".join(capsys.readouterr().out.split())
