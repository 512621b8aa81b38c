"""The choice of the kind of formula, and how formulas are judged on architectures that they were not chosen by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fitness.across import AcrossTarget
from fitness.evaluation import Evaluation
from fitness.ranking import RankTarget
from gp.benchmark_search import PreparedSearch
from gp.choice import BEST, _rehearsal, chosen_kind, led_by_consensus
from gp.config import PRESETS, SearchConfig
from gp.evolution.variation import Exhausted
from gp.hall_of_fame import HallOfFame
from gp.problem import SearchProblem, is_coarse
from gp.sweeps import Interrupted, Sweeper
from primitives.grammar import parse

SMALL = SearchConfig(n_unary=1, inputs=("A", "W"), aggregates=("mean", "last"), folds=3)


@pytest.fixture(scope="module")
def sweeper(problem: SearchProblem) -> Sweeper:
    return Sweeper.create(problem, SMALL)


Asked = list[tuple[str, SearchConfig, SearchProblem]]


def stub(monkeypatch: pytest.MonkeyPatch, fine: float, coarse: float) -> Asked:
    """Formulas of the kinds are worth this much; what was asked is kept."""
    asked: Asked = []

    def rehearsed(part: SearchProblem, sweeper: Sweeper, kind: str, config: SearchConfig, stop: object) -> list[str]:
        asked.append((kind, config, part))
        return [kind] * 20

    def worth(found: Sequence[str], problem: SearchProblem, left_out: np.ndarray) -> float:
        assert len(found) == (1 if found[0] == "coarse" else BEST)
        return {"fine": fine, "coarse": coarse}[found[0]]

    monkeypatch.setattr("gp.choice._rehearsed", rehearsed)
    monkeypatch.setattr("gp.choice._worth", worth)
    return asked


@pytest.mark.parametrize(
    ("fine", "coarse", "chosen"),
    [
        (0.5, 0.6, "coarse"), (0.6, 0.5, "fine"), (0.5, 0.5, "fine"), (0.5, 0.5 + 3e-13, "fine"), (0.5, 0.5 + 2e-12, "coarse"), (-1, -1, "fine"),
    ],
)  # fmt: skip
def test_the_kind_that_ranks_left_out_architectures_best_is_chosen_of_equals_the_fine_one(
    fine: float, coarse: float, chosen: str, problem: SearchProblem, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = stub(monkeypatch, fine, coarse)
    assert chosen_kind(problem, sweeper, SMALL) == chosen
    assert [kind for kind, _, _ in asked] == ["fine", "coarse"] * SMALL.folds


def test_every_architecture_is_left_out_once_and_each_fold_has_a_seed_of_its_own(
    problem: SearchProblem, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = stub(monkeypatch, 0.5, 0.5)
    chosen_kind(problem, sweeper, SMALL)
    parts = [part for kind, _, part in asked if kind == "fine"]
    seen = [set(np.arange(14)[part.places].tolist()) for part in parts]
    assert sorted(place for places in seen for place in set(range(14)) - places) == list(range(14))
    assert all(len(part.target.values) == len(places) for part, places in zip(parts, seen, strict=True))
    assert len({config.seed for _, config, _ in asked}) == SMALL.folds
    other = stub(monkeypatch, 0.5, 0.5)
    chosen_kind(problem, sweeper, replace(SMALL, seed=43))
    assert not np.array_equal(other[0][2].places, asked[0][2].places)


def test_a_rehearsal_is_a_short_search_of_its_kind() -> None:
    fine, coarse = (_rehearsal(SMALL, kind, 0) for kind in ("fine", "coarse"))
    assert 0 == coarse.iterations < fine.iterations < SMALL.iterations
    assert (fine.inputs, fine.branches, fine.hall_size) == (SMALL.inputs, SMALL.branches, BEST)
    config = replace(SMALL, seed=12, algorithm="operon", start=("mean[ abs(W) ]",))
    short = replace(config, algorithm="memetic", population=60, brood=40, sweeps=4, hall_size=10, start=())
    assert _rehearsal(config, "fine", 0) == replace(short, seed=13, iterations=240)
    assert _rehearsal(config, "coarse", 3) == replace(short, seed=8, iterations=0)


@pytest.mark.parametrize("change", [{"coarse": 0.0}, {"folds": 0}])
def test_settings_without_a_choice_try_nothing(
    change: dict, problem: SearchProblem, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = stub(monkeypatch, 0.5, 0.6)
    assert chosen_kind(problem, sweeper, replace(SMALL, **change)) == "fine" and not asked


@pytest.fixture
def stairs(problem: SearchProblem) -> SearchProblem:
    """A ground truth that a coarse branch knows up to noise within its three levels."""
    levels = np.unique(problem.table.score(parse("mean[ softmax(W.attn) ]")), return_inverse=True)[1]
    noisy = levels + np.random.default_rng(1).uniform(-0.45, 0.45, 14)
    return replace(problem, target=RankTarget.create(noisy))


def test_coarse_formulas_are_found_where_the_rest_is_noise(stairs: SearchProblem) -> None:
    config = replace(SMALL, inputs=("A", "W.attn"), n_unary=2, folds=5, population=60, iterations=60, brood=30)
    prepared = PreparedSearch.of(stairs, config)
    assert prepared.problem.coarse == config.coarse and prepared.config == config
    hall = prepared.evolve().hall
    assert hall.best is not None and hall.best.fitness > 0.8
    assert is_coarse(stairs.scores([e.proxy for e in hall.champions]), config.coarse).all()
    fine = PreparedSearch.of(stairs, replace(config, coarse=0.0))
    found = fine.evolve().champion
    assert not fine.problem.coarse and found is not None and found.fitness > hall.best.fitness  # which is overfitting


def test_other_algorithms_sweep_nothing_and_have_no_choice(
    problem: SearchProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gp.benchmark_search.chosen_kind", lambda *given: pytest.fail("chosen"))
    for config in (SearchConfig(**PRESETS["lpzero"]), replace(SMALL, joins=("inside",))):
        prepared = PreparedSearch.of(problem, config)
        assert prepared.sweeper is None and prepared.config == config and prepared.problem is problem


@pytest.mark.parametrize("times", [0, 2, 3, 7])
def test_a_stop_ends_the_preparation(times: int, problem: SearchProblem) -> None:
    asked: list[None] = []

    def should_stop() -> bool:
        asked.append(None)
        return len(asked) > times

    with pytest.raises(Interrupted):
        PreparedSearch.of(problem, SMALL, should_stop)
    assert len(asked) == times + 1


def test_a_kind_without_any_formula_is_worth_least(
    problem: SearchProblem, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*given: object, **more: object) -> None:
        raise Exhausted("nothing left")

    monkeypatch.setattr("gp.choice.evolve", exhausted)
    assert chosen_kind(problem, sweeper, SMALL) == "fine"


@pytest.mark.parametrize(
    ("coarse", "scores", "kept"),
    [
        (0.5, [[1, 1, 2, 2], [1, 2, 3, 4]], {"mean[ A ]"}),
        (0.5, [[1, 1, 1, 2], [1, 2, 3, 4]], {"mean[ W ]"}),  # else there would be nothing
        (0.5, [[1, 1, 2, 2], [1, 2, 1, 2]], {"mean[ A ]"}),  # the other is far from the best
        (0.0, [[1, 1, 2, 2], [1, 2, 1, 2]], {"mean[ A ]", "mean[ W ]"}),
    ],
)
def test_exact_scores_say_what_is_coarse(coarse: float, scores: list[list[float]], kept: set[str]) -> None:
    problem = SearchProblem(None, RankTarget.create(np.arange(4.0)), coarse=coarse)  # type: ignore[arg-type]
    found = [Evaluation(parse(text), 0.5, 1, text, found_at=7 + i) for i, text in enumerate(("mean[ A ]", "mean[ W ]"))]
    judged = PreparedSearch(problem, None, SMALL).judged(found, np.array(scores, dtype=float))
    assert {c.proxy.text for c in judged.champions} == kept
    assert all(c.found_at == {"mean[ A ]": 7, "mean[ W ]": 8}[c.proxy.text] for c in judged.champions)


def ranked_by(scores: list[list[float]], signs: Sequence[int]) -> tuple[HallOfFame, SearchProblem]:
    """A hall of three formulas, the first the fittest, and a problem of six architectures of two benchmarks."""
    hall = HallOfFame(3)
    for place, sign in enumerate(signs):
        proxy = parse(("sum[ abs(W) ]", "sum[ abs(G) ]", "sum[ abs(A) ]")[place])
        hall.offer(Evaluation(proxy, 0.9 - place / 10, sign, str(place)), place)
    parts = (RankTarget.create(np.arange(4.0)), RankTarget.create(np.arange(3.0)))
    return hall, SearchProblem(None, AcrossTarget(parts))  # type: ignore[arg-type]


def test_the_consensus_is_led_by_the_formula_nearest_to_the_mean_ranking() -> None:
    rows = [[1, 3, 2, 4, 2, 1, 3], [-1, -2, -3, -4, -1, -2, -3], [1, 2, 4, 3, 1, 2, 3]]
    hall, problem = ranked_by(rows, (1, -1, 1))
    led = led_by_consensus(hall, problem, np.array(rows, dtype=float))
    assert [c.ranking for c in led.champions] == ["1", "0", "2"] and led.best is led.champions[0]


def test_a_formula_that_tells_nothing_apart_in_a_benchmark_is_no_nearer_there() -> None:
    rows = [[1, 2, 3, 4, 1, 1, 1], [1, 2, 3, 4, 1, 2, 3], [1, 2, 3, 4, 1, 3, 2]]
    hall, problem = ranked_by(rows, (1, 1, 1))
    assert led_by_consensus(hall, problem, np.array(rows, dtype=float)).champions[0].ranking == "1"


@pytest.mark.parametrize(("champion", "first"), [("fittest", "mean[ A ]"), ("consensus", "mean[ W ]")])
def test_exact_scores_decide_which_formula_leads(champion: str, first: str) -> None:
    problem = SearchProblem(None, RankTarget.create(np.arange(5.0)))  # type: ignore[arg-type]
    texts = ("mean[ A ]", "mean[ W ]", "mean[ G ]")
    found = [Evaluation(parse(text), 0.5, 1, text, found_at=i) for i, text in enumerate(texts)]
    scores = np.array([[1, 2, 3, 4, 5], [2, 1, 3, 4, 5], [2, 1, 4, 3, 5]], dtype=float)
    judged = PreparedSearch(problem, None, replace(SMALL, champion=champion)).judged(found, scores)
    assert judged.champions[0].proxy.text == first and len(judged.champions) == 3


@pytest.mark.parametrize(
    ("teacher", "coarse", "chosen"),
    [(0.6, 0.0, "distilled"), (0.5, 0.0, "fine"), (0.55, 0.1, "fine"), (0.7, 0.1, "distilled")],
)
def test_a_teacher_stands_for_distilled_formulas_where_it_is_better(
    teacher: float,
    coarse: float,
    chosen: str,
    problem: SearchProblem,
    sweeper: Sweeper,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stub(monkeypatch, 0.5, 0.4)
    taught: Any = replace(problem, lesson="a lesson")  # type: ignore[arg-type]
    monkeypatch.setattr("gp.choice._worth_of_teacher", lambda lesson, folds: teacher if chosen == "distilled" else 0.5)
    assert chosen_kind(taught, sweeper, replace(SMALL, coarse=coarse)) == chosen
