"""What a search has seen: cases, splits and configurations, and a case by its training budgets."""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import tiny_config

from fitness import seen as seen_module
from fitness.evaluation import Split
from fitness.seen import Seen, SeenCase
from gp.case import Case
from models.architecture import Architecture
from models.benchmarks.benchmark import Benchmark
from storage.errors import ZcpError

ROWS = tuple(Architecture.create(f"a{i}", "gpt2", {"i": i}) for i in range(6))


def benchmark(*rows: Architecture, digest: str = "d", name: str = "mine") -> Benchmark:
    return Benchmark(name, "gpt2", "loss", False, rows, np.arange(float(len(rows))), digest)


CASE = SeenCase("place", "gpt2", "mine", "d", "loss", False, ("a0", "a1"), ("a2", "a3"))


@pytest.fixture(autouse=True)
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, Benchmark]:
    """The benchmarks that can be read, by their place."""
    known = {"place": benchmark(*ROWS), "changed": benchmark(*ROWS, digest="e")}

    def load(place: str, metric: str) -> Benchmark:
        if place not in known or metric != "loss":
            raise ZcpError("not here")
        return known[place]

    monkeypatch.setattr(seen_module, "load_benchmark", load)
    return known


def test_a_case_knows_its_architectures_where_its_benchmark_is_as_it_was() -> None:
    assert CASE.architectures == ROWS and CASE.known == ROWS[:2]
    for other in ({"place": "gone"}, {"place": "changed"}, {"metric": "ppl"}):
        assert replace(CASE, **other).architectures == () == replace(CASE, **other).known  # type: ignore[arg-type]
    assert (CASE.wanted, replace(CASE, higher_is_better=True).wanted) == ("a lower loss", "a higher loss")


def test_what_was_seen_is_known_by_its_configuration_in_its_space() -> None:
    found = Seen(
        (CASE, replace(CASE, name="second", search=("a1", "a4")), replace(CASE, space="llama", search=("a5",)))
    )
    assert [found.by(a) for a in ROWS] == ["mine", "mine", None, None, "second", None]
    assert found == Seen(found.cases) and "_names" not in repr(found) and Seen() == Seen(())
    moved = found.at({"d": "elsewhere", "x": "nowhere"})
    assert {case.place for case in moved.cases} == {"elsewhere"} and moved.by(ROWS[0]) is None
    assert found.at({"x": "nowhere"}) == found


def test_the_places_of_a_benchmark_that_were_seen_there_or_anywhere() -> None:
    found, twin = Seen((CASE,)), Architecture.create("x", "gpt2", {"i": 1})
    assert found.places(benchmark(*ROWS)) == {0, 1}
    assert found.places(benchmark(ROWS[3], twin, digest="other", name="other")) == {1}
    gone = Seen((replace(CASE, place="gone"),))
    assert gone.places(benchmark(ROWS[3], ROWS[1], digest="grown")) == {1}  # ids of the name it had
    assert gone.places(benchmark(ROWS[3], ROWS[1], digest="grown", name="other")) == frozenset()
    assert found.places(benchmark(Architecture.create("a1", "gpt2", {"i": 9}), digest="grown")) == frozenset()
    assert gone.places(benchmark(*ROWS)) == {0, 1} and found.case_of(benchmark(*ROWS)) is CASE
    assert found.case_of(benchmark(*ROWS, digest="x")) is None


def test_a_split_is_the_recorded_one_without_what_was_seen_elsewhere() -> None:
    also = SeenCase("changed", "gpt2", "other", "e", "loss", False, ("a3",))
    found = Seen((CASE, also))
    assert found.split(benchmark(*ROWS)) == found.parted(benchmark(*ROWS)) == Split((0, 1), (2,))
    assert Seen((replace(CASE, holdout=()),)).split(benchmark(*ROWS)) == Split((0, 1), (2, 3, 4, 5))
    assert Seen((replace(CASE, holdout=("a4", "gone")),)).split(benchmark(*ROWS)) is None
    assert Seen((CASE,)).split(benchmark(*ROWS[:4])) == Split((0, 1), (2, 3))
    assert Seen((CASE,)).split(benchmark(*ROWS[1:])) is None
    other = benchmark(*reversed(ROWS), digest="x", name="x")
    assert found.split(other) is None and found.parted(other) == Split((2, 4, 5), (0, 1, 3))
    assert Seen().parted(other) is None and found.apart(Split((0,), (1, 2, 3)), other) == Split((0,), (1, 3))


def tokens(*each: float | None) -> Case:
    config = tiny_config(random.Random(0))
    rows = tuple(
        replace(Architecture.create(f"a{i}", "gpt2", config | {"n_token": 300 + i}), tokens=t)
        for i, t in enumerate(each)
    )
    data: Any = benchmark(*rows)
    return Case(data, SimpleNamespace(), Split(tuple(range(len(rows))), ()))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("each", "searches"),
    [
        ((1e6, 1e6, 1e6, 4e6, 4e6, 4e6), [(0, 1, 2), (3, 4, 5)]), ((1e6, 4e6, 1e6, 4e6, 1e6), [(0, 2, 4)]),
        ((1e6, 4e6, 1e6, 4e6), None), ((1e6, 1e6, 1e6), None), ((None, None, None), None),
    ],
)  # fmt: skip
def test_a_case_is_parted_by_budgets_of_three_rows(
    each: tuple[float, ...], searches: list[tuple[int, ...]] | None
) -> None:
    case = tokens(*each)
    found = case.by_budget
    if searches is None:
        assert found == [case] or (len(found) == 1 and found[0] is case)
    else:
        assert [part.split.search for part in found] == searches


def test_a_case_without_what_overflows_knows_the_whole_and_what_was_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    case = tokens(None, None, None, None)
    less = benchmark(*case.benchmark.architectures[1:3])
    left = SimpleNamespace(benchmark=less, split=Split((0,), (1,)), report="two dropped")
    monkeypatch.setattr("gp.case.screen", lambda *given: left)
    found, said = case.sound("drop")
    assert said == "two dropped" and found.benchmark is less and found.split == left.split
    assert found.whole is case.benchmark and found.dropped == ("a0", "a3") and case.dropped == ()
    left.split = None  # type: ignore[assignment]
    again, _ = found.sound("drop")
    assert again.split is found.split and again.whole is case.benchmark
