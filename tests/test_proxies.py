"""The committed champions: whole records that load, whose formulas pass every rule, and scores that come out again.

After proxies/universal.json has changed, make its scores anew: PYTHONPATH=.:tests python tests/test_proxies.py
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

import cli
from fitness.features.workshop import Workshop
from gp.hall_file import load_hall
from models.benchmarks.origins import ORIGINS, load_benchmark
from models.spaces import SPACES
from primitives.pps import violation

FILES = sorted((Path(__file__).resolve().parent.parent / "proxies").glob("*.json"))
UNIVERSAL = next(path for path in FILES if path.stem == "universal")
SCORES = Path(__file__).with_name("universal_scores.json")


def test_every_benchmark_has_its_champions_and_all_together_have_some() -> None:
    assert {path.stem for path in FILES} == set(ORIGINS) | {"universal"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_champions_load_with_their_record(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = load_hall(path)
    assert document.ending is not None and not document.ending.early
    assert document.benchmark.name == path.stem or path == UNIVERSAL
    most = 80 if path == UNIVERSAL else 50
    assert len(document.split.search) <= most and len(document.split.holdout) > 50
    assert (
        document.baselines and document.evaluations > 5_000
    )  # all branches of the space; millions where they are joined
    for record in document.proxies:
        assert violation(record.proxy) is None and record.holdout is not None and record.fidelity is not None
    assert cli.main(["show", str(path)]) == 0
    assert document.proxies[0].proxy.text in " ".join(capsys.readouterr().out.split())


def embedded() -> list[str]:
    """The benchmarks of the universal formula that every checkout has."""
    document = load_hall(UNIVERSAL)
    names = [document.benchmark.name, *(case.benchmark.name for case in document.others)]
    return [name for name in names if ORIGINS[name].embedded]


def few_scores(name: str, bank: Path) -> dict[str, float]:
    """Exact scores of its first formula on the five smallest architectures that the search saw, by id."""
    document = load_hall(UNIVERSAL)
    splits = {c.benchmark.name: c.split for c in document.others} | {document.benchmark.name: document.split}
    benchmark = load_benchmark(name)
    seen = [a for a in benchmark.architectures if a.id in splits[name].search]
    few = sorted(seen, key=lambda a: (SPACES[a.space].parameters(a).total, a.id))[:5]
    workshop = Workshop.open(
        benchmark.space, batch=document.config["batch"], length=document.config["seq_len"], devices="cpu", bank=bank
    )
    row = workshop.exact_scores([document.proxies[0].proxy], few)[0]
    return {a.id: float(score) for a, score in zip(few, row, strict=True)}


def test_the_universal_formula_was_evolved_on_what_is_pinned() -> None:
    document = load_hall(UNIVERSAL)
    for ref in (document.benchmark, *(case.benchmark for case in document.others)):
        assert ref.digest == ORIGINS[ref.name].digest
    assert document.others and embedded() and document.proxies[0].fidelity


@pytest.mark.parametrize("name", embedded())
def test_the_universal_formula_scores_as_on_record(name: str, tmp_path: Path) -> None:
    kept = json.loads(SCORES.read_text())
    assert kept["text"] == load_hall(UNIVERSAL).proxies[0].proxy.text, "make the scores anew, as said above"
    assert few_scores(name, tmp_path) == pytest.approx(kept["scores"][name], rel=1e-4)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        found = {name: few_scores(name, Path(folder)) for name in embedded()}
    record = {"text": load_hall(UNIVERSAL).proxies[0].proxy.text, "scores": found}
    SCORES.write_text(json.dumps(record, indent=1) + "\n")
