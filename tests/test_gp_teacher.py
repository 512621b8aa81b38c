"""Formulas evolved against a teacher: the pool, what the teacher says of it, the branches that add most, the search."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from test_cli import SMALL

import cli
from fitness.evaluation import split_groups
from fitness.features.workshop import Workshop
from fitness.predictors.members import rank_targets
from fitness.predictors.numbers import NumberTable, number_table
from fitness.predictors.teacher import taught
from fitness.ranking import RankTarget
from gp.additions import Additions
from gp.benchmark_search import PreparedSearch, search
from gp.case import Case
from gp.choice import chosen_kind
from gp.config import BadConfig, SearchConfig
from gp.lesson import TRUST, Lesson
from gp.pool import drawn_pool
from gp.problem import SearchProblem
from gp.sweeps import Singles, Sweeper
from models.architecture import Architecture
from models.benchmarks.origins import load_benchmark
from models.spaces import DRAWABLE, SPACES
from primitives.grammar import parse

ALWAYS = SearchConfig(
    n_unary=1, inputs=("A", "W", "S"), aggregates=("mean", "sum"), teacher="always", pool=8, teacher_branches=5,
    iterations=60, population=16, brood=10, sweeps=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def lesson(tiny_architectures: list[Architecture], tmp_path_factory: pytest.TempPathFactory) -> Lesson:
    """Fourteen labelled networks; the sixteen others are the pool."""
    workshop = Workshop.open("gpt2", batch=2, length=24, devices="cpu", bank=tmp_path_factory.mktemp("bank"))
    numbers = number_table(tiny_architectures)
    quality = np.random.default_rng(3).normal(size=14)
    return Lesson(workshop, tiny_architectures[:14], tiny_architectures[14:], numbers, quality)


@pytest.mark.parametrize("space", DRAWABLE)
def test_a_pool_stays_in_the_range_of_what_was_seen(space: str) -> None:
    rng, of = random.Random(1), SPACES[space]
    seen = [of.architecture(f"a{i}", of.sample(rng)) for i in range(20)]
    pool = drawn_pool(seen, 12)
    assert len({a.digest for a in pool} | {a.digest for a in seen}) == 32
    assert {of.shape(a)[1] for a in pool} <= {of.shape(a)[1] for a in seen}
    assert {of.shape(a)[0] for a in pool} <= {of.shape(a)[0] for a in seen}
    assert [a.digest for a in drawn_pool(seen[::-1], 12)] == [a.digest for a in pool]
    assert [a.digest for a in drawn_pool(seen, 5)] == [a.digest for a in pool[:5]]


def test_three_networks_of_one_width_are_enough_to_draw_from() -> None:
    def network(name: str, width: int, inner: list[int]) -> Architecture:
        sizes = {"n_layer": 2, "d_model": width, "d_embed": width, "n_head": [2, 2], "d_inner": inner}
        more = {"div_val": 1, "n_token": 300, "tgt_len": 64, "cutoffs": [100, 200]}
        return SPACES["gpt2"].architecture(name, sizes | more)

    wide = [network(f"w{i}", 32, [130 + i, 140 + i]) for i in range(3)]
    pool = drawn_pool([*wide, network("n", 16, [150, 150])], 20)
    assert pool and {a.config["d_model"] for a in pool} == {32}


def test_fields_that_no_network_varies_are_equal_in_every_block_of_a_pool(
    tiny_architectures: list[Architecture],
) -> None:
    even = []
    for i, old in enumerate(tiny_architectures):
        config = dict(old.config)
        depth = config["n_layer"]
        even.append(SPACES["gpt2"].architecture(f"e{i}", {**config, "n_head": [(2, 4)[i % 2]] * depth}))
    pool = drawn_pool(even, 20)
    assert len(pool) == 20 and all(len(set(a.config["n_head"])) == 1 for a in pool)
    assert any(len(set(a.config["d_inner"])) > 1 for a in pool)


def test_a_teacher_knows_the_labels_of_its_rows_alone() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 2))
    names = ("log depth", "log width", "log attention", "log ffn", "log total")
    numbers = NumberTable(names, np.hstack([values, values @ rng.normal(size=(2, 3))]))
    truth = values @ np.array([1.0, 2.0])
    seen = np.arange(25)
    said = taught(numbers, seen, rank_targets(truth[seen]))
    assert stats.spearmanr(said[25:], truth[25:]).statistic > 0.95
    assert np.array_equal(said, taught(numbers, seen, rank_targets(truth[seen])))


def test_labels_are_drawn_towards_the_teacher_and_the_pool_is_what_it_says(lesson: Lesson) -> None:
    target, said = lesson.target(), lesson.says(np.arange(14))
    assert np.array_equal(said, taught(lesson.numbers, np.arange(14), rank_targets(lesson.quality)))
    assert np.allclose(target.values[14:], said[14:])
    labels = target.values[:14] - (1 - TRUST) * said[:14]
    assert np.allclose(labels / TRUST, rank_targets(lesson.quality))


@pytest.mark.parametrize(("worse", "chosen"), [(False, "distilled"), (True, "coarse")])
def test_the_teacher_has_to_rank_left_out_networks_better_than_formulas(
    worse: bool, chosen: str, lesson: Lesson, problem: SearchProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Formulas are worth .4 here; the size of a network says more, and that of another one nothing."""
    numbers = lesson.numbers
    clear = RankTarget.create(numbers.of(["log total"])[:14, 0])
    values = np.random.default_rng(0).permutation(numbers.values) if worse else numbers.values
    taught_here = replace(
        problem, target=clear, lesson=replace(lesson, numbers=NumberTable(numbers.names, values), quality=clear.values)
    )
    monkeypatch.setattr("gp.choice._rehearsed", lambda part, sweeper, kind, *more: [kind])
    monkeypatch.setattr("gp.choice._worth", lambda found, *more: {"fine": 0.2, "coarse": 0.4}[found[0]])
    assert chosen_kind(taught_here, Sweeper(taught_here, Singles((), np.empty((0, 14)))), ALWAYS) == chosen


