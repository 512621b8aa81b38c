"""The lesson and the teacher step by step: which networks a lesson is on, what is asked of them, what is said of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fitness.predictors import teacher
from fitness.predictors.numbers import NumberTable
from gp import lesson as lessons
from gp.lesson import Lesson
from gp.problem import LIGHT, PRICE, SearchProblem
from models.architecture import Architecture


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A workshop that only notes what is asked of it."""
    monkeypatch.setattr(lessons, "number_table", lambda architectures, build: ([a.id for a in architectures], build))
    monkeypatch.setattr(lessons, "branch_table", lambda architectures, workshop: [a.id for a in architectures])
    monkeypatch.setattr(lessons, "drawn_pool", lambda seen, count: list(pool)[:count])
    return SimpleNamespace(
        weights=None, bank=SimpleNamespace(key=SimpleNamespace(build="b")),
        exact_scores=lambda proxies, architectures, progress: (proxies, [a.id for a in architectures], progress),
    )  # fmt: skip


seen, pool = ([Architecture.create(f"{word}{i}", "gpt2", {"i": i}) for i in range(3)] for word in ("seen", "pool"))
EVERY = ["seen0", "seen1", "seen2", "pool0", "pool1"]


def test_a_lesson_is_on_the_networks_seen_and_then_on_the_pool(workshop: Any) -> None:
    case: Any = SimpleNamespace(workshop=workshop, seen=seen, quality="labels", noise="noise")
    found = Lesson.of(case, 2)
    assert found is not None and (found.seen, found.pool, found.numbers) == (seen, pool[:2], (EVERY, "b"))
    assert found.table() == EVERY and found.exact_scores(["p"], None) == (["p"], EVERY, None)  # type: ignore[comparison-overlap, list-item]
    assert Lesson.of(case, 0) is None
    workshop.weights, workshop.price = "a checkpoint", "own"
    assert Lesson.of(case, 2) is None


@pytest.mark.parametrize(
    ("bad", "left"), [((), pool), (("pool1",), [pool[0], pool[2]]), (("pool0", "pool1", "pool2"), None)]
)
def test_networks_of_a_pool_that_overflow_are_left_out(
    bad: tuple[str, ...], left: Any, workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lessons, "overflowing", lambda architectures, workshop, progress: bad)
    numbers = NumberTable(("n",), np.arange(6.0)[:, None])
    whole = Lesson(workshop, seen, pool, numbers, np.arange(3.0))
    found = whole.sound()
    assert (found and found.pool) == left and (found is None or found.seen == seen)
    if found:
        assert found.numbers.values[:, 0].tolist() == [0, 1, 2, *(3 + pool.index(a) for a in found.pool)]
    problem = SearchProblem("old", SimpleNamespace(values=np.arange(3.0)), lesson=whole)  # type: ignore[arg-type]
    monkeypatch.setattr(Lesson, "target", lambda self: ("target", len(self.pool), len(self.quality)))
    other = problem.distilled()
    assert (other is problem) is (left is None) and problem.distils is False
    if left is not None:
        assert other.distils is True and other.constants is True and (other.shrinkage, other.price) == (LIGHT, PRICE)
        assert other.table == [a.id for a in (*seen, *left)] and other.architectures == [*seen, *left]  # type: ignore[comparison-overlap]
        assert other.target == ("target", len(left), 3) and other.lesson is not None and other.lesson.pool == left  # type: ignore[comparison-overlap]
    nothing = SearchProblem("old", None)  # type: ignore[arg-type]
    assert nothing.distilled() is nothing


def test_a_teacher_says_the_mean_of_its_two_regressions(monkeypatch: pytest.MonkeyPatch) -> None:
    class Member:
        def __init__(self, name: str) -> None:
            self.name = name

        def predict(self, near: Any, targets: Any, asked: Any, noise: Any) -> tuple[np.ndarray, None]:
            assert (
                noise is None
                and near.tolist() == [[5.0], [1.0]]
                and targets == "targets"
                and asked.tolist() == [[1.0], [3.0], [5.0]]
            )
            return {"ridge": np.array([1.0, 2.0, 1e-10]), "process": np.array([0.0, -1.0, 1 / 3])}[self.name], None

    monkeypatch.setattr(teacher, "tuned", lambda name, values, targets, noise: Member(name))
    monkeypatch.setattr(teacher, "columns_of_family", lambda name, table: table.values)
    monkeypatch.setattr(teacher, "standardised", lambda near, asked: (near, asked))
    numbers = NumberTable(("x",), np.array([[1.0], [3.0], [5.0]]))
    targets: Any = "targets"
    assert teacher.taught(numbers, np.array([2, 0]), targets).tolist() == [0.5, 0.5, 0.166666667]
    assert teacher.TEACHER == ("ridge", "process")


def test_a_kind_says_how_coarse_formulas_must_be() -> None:
    problem, config = SearchProblem(None, None), SimpleNamespace(coarse=0.2)  # type: ignore[arg-type]
    assert [problem.of_kind(kind, config).coarse for kind in ("fine", "coarse", "distilled")] == [0.0, 0.2, 0.0]  # type: ignore[arg-type]
    assert problem.predict is None and problem.price == 0.0


def test_the_price_of_a_formula_is_taken_off_and_leaves_at_least_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from fitness.evaluation import Evaluation
    from primitives.grammar import parse
    from primitives.invalid import Invalid

    fine, long = Evaluation(parse("sum[ W ]"), 0.5, 1), Evaluation(parse("sum( mean[ abs(W) ], 0.5*sum[ G ] )"), 0.5, 1)
    bad = Evaluation.refuse(parse("sum[ G ]"), Invalid.CONSTANT)
    monkeypatch.setattr("gp.problem.evaluate_scores", lambda *given: [fine, long, bad])
    problem = SearchProblem(None, None, price=0.1)  # type: ignore[arg-type]
    found = problem.judge([], np.empty((3, 4)))
    assert [e.fitness for e in found] == [pytest.approx(0.3), 0.0, bad.fitness] and found[2] is bad
