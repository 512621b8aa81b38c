"""One formula's worth: its order, its sign, the identity of its ranking, what a search maximises, and the split."""

from __future__ import annotations

import numpy as np
import pytest

from fitness.evaluation import Evaluation, ranking_key, ranking_keys, split_groups
from fitness.objectives import OBJECTIVES, BadObjective, evaluate_scores, objective
from fitness.ranking import RankTarget
from primitives.grammar import parse
from primitives.invalid import Invalid

Y = np.array([3.0, 1.0, 4.0, 1.5, 5.0, 9.0, 2.0, 6.0])
X = np.array([2.0, 7.0, 1.0, 8.0, 2.0, 8.0, 1.0, 8.0])


def test_the_best_comes_first_then_the_simpler_then_the_text() -> None:
    texts = ["sum[ W ]", "sum[ A ]", "sum[ abs(A) ]", "sum[ exp(W) ]"]
    worth = [0.5, 0.5, 0.5, 0.7]
    found = [Evaluation(parse(text), value, 1) for text, value in zip(texts, worth, strict=True)]
    found.append(Evaluation.refuse(parse("mean[ W ]"), Invalid.CONSTANT))
    ordered = [e.proxy.text for e in sorted(found, key=lambda e: e.order)]
    assert ordered == ["sum[ exp(W) ]", "sum[ A ]", "sum[ W ]", "sum[ abs(A) ]", "mean[ W ]"]


def test_what_failed_has_a_reason_no_fitness_and_no_ranking() -> None:
    failed = Evaluation.refuse(parse("sum[ W ]"), Invalid.NON_FINITE)
    assert (failed.fitness, failed.ranking, failed.invalid, failed.found_at) == (-np.inf, "", Invalid.NON_FINITE, 0)
    assert Evaluation(parse("sum[ W ]"), 0.5, 1).invalid is None


def test_a_ranking_is_the_order_with_its_ties() -> None:
    assert ranking_key(np.array([1.0, 2.0, 2.0])) == ranking_key(np.array([-5.0, 7.0, 7.0]))
    others = [np.array(x) for x in ([1.0, 2.0, 3.0], [2.0, 1.0, 1.0], [1.0, 1.0, 2.0], [1.0, 2.0, 2.0])]
    assert len({ranking_key(x) for x in others}) == 4
    assert ranking_keys(np.stack(others)) == [ranking_key(x) for x in others]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_sign_is_chosen_so_that_fitness_is_not_negative(name: str) -> None:
    target, proxies = RankTarget.create(Y), [parse("sum[ W ]"), parse("sum[ A ]")]
    up, down = evaluate_scores(proxies, np.stack([X, -X]), target, name)
    assert up.fitness == down.fitness >= 0 and up.sign == -down.sign
    assert up.fitness == pytest.approx(abs(float(OBJECTIVES[name](target, X[None])[0])), abs=1e-12)
    assert up.ranking == down.ranking == ranking_key(up.sign * X)
    assert up.fitness == round(up.fitness, 12)


def test_both_is_the_mean_of_rho_and_tau_and_rho_is_the_default() -> None:
    target, proxy = RankTarget.create(Y), [parse("sum[ W ]")]
    rho, tau, both = (OBJECTIVES[name](target, X[None])[0] for name in ("spearman", "kendall", "both"))
    assert both == pytest.approx((rho + tau) / 2) and rho != pytest.approx(tau)
    assert evaluate_scores(proxy, X[None], target) == evaluate_scores(proxy, X[None], target, "spearman")
    assert evaluate_scores(proxy, X[None], target) != evaluate_scores(proxy, X[None], target, "both")


def test_no_agreement_at_all_has_sign_1() -> None:
    (found,) = evaluate_scores([parse("sum[ W ]")], np.array([[1.0, 2.0, 2.0, 1.0]]), RankTarget.create(np.arange(4.0)))
    assert (found.fitness, found.sign, found.invalid) == (0.0, 1, None)


def test_an_objective_has_a_name_of_its_own_and_knows_a_ranking_from_its_reverse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fitness.objectives.OBJECTIVES", dict(OBJECTIVES))
    assert objective("mine")(RankTarget.kendall) is RankTarget.kendall
    with pytest.raises(BadObjective, match="'kendall': the name is taken"):
        objective("kendall")(RankTarget.kendall)
    for measure in (
        lambda target, x: np.ones(len(x)),
        lambda target, x: -target.spearman(x),
        lambda target, x: np.zeros(len(x)),
    ):
        with pytest.raises(BadObjective, match="wanted more and less than 0"):
            objective("faulty")(measure)


def test_a_split_takes_whole_groups_in_the_order_of_its_seed_until_it_is_full() -> None:
    groups = np.array([0, 0, 0, 1, 2, 2, 3, 4, 4, 5])
    assert split_groups(groups, 10, 1).holdout == () and split_groups(groups, 0, 1).search == ()
    for seed in range(30):
        split = split_groups(groups, 4, seed)
        assert 3 <= len(split.search) <= 4
        assert list(split.search) == sorted(split.search) and list(split.holdout) == sorted(split.holdout)
    assert len({split_groups(groups, 4, seed).search for seed in range(30)}) > 5
    assert split_groups(np.arange(12), 5, 42).search == (0, 1, 2, 3, 7)
