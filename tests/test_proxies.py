"""The committed champions: whole records that load, whose formulas pass every rule, and scores that come out again.

After proxies/universal.json has changed, make its scores anew: PYTHONPATH=.:tests python tests/test_proxies.py
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click
import pytest

import cli
from bench.science.law import BENCHMARKS
from commands.evolve import evolve
from fitness.features.workshop import Workshop
from gp.config import PRESETS
from gp.hall_file import load_hall
from models.benchmarks.origins import ORIGINS, load_benchmark
from models.spaces import SPACES
from primitives.pps import violation

FILES = sorted((Path(__file__).resolve().parent.parent / "proxies").glob("*.json"))
UNIVERSAL = next(path for path in FILES if path.stem == "universal")
SCORES = Path(__file__).with_name("universal_scores.json")


WITHOUT = {
    "gpt2-budgets", "llama-budgets", "gpt2-lm1b-pareto", "transxl-lm1b-pareto", "depth-at-constant-size",
    "smollm2-subnets", "llama-cut",
}  # fmt: skip
"""Benchmarks for testing formulas of others, tables of several training budgets, and subnets of a checkpoint: nothing
that was evolved on them is saved yet."""


def test_every_benchmark_has_its_champions_and_all_together_have_some() -> None:
    assert {path.stem for path in FILES} == (set(ORIGINS) - WITHOUT) | {"universal"} and set(ORIGINS) > WITHOUT


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_champions_load_with_their_record(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = load_hall(path)
    assert document.ending is not None and not document.ending.early
    names = [case.benchmark.name for case in document.cases]
    assert names == [path.stem] or (path == UNIVERSAL and len(names) == len(BENCHMARKS))
    for case in document.cases:
        assert len(case.split.search) <= (100 if path == UNIVERSAL else 50) and len(case.split.holdout) > 12
        assert case.baselines and case.place == case.benchmark.name and len(case.figures) == len(document.proxies)
    # All branches of the space, millions where they are joined; the laws of shape were fitted, not searched for.
    assert document.evaluations == len(document.proxies) == 4 if path == UNIVERSAL else document.evaluations > 5_000
    for record in document.proxies:
        assert violation(record.proxy) is None and record.holdout is not None
    assert cli.main(["show", str(path)]) == 0
    assert document.proxies[0].proxy.text in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("path", [path for path in FILES if path != UNIVERSAL], ids=lambda path: path.stem)
def test_the_recorded_options_are_those_of_the_search(path: Path) -> None:
    """As the parser of evolve reads them, without a search."""
    document, asked = load_hall(path), {}
    command = click.Command("evolve", params=evolve.params, callback=lambda **given: asked.update(given))
    command.main(list(document.config["options"]), standalone_mode=False)
    assert list(asked["names"]) == [case.place for case in document.cases]
    assert asked["search_size"] == document.config["search_size"] and asked["seed"] == document.seed
    searched = {name: asked[name] for name in document.config["search"] if isinstance(asked.get(name), int | float)}
    preset = PRESETS[asked["preset"]]
    for name, value in {**searched, **preset}.items():
        recorded = document.config["search"].get(name, value)
        assert recorded == (list(value) if isinstance(value, tuple) else preset.get(name, value)), name


def embedded() -> list[str]:
    """The benchmarks of the universal formula that every checkout has."""
    document = load_hall(UNIVERSAL)
    names = [case.benchmark.name for case in document.cases]
    return [name for name in names if ORIGINS[name].embedded]


def few_scores(name: str, bank: Path) -> dict[str, float]:
    """Exact scores of its first formula on the five smallest architectures that the search saw, by id."""
    document = load_hall(UNIVERSAL)
    benchmark = load_benchmark(name)
    seen = next(case.known for case in document.seen.cases if case.name == name)
    few = sorted(seen, key=lambda a: (SPACES[a.space].parameters(a).total, a.id))[:5]
    workshop = Workshop.open(
        benchmark.space, batch=document.config["batch"], length=document.config["seq_len"], devices="cpu", bank=bank
    )
    row = workshop.exact_scores([document.proxies[0].proxy], few)[0]
    return {a.id: float(score) for a, score in zip(few, row, strict=True)}


def test_the_universal_formula_was_fitted_to_what_is_pinned_and_reads_the_training_budget() -> None:
    document = load_hall(UNIVERSAL)
    for case in document.cases:
        assert ORIGINS[case.benchmark.name].digest in ("", case.benchmark.digest)
    for name in embedded():
        assert load_benchmark(name).digest in {case.benchmark.digest for case in document.cases}
    assert [case.benchmark.name for case in document.cases] == list(BENCHMARKS)
    assert embedded() and document.cases[0].figures[0].fidelity and document.proxies[0].proxy.reads_budget
    assert document.config["command"].startswith("python -m bench.science.law --out")


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
