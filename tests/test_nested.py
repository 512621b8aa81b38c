"""Nested networks: families in which one size grows, and formulas that are held to grow with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from test_cli import SMALL, zcp

import cli
from fitness.across import AcrossTarget
from fitness.evaluation import Split
from fitness.features.workshop import Workshop
from fitness.growth import WANTED, GrowthTarget
from fitness.objectives import agreement, ranking_identities
from fitness.ranking import RankTarget
from gp.case import Case, nested_of
from gp.config import BadConfig, SearchConfig
from gp.problem import SearchProblem
from models.architecture import Architecture
from models.benchmarks.origins import load_benchmark
from models.nested import NESTED, SIZES, NestedFamily, nested_families
from models.spaces import DRAWABLE, SPACES
from primitives.grammar import parse

QUALITY = np.arange(6.0)


def family(size: str, count: int) -> NestedFamily:
    config = SPACES["gpt2"].architecture("x", nested_families("gpt2", 8)[0].architectures[0].config).config
    return NestedFamily(size, tuple(Architecture.create(f"{size}{i}", "gpt2", dict(config)) for i in range(count)))


def growth(start: int = 6) -> GrowthTarget:
    """Two steps of depth, one of width, one of ffn, behind six architectures."""
    return GrowthTarget.create([family("depth", 3), family("width", 2), family("ffn", 2)], start)


def rows(*nested: list[float]) -> np.ndarray:
    return np.array([[*QUALITY, *each] for each in nested])


UP, FLAT, DOWN = [0.0, 1, 2, 0, 1, 0, 1], [0.0, 1, 2, 0, 1, 1, 1], [2.0, 1, 0, 1, 0, 1, 0]


def test_every_space_that_is_drawn_from_has_families() -> None:
    assert set(NESTED) == set(DRAWABLE)


@pytest.mark.parametrize("space", NESTED)
def test_a_family_has_one_training_budget_and_every_size_has_three_of_them(space: str) -> None:
    shares: dict[str, set[int]] = {size: set() for size in SIZES}
    for each in nested_families(space, 32):
        small, large = each.architectures
        assert small.tokens == large.tokens
        shares[each.size].add(round((large.tokens or 0) / SPACES[space].parameters(large).decoder))
    assert set(map(tuple, map(sorted, shares.values()))) == {(1, 20, 400)}


@pytest.mark.parametrize("space", NESTED)
def test_each_network_of_a_family_contains_the_one_before(space: str) -> None:
    found = nested_families(space, 32)
    assert {each.size for each in found} == set(SIZES) and found == nested_families(space, 32)
    for each in found:
        small, large = each.architectures
        counts = [SPACES[space].parameters(a) for a in each.architectures]
        assert counts[0].decoder < counts[1].decoder and SPACES[space].limits(small)[0] >= 32
        shapes = [SPACES[space].shape(a) for a in each.architectures]
        grown = tuple(size for size, x, y in zip(("depth", "width"), *shapes, strict=True) if x < y)
        assert grown == ((each.size,) if each.size != "ffn" else ())
        same = [k for k in small.config if small.config[k] == large.config[k]]
        assert len(small.config) - len(same) == (
            len(NESTED[space].width) if each.size == "width" else 1 if each.size == "ffn" else _depth_fields(space)
        )


def _depth_fields(space: str) -> int:
    fields = SPACES[space].fields
    assert fields is not None
    return len(fields.per_block) + (fields.depth is not None)


def test_shares_are_steps_up_less_steps_down_of_each_size() -> None:
    mixed = [0.0, 2, 1, 0, 1, 1, 0]
    assert growth().shares(rows(UP, FLAT, mixed)).tolist() == [[1, 1, 1], [1, 1, 0], [0, 1, -1]]


def test_what_a_formula_lacks_of_growing_is_taken_off_and_never_below_0() -> None:
    target = AcrossTarget((RankTarget.create(QUALITY),), growth=growth())
    found = agreement("spearman", target, np.vstack([rows(UP, FLAT, DOWN), -rows(UP)]))
    assert WANTED == 0.9 and found == pytest.approx([1, 0.1, 0, -1])


def test_formulas_that_differ_on_nested_networks_alone_are_two() -> None:
    target = AcrossTarget((RankTarget.create(QUALITY),), growth=growth())
    first, second, third = ranking_identities(target, rows(UP, FLAT, UP))
    assert first == third != second


def test_a_fold_keeps_the_steps_whose_networks_are_both_left() -> None:
    part = growth().only(np.array([0, 2, 5, 6, 7, 9, 10, 12]), 3)
    assert part.steps.tolist() == [[3, 4], [5, 6]] and part.own == slice(3, 8)
    assert [SIZES[size] for size in part.sizes] == ["depth", "width"]


@pytest.fixture(scope="module")
def case(tiny_benchmark: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    benchmark = load_benchmark(str(tiny_benchmark))
    bank = tmp_path_factory.mktemp("bank")
    workshop = Workshop.open(benchmark.space, batch=2, length=24, devices="cpu", bank=bank)
    return Case(benchmark, workshop, Split(tuple(range(8)), tuple(range(8, len(benchmark)))))


def test_a_problem_scores_nested_networks_behind_the_others(case: Case) -> None:
    problem = SearchProblem.of([case], SearchConfig(n_unary=1, inputs=("W",), nested=True))
    (nested,) = nested_of([case])
    proxy = parse("sum[ pow2(frobenius_norm(W)) ]")
    assert isinstance(problem.target, AcrossTarget) and problem.target.growth is not None
    scores = problem.scores([proxy])
    assert scores[0, 8:] == pytest.approx(nested.exact_scores([proxy])[0], rel=1e-3)
    assert problem.target.growth.shares(scores).tolist() == [[1, 1, 1]]
    assert len(problem.only(np.arange(6)).scores([proxy])[0]) == 6


def test_probes_want_as_much_repetition_as_the_search_says(case: Case) -> None:
    texts = [f"{a}[ {o}({i}) ]" for a in ("mean", "last") for o in ("abs", "exp", "to_mean") for i in "AJGHS"]
    kept = []
    for least in (0.5, 1.0):
        predict = SearchProblem.of([case], SearchConfig(n_unary=1, retest=least)).predict
        assert predict is not None
        kept.append(
            {text for text, rule in zip(texts, predict([parse(t) for t in texts]), strict=True) if rule is None}
        )
    assert kept[1] < kept[0]


def test_nested_networks_have_fresh_weights_of_the_first_build(tmp_path: Path) -> None:
    trained = Workshop.open("llama", build="as_trained", devices="cpu", bank=tmp_path)
    assert trained.fresh().bank.key == Workshop.open("llama", devices="cpu", bank=tmp_path).bank.key


@pytest.mark.slow
def test_a_search_held_to_growth_says_so_in_its_hall(tiny_benchmark: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = zcp("evolve", "--benchmark", tiny_benchmark, *SMALL, "--nested", "--bank", tmp_path / "bank", "--out", out)
    assert done.returncode == 0 and "and of nested networks" in done.stderr, done.stderr
    config = json.loads((out / "hall_of_fame.json").read_text())["config"]
    assert config["search"]["nested"] is True


def test_a_space_without_families_is_refused_before_a_run_has_a_folder(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sizes = {"model_type": "llama", "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 256}
    lines = [{"schema": 1, "space": "hf", "metric": "loss", "higher_is_better": False}]
    lines += [{"id": f"n{i}", "config": {**sizes, "hidden_size": 8 * (i + 1)}, "loss": 1 / (i + 1)} for i in range(24)]
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    code = cli.main(
        ["evolve", "--benchmark", str(path), "--search-size", "12", "--nested", "--out", str(tmp_path / "run")]
    )
    error = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(error) == 1 and not (tmp_path / "run").exists()
    assert "--nested: got the space hf, wanted one of gpt2, llama, flexibert among them" in error[0]


def test_constants_are_not_fitted_to_networks_without_labels() -> None:
    with pytest.raises(BadConfig, match="nested: got True, wanted false with constants"):
        SearchConfig(nested=True, constants=True)