def test_where_formulas_are_not_distilled_a_search_is_that_without_a_teacher(
    tiny_problem: SearchProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gp.choice._worth_of_teacher", lambda *given: -1.0)
    monkeypatch.setattr(SearchProblem, "distilled", lambda *given: pytest.fail("features of a pool"))
    auto = replace(ALWAYS, teacher="auto")
    first, other = (
        PreparedSearch.of(problem, config).evolve().state
        for problem, config in ((tiny_problem, auto), (replace(tiny_problem, lesson=None), auto))
    )
    assert first.hall.champions == other.hall.champions and first.evaluations == other.evaluations


def test_the_branches_that_add_most_are_those_that_leave_least_unexplained() -> None:
    rng = np.random.default_rng(2)
    values, quality = rng.normal(size=(30, 25)), rng.normal(size=25)
    values[7] = 3.0  # a constant one adds nothing
    rest = np.stack([values[3] * 2 + 1, values[11]])
    ranks = stats.rankdata(quality)

    def left(row: np.ndarray) -> float:
        columns = np.column_stack([np.ones(25), *rest, row])
        return float(np.linalg.lstsq(columns, ranks, rcond=None)[1].sum() or np.inf)

    others = [place for place in range(30) if place not in (3, 7, 11)]
    found = Additions.of(values, quality, 1e-9).best(rest, 5).tolist()
    assert found == sorted(others, key=lambda place: left(values[place]))[:5]


@pytest.mark.parametrize(
    ("text", "hole"),
    [
        ("mean[ abs(A) ]", 1), ("mean[ abs(A) ]", 0), ("difference( mean[ abs(A) ], sum[ exp(W) ] )", 2),
        ("sum( product( mean[ abs(A) ], sum[ W ] ), mean[ exp(S) ] )", 2),
        ("product( sum( mean[ abs(A) ], sum[ abs(W) ] ), mean[ exp(S) ] )", 1),
        ("sum( product( mean[ abs(A) ], sum[ W ] ), mean[ exp(S) ] )", 0),
    ],
)  # fmt: skip
def test_neighbours_agree_with_the_teacher_best_first_and_differ_in_one_branch(
    tiny_problem: SearchProblem, text: str, hole: int
) -> None:
    problem = tiny_problem.distilled()
    sweeper = Sweeper.create(problem, ALWAYS).only(problem)
    proxy = parse(text).canonical()
    found, compared = sweeper(proxy, hole)
    proxies = list(found)
    worth = np.abs(problem.agreement(problem.scores(list(problem.fitted(proxies)))))
    assert len(proxies) > 3 and np.all(np.diff(worth) <= 1e-9) and compared >= len(sweeper.singles.proxies)
    kept = [str(branch) for at, branch in enumerate(proxy.branches) if at != hole]
    assert all(len(other.branches) - 1 == len(kept) for other in proxies)
    assert all(set(kept) <= {str(branch) for branch in other.branches} for other in proxies)
    assert worth[0] >= np.abs(problem.agreement(problem.scores(list(problem.fitted([proxy])))))[0] - 1e-9


@pytest.fixture(scope="module")
def tiny_problem(tiny_benchmark: Path, tmp_path_factory: pytest.TempPathFactory) -> SearchProblem:
    benchmark = load_benchmark(str(tiny_benchmark))
    workshop = Workshop.open("gpt2", batch=2, length=24, devices="cpu", bank=tmp_path_factory.mktemp("bank"))
    split = split_groups(benchmark.groups, 16, 42)
    return SearchProblem.open(benchmark, split.search, workshop, ALWAYS)


def test_a_distilled_formula_is_long_and_pays_for_its_length(tiny_problem: SearchProblem) -> None:
    prepared = PreparedSearch.of(tiny_problem, ALWAYS)
    assert prepared.problem.distils and prepared.config == ALWAYS.distilling()
    first, again = prepared.evolve().hall.best, PreparedSearch.of(tiny_problem, ALWAYS).evolve().hall.best
    assert first is not None and first == again and len(first.proxy.branches) > 1 and "*" in first.proxy.text
    free = replace(prepared.problem, price=1e-12).evaluate([first.proxy.without_constants()])[0]
    assert first.fitness == pytest.approx(free.fitness - prepared.problem.price * first.proxy.complexity, abs=1e-6)


def test_without_a_teacher_nothing_is_drawn(
    tiny_benchmark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gp.lesson.drawn_pool", lambda *given: pytest.fail("drawn"))
    benchmark = load_benchmark(str(tiny_benchmark))
    workshop = Workshop.open("gpt2", batch=2, length=24, devices="cpu", bank=tmp_path)
    split = split_groups(benchmark.groups, 16, 42)
    for change in ({"teacher": "none"}, {"teacher": "auto", "folds": 0}, {"teacher": "auto", "algorithm": "random"}):
        problem = SearchProblem.open(benchmark, split.search, workshop, replace(ALWAYS, **change))
        assert problem.lesson is None and problem.table.count == len(split.search)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"algorithm": "lpzero"}, "--algorithm lpzero"), ({"operators": ("product",)}, "without sum and difference"),
        ({"objective": "pairs"}, "--objective pairs"), ({"nested": True}, "--nested"),
    ],
)  # fmt: skip
def test_a_teacher_that_cannot_be_asked_is_refused_where_it_must(change: dict, why: str) -> None:
    with pytest.raises(BadConfig, match=why):
        replace(ALWAYS, **change)
    assert not replace(ALWAYS, teacher="auto", **change).teaches


