"""Several benchmarks at once: one formula, one sign, the mean or the worst of its agreements."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from test_cli import SMALL, zcp

import cli
from fitness.across import AcrossTarget, BadAcross
from fitness.evaluation import Split
from fitness.features.workshop import Workshop
from fitness.objectives import agreement, evaluate_scores
from fitness.ranking import RankTarget
from gp.case import Case
from gp.choice import _folds
from gp.config import SearchConfig
from gp.hall_file import BadHall, HallDocument, load_hall
from gp.problem import SearchProblem
from models.benchmarks.origins import load_benchmark
from models.spaces import SPACES
from primitives.grammar import parse

RNG = np.random.default_rng(0)
QUALITIES = [RNG.normal(size=n) for n in (9, 14, 7)]
SCORES = np.stack([np.concatenate(QUALITIES) + RNG.normal(size=30), -np.concatenate(QUALITIES), RNG.normal(size=30)])


def target(how: str = "mean") -> AcrossTarget:
    return AcrossTarget(tuple(RankTarget.create(quality) for quality in QUALITIES), how)


def rhos(row: np.ndarray) -> list[float]:
    """rho of each part, by scipy."""
    parts = np.split(row, [9, 23])
    return [
        stats.spearmanr(part, quality).statistic if np.ptp(part) else 0.0
        for part, quality in zip(parts, QUALITIES, strict=True)
    ]


def test_the_mean_is_that_of_the_agreements_with_each_benchmark() -> None:
    assert agreement("spearman", target(), SCORES) == pytest.approx([np.mean(rhos(row)) for row in SCORES])


def test_the_worst_counts_on_the_side_of_the_mean_and_is_never_on_the_other() -> None:
    found = agreement("spearman", target("worst"), SCORES)
    assert found[0] == pytest.approx(min(rhos(SCORES[0]))) and found[1] == pytest.approx(-1)
    opposed = np.concatenate([QUALITIES[0], QUALITIES[1], -QUALITIES[2]])
    assert agreement("spearman", target("worst"), opposed[None])[0] == 0


def test_a_benchmark_whose_architectures_all_score_alike_counts_0() -> None:
    row = np.concatenate([QUALITIES[0], np.full(14, 3.0), QUALITIES[2]])
    assert agreement("kendall", target(), row[None])[0] == pytest.approx(2 / 3)


def test_formulas_that_rank_alike_inside_every_benchmark_are_one() -> None:
    shifted = SCORES[0] + np.repeat([0.0, 100.0, -100.0], [9, 14, 7])
    one, two = evaluate_scores(
        [parse("sum[ abs(W) ]"), parse("sum[ abs(G) ]")], np.stack([SCORES[0], shifted]), target()
    )
    assert one.ranking == two.ranking and one.fitness == two.fitness


def test_some_architectures_are_those_of_each_benchmark_and_a_small_rest_goes() -> None:
    places = np.array([0, 2, 4, 5, 10, 12, 23, 25, 28])
    kept = target().enough(places)
    assert kept.tolist() == [0, 2, 4, 5, 23, 25, 28]
    part = target().only(kept)
    assert [len(each.values) for each in part.parts] == [4, 3]
    assert part.parts[1].values.tolist() == QUALITIES[2][[0, 2, 5]].tolist()


def test_a_way_that_nobody_knows_is_refused() -> None:
    with pytest.raises(BadAcross, match="got 'median' of 3 targets"):
        target("median")


@pytest.fixture(scope="module")
def other_benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty FlexiBERT architectures whose depth and width, with noise, are what they are worth."""
    rng, space = random.Random(4), SPACES["flexibert"]
    path = tmp_path_factory.mktemp("other") / "other.jsonl"
    lines = [json.dumps({"schema": 1, "space": "flexibert", "metric": "score", "higher_is_better": True})]
    for place in range(20):
        config = space.sample(rng)
        depth, width = space.shape(space.architecture(f"f{place}", config))
        lines.append(json.dumps({"id": f"f{place}", "config": dict(config), "score": depth * width + rng.gauss(0, 60)}))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def cases(tiny_benchmark: Path, other_benchmark: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    found = []
    for path in (tiny_benchmark, other_benchmark):
        benchmark = load_benchmark(str(path))
        workshop = Workshop.open(
            benchmark.space, batch=2, length=24, devices="cpu", bank=tmp_path_factory.mktemp("bank")
        )
        found.append(Case(benchmark, workshop, Split(tuple(range(8)), tuple(range(8, len(benchmark))))))
    return found


def test_a_problem_of_two_spaces_scores_as_each_alone_and_folds_leave_a_whole_one_out(cases: list[Case]) -> None:
    config = SearchConfig(n_unary=1, inputs=("A", "W"))
    both = SearchProblem.of(cases, config)
    proxies = [parse("sum[ abs(W) ]"), parse("difference( mean[ pow2(A) ], last[ abs(W) ] )")]
    alone = [SearchProblem.of([case], config).scores(proxies) for case in cases]
    assert both.scores(proxies) == pytest.approx(np.hstack(alone)) and both.lesson is None
    assert np.hstack([c.exact_scores(proxies[:1]) for c in cases]) == pytest.approx(both.scores(proxies[:1]), rel=1e-3)
    left_out = [np.flatnonzero(fold).tolist() for fold in _folds(both, config)]
    assert left_out[-2:] == [list(range(8)), list(range(8, 16))] and len(left_out) == config.folds + 2


def evolved(tiny: Path, other: Path, out: Path, *more: object) -> tuple[int, str]:
    settings = ["--search-size", "10", *SMALL[2:]]
    done = zcp("evolve", "--benchmark", tiny, "--benchmark", other, *settings, "--bank", out.parent / "bank", *more)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def hall(tiny_benchmark: Path, other_benchmark: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "across"
    code, said = evolved(tiny_benchmark, other_benchmark, out, "--out", out)
    assert code == 0 and "other: correlation with score" in said, said
    return out / "hall_of_fame.json"


def test_a_hall_of_several_benchmarks_has_figures_on_each_and_one_sign(hall: Path) -> None:
    document = load_hall(hall)
    first, second = document.cases
    assert (first.space, second.space) == ("gpt2", "flexibert")
    assert len(second.split.search) == 10 and len(second.split.holdout) == 10
    for case in document.cases:
        assert len(case.figures) == len(document.proxies) and case.rivals and case.baselines
    for place, entry in enumerate(document.proxies):
        both = [case.figures[place] for case in document.cases]
        found = [(f.search["spearman"] + f.search["kendall"]) / 2 for f in both if f.search]
        assert entry.formula.fitness == pytest.approx(np.mean(found), abs=2e-6) and len(found) == 2
        assert entry.holdout == {
            "n": sum(f.holdout["n"] for f in both), "invalid": 0,
            **{name: round(sum(f.holdout[name] for f in both) / 2, 6) for name in ("spearman", "kendall", "kendall_a")},
        }  # fmt: skip


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_a_resumed_run_too(
    hall: Path, tiny_benchmark: Path, other_benchmark: Path
) -> None:
    out = hall.parent.parent / "short"
    code, _ = evolved(tiny_benchmark, other_benchmark, out, "--out", out, "--patience", "1")
    assert code == 0
    done = zcp("evolve", "--resume", out, "--bank", out.parent / "bank", "--devices", "cpu")
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((folder / "hall_of_fame.json").read_text()) for folder in (hall.parent, out))
    assert first == second


def test_replay_knows_the_split_of_either_benchmark(hall: Path, other_benchmark: Path) -> None:
    bank = hall.parent.parent / "bank"
    done = zcp("replay", hall, "--benchmark", other_benchmark, "--bank", bank, "--devices", "cpu", "--format", "json")
    assert done.returncode == 0, done.stderr
    replayed, case = json.loads(done.stdout), load_hall(hall).cases[1]
    assert replayed["proxies"][0]["holdout"] == case.figures[0].holdout and not replayed["transfer"]
    assert replayed["split"] == {"search": list(case.split.search), "holdout": list(case.split.holdout)}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--benchmark", "TINY"], "twice, wanted different ones"),
        (["--space", "gpt2"], "--space: got gpt2 with 2 benchmarks; leave it out"),
        (["--metric", "loss"], "--metric: got loss with 2 benchmarks; leave it out"),
        (["--across", "median"], "median"),
    ],
)
def test_a_mistake_with_several_benchmarks_is_one_line(
    tiny_benchmark: Path, other_benchmark: Path, more: list[str], reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    given = [str(tiny_benchmark) if word == "TINY" else word for word in more]
    code = cli.main(["evolve", "--benchmark", str(tiny_benchmark), "--benchmark", str(other_benchmark), *given])
    error = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(error) == 1 and reason in error[0]


def test_a_damaged_case_is_refused_with_the_place(hall: Path) -> None:
    data = json.loads(hall.read_text())
    data["cases"][1]["figures"].pop()
    with pytest.raises(BadHall, match=r"cases\[1\]: figures: got .*, wanted 10 entries|one for each formula"):
        HallDocument.from_dict({key: value for key, value in data.items() if key != "digest"})
