import dataclasses
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitness.evaluation import Evaluation
from gp.hall_of_fame import HallOfFame
from primitives.grammar import parse
from primitives.invalid import Invalid


def offer(hall, text, fitness, ranking, found_at=1):
    return hall.offer(Evaluation(parse(text), fitness, 1, ranking), found_at)


def texts(hall):
    return [champion.proxy.text for champion in hall.champions]


def test_the_best_come_first_and_only_so_many_stay():
    hall = HallOfFame(2)
    assert hall.best is None and hall.champions == ()
    assert offer(hall, "mean[ W ]", 0.5, "a")
    assert offer(hall, "mean[ G ]", 0.7, "b")
    assert offer(hall, "mean[ H ]", 0.6, "c")
    assert not offer(hall, "mean[ A ]", 0.1, "d")
    assert texts(hall) == ["mean[ G ]", "mean[ H ]"] and hall.best.fitness == 0.7


def test_two_spellings_of_one_formula_take_one_place():
    hall = HallOfFame(5)
    offer(hall, "mean[ sum( W, G ) ]", 0.5, "a", 1)
    assert not offer(hall, "mean[ sum( no_op(G), W ) ]", 0.5, "a", 2)
    assert texts(hall) == ["mean[ sum( G, W ) ]"] and hall.best.found_at == 1


def test_of_two_formulas_that_rank_alike_the_simpler_stays():
    hall = HallOfFame(5)
    offer(hall, "mean[ exp(exp(W)) ]", 0.5, "same")
    assert offer(hall, "mean[ exp(W) ]", 0.5, "same")
    assert not offer(hall, "mean[ sum( exp(W), exp(G) ) ]", 0.5, "same")
    assert texts(hall) == ["mean[ exp(W) ]"]


def test_ties_are_broken_by_complexity_and_then_by_text():
    hall = HallOfFame(5)
    for text, ranking in (("mean[ log(W) ]", "a"), ("mean[ W ]", "b"), ("mean[ exp(W) ]", "c")):
        offer(hall, text, 0.5, ranking)
    assert texts(hall) == ["mean[ W ]", "mean[ exp(W) ]", "mean[ log(W) ]"]


@pytest.mark.parametrize("fitness", [float("nan"), float("inf"), float("-inf")])
def test_a_fitness_that_is_no_number_never_enters(fitness):
    assert not offer(HallOfFame(5), "mean[ W ]", fitness, "a")


@pytest.mark.parametrize("reason", list(Invalid))
def test_an_invalid_evaluation_never_enters(reason):
    hall = HallOfFame(5)
    assert not hall.offer(Evaluation.refuse(parse("mean[ W ]"), reason), 1)
    assert not hall.offer(Evaluation(parse("mean[ W ]"), 0.9, 1, "a", reason), 1)
    assert hall.champions == ()


def test_a_champion_remembers_its_sign_and_cannot_be_changed():
    hall = HallOfFame(1)
    hall.offer(Evaluation(parse("mean[ W ]"), 0.5, -1, "a"), 7)
    assert (hall.best.sign, hall.best.found_at, hall.best.ranking) == (-1, 7, "a")
    with pytest.raises(dataclasses.FrozenInstanceError):
        hall.best.sign = 1


NAMES = ["abs", "exp", "log", "sqrt", "relu", "pow2"]
offers = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), st.integers(0, 12)), min_size=1, max_size=40
)


@given(offers, st.integers(1, 6), st.integers(0, 1000))
def test_what_the_hall_holds_does_not_depend_on_the_order_of_the_offers(drawn, size, seed):
    # The ranking decides the fitness, and the formula decides the ranking, as in a real search.
    ranking_of = {(one, other): bucket for one, other, bucket in drawn}
    formulas = sorted(ranking_of.items())
    halls = []
    for _ in range(2):
        hall = HallOfFame(size)
        for (one, other), bucket in formulas:
            offer(hall, f"mean[ {one}({other}(W)) ]", bucket // 2 / 10, str(bucket))
        halls.append(hall)
        random.Random(seed).shuffle(formulas)
    assert texts(halls[0]) == texts(halls[1])
    champions = halls[0].champions
    assert len({c.ranking for c in champions}) == len({c.proxy.text for c in champions}) == len(champions) <= size
    assert list(champions) == sorted(champions, key=lambda champion: champion.order)


def test_keep_takes_a_champion_as_it_was_written_down():
    hall, champion = HallOfFame(2), Evaluation(parse("mean[ W ]"), 0.5, 1, "0" * 64, found_at=3)
    assert hall.keep(champion) and hall.champions == (champion,)
    assert not hall.keep(champion)
