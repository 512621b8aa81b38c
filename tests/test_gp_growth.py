"""Growth against brute force, and what it may and may not do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from gp.growth.beams import BeamSearch, Interrupted, number_joins
from gp.growth.choice import Growth, grow, is_coarse
from gp.growth.problem import SearchProblem

from fitness.evaluation import Evaluation
from fitness.features.bank import sketch_features
from fitness.features.collect import collect
from fitness.ranking import RankTarget
from fitness.tables.branches import BranchTable
from fitness.tables.chains import chains_of
from gp.benchmark_search import Finalists, _judged
from gp.config import BadConfig, SearchConfig
from gp.hall_of_fame import HallOfFame
from models.architecture import Architecture
from models.spaces import SPACES
from models.tokens import TokenBatch
from primitives.grammar import parse
from primitives.pps import violation
from primitives.proxy import Branch, Proxy

SMALL = SearchConfig(n_unary=1, inputs=("A", "W"), aggregates=("mean", "last"), beam=6)


@pytest.fixture(scope="module")
def problem(tiny_architectures: list[Architecture], batch: TokenBatch) -> SearchProblem:
    chosen = tiny_architectures[:14]
    entries = [sketch_features(collect(SPACES["gpt2"].build(a, 0), batch)) for a in chosen]
    quality = np.array([SPACES["gpt2"].parameters(a).decoder for a in chosen]) ** 0.5
    target = RankTarget.create(quality + np.random.default_rng(3).normal(0, 60, len(chosen)))
    return SearchProblem(BranchTable(entries), target)


def grown(
    problem: SearchProblem, config: SearchConfig = SMALL, hall: Sequence[Proxy] = (),
    should_stop: Callable[[], bool] = lambda: False,
) -> Growth:  # fmt: skip
    return grow(BeamSearch.create(problem, config, should_stop), hall)


def spelt_out(config: SearchConfig) -> list[Proxy]:
    branches = [Branch(name, chain) for name in config.inputs for chain in chains_of(1)]
    singles = [Proxy(aggregate, branch) for branch in branches for aggregate in config.aggregates]
    return [single for single in singles if violation(single) is None]


def test_two_branches_are_as_good_as_the_best_of_all_pairs(problem: SearchProblem) -> None:
    """With a beam as wide as the space nothing is left out, so the best pair must be found."""
    config = SearchConfig(**{**SMALL.__dict__, "beam": 1000, "branches": 2})
    singles = spelt_out(config)
    pairs = [a.extended(operator, b.aggregate, b.left) for a in singles for b in singles for operator in number_joins()]
    pairs = [pair.canonical() for pair in pairs if violation(pair.canonical()) is None]
    best = max(e.fitness for e in problem.evaluate(list(dict.fromkeys(pairs))))
    found = grown(problem, config).evaluations
    # Branches that rank alike are tried once, so a pair may be a little better than the best one that is tried.
    assert best - 0.02 <= found[0].fitness <= best
    assert all(len(e.proxy.branches) == 2 for e in found)


@pytest.fixture
def third_branch_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gp.growth.choice._what_pays", lambda search: (search.config.branches, False))


@pytest.mark.usefixtures("third_branch_pays")
def test_every_beam_is_better_than_the_one_before_and_holds_no_ranking_twice(
    problem: SearchProblem,
) -> None:
    found = grown(problem).evaluations
    best = {n: max(e.fitness for e in found if len(e.proxy.branches) == n) for n in (2, 3)}
    singles = max(e.fitness for e in problem.evaluate(spelt_out(SMALL)))
    assert singles < best[2] < best[3]
    for count in (2, 3):
        beam = [e for e in found if len(e.proxy.branches) == count]
        assert len(beam) == SMALL.beam == len({e.ranking for e in beam})
        assert [e.fitness for e in beam] == sorted((e.fitness for e in beam), reverse=True)
    assert all(violation(e.proxy) is None for e in found)
    for evaluation in found:
        (again,) = problem.evaluate([parse(evaluation.proxy.text)])
        assert (again.fitness, again.sign, again.ranking) == (
            evaluation.fitness, evaluation.sign, evaluation.ranking,
        )  # fmt: skip


@pytest.mark.usefixtures("third_branch_pays")
def test_the_hall_grows_too(problem: SearchProblem) -> None:
    hall = [parse("sum[ frobenius_norm(W.attn) ]"), parse("sum[ product( abs(W.ffn), abs(W.ffn) ) ]")]
    config = SearchConfig(**{**SMALL.__dict__, "beam": 300})  # W.attn is not among the inputs of the branches
    found = [e.proxy.text for e in grown(problem, config, hall=hall).evaluations]
    assert any("frobenius_norm(W.attn)" in text for text in found)
    assert any("product( abs(W.ffn), abs(W.ffn) )" in text for text in found)
    assert not any("W.attn" in e.proxy.text or "W.ffn" in e.proxy.text for e in grown(problem, config).evaluations)


def test_cross_validation_finds_that_a_third_branch_pays(problem: SearchProblem) -> None:
    """Where the ground truth is itself a formula of three branches."""
    truth = parse("sum( product( mean[ exp(A) ], last[ pow2(W) ] ), last[ to_std(A) ] )")
    found = grown(replace(problem, target=RankTarget.create(problem.table.score(truth))))
    assert max(len(e.proxy.branches) for e in found.evaluations) == 3


def test_a_third_branch_that_changes_nothing_does_not_pay(
    problem: SearchProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[np.ndarray]()

    def equal(scores: np.ndarray, quality: np.ndarray, left_out: np.ndarray) -> float:
        seen.append(left_out)
        return 0.5

    monkeypatch.setattr("gp.growth.choice._agreement", equal)
    assert max(len(e.proxy.branches) for e in grown(problem).evaluations) == 2
    # Each is left out once: for the ten best formulas, or all that a beam holds, of either number of branches.
    assert np.array_equal(np.sum(seen, axis=0), [2 * (SMALL.beam // 2)] * 14)


@pytest.fixture
def stairs(problem: SearchProblem) -> tuple[SearchProblem, Proxy]:
    """A ground truth that a coarse branch knows up to noise within its three levels."""
    table, truth = problem.table, parse("mean[ softmax(W.attn) ]")
    levels = np.unique(table.score(truth), return_inverse=True)[1]
    target = RankTarget.create(levels + np.random.default_rng(1).uniform(-0.45, 0.45, 14))
    return replace(problem, target=target), truth


def test_coarse_formulas_are_preferred_where_the_rest_is_noise(
    stairs: tuple[SearchProblem, Proxy],
) -> None:
    problem, truth = stairs
    config = replace(SMALL, inputs=("A", "W.attn"), n_unary=2)
    found = grown(problem, config)
    assert found.coarse and all(e.fitness >= 0.9 * found.evaluations[0].fitness for e in found.evaluations)
    assert is_coarse(problem.scores([e.proxy for e in found.evaluations]), config).all()
    assert all(len(e.proxy.branches) == 1 for e in found.evaluations)
    (known,) = problem.evaluate([truth])
    assert found.evaluations[0].ranking == known.ranking and found.evaluations[0].sign == known.sign
    fine = grown(problem, replace(config, coarse=0.0))
    assert not fine.coarse and fine.evaluations[0].fitness > known.fitness  # which is what overfitting looks like


def test_a_fine_ground_truth_has_no_coarse_formulas(problem: SearchProblem) -> None:
    assert not grown(problem).coarse


@pytest.mark.parametrize(
    ("scores", "share", "coarse"),
    [
        ([1, 1, 2, 2, 3, 3], 1 / 3, True), ([1, 1, 2, 2, 2, 3], 1 / 3, False), ([1, 1, 1, 1, 1, 1], 0.1, False),
        ([1, 2, 3, 4, 5, 6], 0.1, False), ([1, 1, 1, 1 + 3e-5, 1 + 3e-5, 2, 2], 0.1, False),
        ([1, 1, 1, 1 + 7e-5, 1 + 7e-5, 2, 2], 0.1, True), ([-2, -2, 0, 0, 0, 0, 0], 0.1, True), ([1, 1, 2, 2, np.nan, np.nan], 1 / 3, False),
    ],
)  # fmt: skip
def test_what_is_coarse(scores: list[float], share: float, coarse: bool) -> None:
    assert is_coarse(np.array([scores], dtype=float), replace(SMALL, coarse=share)).tolist() == [coarse]


@pytest.mark.parametrize(
    ("prefers_coarse", "scores", "kept"),
    [
        (True, [[1, 1, 2, 2], [1, 2, 3, 4]], {"mean[ A ]"}),
        (True, [[1, 1, 1, 2], [1, 2, 3, 4]], {"mean[ A ]", "mean[ W ]"}),  # else there would be nothing
        (False, [[1, 1, 2, 2], [1, 2, 3, 4]], {"mean[ A ]", "mean[ W ]"}),
    ],
)
def test_exact_scores_say_what_is_coarse(prefers_coarse: bool, scores: list[list[float]], kept: set[str]) -> None:
    config, target = replace(SMALL, coarse=0.5), RankTarget.create(np.arange(4.0))
    hall = HallOfFame(2)
    for text, fitness in (("mean[ A ]", 0.5), ("mean[ W ]", 0.6)):
        hall.offer(Evaluation(parse(text), fitness, 1, text), 1)
    in_order = np.array([scores[["mean[ A ]", "mean[ W ]"].index(c.proxy.text)] for c in hall.champions], dtype=float)
    problem = SearchProblem(None, target)  # type: ignore[arg-type]
    judged = _judged(Finalists(hall, 2, prefers_coarse), in_order, problem, config)
    assert {c.proxy.text for c in judged.champions} == kept


def test_threads_and_probes(problem: SearchProblem) -> None:
    def predict(proxy: Proxy) -> str | None:
        return "probe_noise" if any(b.input == "A" for b in proxy.branches) else None

    one, two = grown(problem), grown(replace(problem, jobs=2))
    assert [e.proxy for e in one.evaluations] == [e.proxy for e in two.evaluations] and one.compared == two.compared
    assert not any("A" in e.proxy.text for e in grown(replace(problem, predict=predict)).evaluations)


def test_a_stop_ends_it(problem: SearchProblem) -> None:
    asked: list[None] = []

    def third_time() -> bool:
        asked.append(None)
        return len(asked) > 2

    with pytest.raises(Interrupted):
        grown(problem, should_stop=third_time)


@pytest.mark.parametrize(("change", "grows"), [({}, True), ({"beam": 0}, False), ({"joins": ("inside",)}, False)])
def test_what_settings_grow(change: dict, grows: bool) -> None:
    assert SearchConfig(**change).grows is grows


@pytest.mark.parametrize(
    "change", [{"coarse": -0.1}, {"coarse": 1.5}, {"beam": -1}, {"branches": 1}, {"branches": 4}, {"beam": 2.0}]
)
def test_settings_out_of_range_are_refused(change: dict) -> None:
    with pytest.raises(BadConfig, match=next(iter(change))):
        SearchConfig(**change)