def test_a_search_with_a_teacher_scores_its_hall_exactly(tiny_benchmark: Path, tmp_path: Path) -> None:
    benchmark = load_benchmark(str(tiny_benchmark))
    workshop = Workshop.open("gpt2", batch=2, length=24, devices="cpu", bank=tmp_path)
    found = search([Case(benchmark, workshop, split_groups(benchmark.groups, 16, 42))], ALWAYS)
    assert found.complete and found.hall.best is not None and found.config == ALWAYS
    assert 0.3 < found.hall.best.fitness < 1


@pytest.mark.slow
def test_a_search_with_a_teacher_goes_on_where_it_was_stopped(tiny_benchmark: Path, tmp_path: Path) -> None:
    asked = [
        "evolve",
        "--benchmark",
        str(tiny_benchmark),
        *SMALL,
        "--teacher",
        "always",
        "--pool",
        "6",
        "--n-unary",
        "1",
    ]
    bank = ["--bank", str(tmp_path / "bank")]
    assert cli.main([*asked, *bank, "--out", str(tmp_path / "whole")]) == 0
    assert cli.main([*asked, *bank, "--time-budget", "0.001s", "--out", str(tmp_path / "stopped")]) == 0
    halls = [tmp_path / name / "hall_of_fame.json" for name in ("whole", "stopped")]
    assert halls[0].read_bytes() != halls[1].read_bytes()
    assert cli.main(["evolve", "--resume", str(tmp_path / "stopped"), "--time-budget", "1h", *bank]) == 0
    whole, stopped = (json.loads(hall.read_text()) for hall in halls)
    assert whole["proxies"] == stopped["proxies"]


@pytest.mark.slow
def test_the_command_starts_from_a_formula_and_ends_with_a_verdict(
    tiny_benchmark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def evolved(*more: object) -> tuple[int, str]:
        where = ("--benchmark", tiny_benchmark, *SMALL, "--bank", tmp_path / "bank", *more)
        return cli.main(["evolve", *map(str, where)]), capsys.readouterr().err

    start, run = "sum( mean[ abs(A) ], sum[ pow2(W) ] )", tmp_path / "run"
    code, said = evolved("--teacher", "always", "--pool", "6", "--start", start, "--out", run)
    assert code == 0, said
    assert "formulas distilled from a teacher on networks without labels; features of 6" in said
    assert "verdict: on 14 held-out architectures of tiny the champion has tau-b " in said
    config = json.loads((run / "config.json").read_text())
    assert config["search"]["start"] == [parse(start).canonical().text] or config["search"]["start"] == [start]
    hall = run / "hall_of_fame.json"
    code, said = evolved("--start", hall, "--iterations", "5", "--branches", "8", "--out", tmp_path / "again")
    assert code == 0, said
    code, said = evolved("--start", "mean[ exp(exp(exp(W))) ]", "--out", tmp_path / "bad")
    assert code == 1 and "got 3 operators" in said and not (tmp_path / "bad").exists()
