"""A ranking before it is printed: its rows, what is refused, what is timed, and what is left out."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import click
import pytest
from conftest import tiny_config

from commands import ranking
from commands.ranking import NAMED, NoneRanked, Ranked, Ranking, _Refusals, _times, columns, ranges_of, ranked
from commands.source import Predicted
from commands.tables import Score
from fitness.candidates import Candidate
from fitness.costs import CostLimits, Costs, Latency
from models.architecture import BadArchitecture
from models.candidates import Refusal
from models.spaces import SPACES
from storage.errors import ZcpError

CONFIG = tiny_config(random.Random(0))
A, B, C, D = (SPACES["gpt2"].architecture(name, CONFIG | {"n_token": 310 + at}) for at, name in enumerate("abcd"))
COSTS = Costs(10, 8, 200, 2, 16, 900)
PLAIN = {"params": 10, "decoder_params": 8, "flops": 200, "depth": 2, "width": 16, "memory": 900}
FIRST = Ranked(1, Candidate(A, COSTS, 0.5), Latency(0.0021234567, 0.001, 0.003), Predicted(3, 2, 4))
LAST = Ranked(None, Candidate(B, COSTS, None, "nan"), None, Predicted(3, 2, 4))
REFUSED = (Refusal("r", "bad", "gpt2", {"x": 1}), Refusal("s", "worse", None, None))


def test_the_figures_of_a_row_are_those_of_the_candidate() -> None:
    times = {"latency_ms": 2.123457, "latency_ms_low": 1.0, "latency_ms_high": 3.0}
    predicted = {"predicted": 3.0, "predicted_low": 2.0, "predicted_high": 4.0}
    assert FIRST.numbers == {"place": 1, "id": "a", "score": 0.5, **predicted, **PLAIN, **times}
    assert all(type(FIRST.numbers[name]) is float for name in predicted)
    assert LAST.numbers == {"place": None, "id": "b", "score": None, **PLAIN}
    assert Ranked(2, Candidate(A, COSTS, 0.5), None).numbers == {"place": 2, "id": "a", "score": 0.5, **PLAIN}
    more = {"space": "gpt2", "config": dict(A.config), "notes": [], "reason": None}
    assert FIRST.plain() == FIRST.numbers | more
    trained = SPACES["gpt2"].architecture("a", CONFIG)
    assert LAST.plain() == LAST.numbers | more | {"config": dict(B.config), "notes": ["nan"], "reason": "nan"}
    object.__setattr__(trained, "tokens", 30.0)
    assert Ranked(1, Candidate(trained, COSTS, 1.0), None).plain()["tokens"] == 30.0


def test_what_was_refused_stands_behind_the_rows() -> None:
    found = Ranking((FIRST, LAST), REFUSED, "title", {})
    nothing = dict.fromkeys(PLAIN)
    refused = [
        {"place": None, "id": "r", "score": None, **nothing, "space": "gpt2", "config": {"x": 1}, "notes": ["bad"],
         "reason": "bad"},
        {"place": None, "id": "s", "score": None, **nothing, "space": None, "config": None, "notes": ["worse"],
         "reason": "worse"},
    ]  # fmt: skip
    assert found.plain(None) == [FIRST.plain(), LAST.plain(), *refused] and found.plain(1) == [FIRST.plain()]
    assert not found.memory and found.notes == []
    last = [{"place": None, "id": r.id, "score": None, "notes": r.reason} for r in REFUSED]
    assert found.columns("csv", None) == [FIRST.numbers | {"notes": ""}, LAST.numbers | {"notes": "nan"}, *last]
    assert found.columns("csv", 3) == found.columns("csv", None)[:3]


def test_a_table_shows_memory_and_notes_where_they_are_wanted() -> None:
    short = {name: value for name, value in FIRST.numbers.items() if name not in ("memory", "score")}
    (row,) = columns([FIRST], "table")
    assert {name: value for name, value in row.items() if name != "score"} == short and isinstance(row["score"], Score)
    assert columns([FIRST], "table", noted=True, memory=True)[0].keys() == {*short, "memory", "score", "notes"}
    noted = Ranked(1, Candidate(A, COSTS, 1.0, "", ("depth", "width"), "hf", "mine"), None)
    first, second = columns([noted, FIRST], "csv")
    assert (first["notes"], second["notes"]) == ("space gpt2, not hf; outside in depth, width; seen in mine", "")
    assert columns([LAST], "table")[0]["score"] is None and "memory" not in columns([LAST], "table")[0]


def test_a_ranking_in_which_nobody_has_a_score_says_why_the_first_has_none() -> None:
    Ranking((FIRST, LAST), REFUSED, "", {}).check()
    with pytest.raises(NoneRanked, match="^none of 3 candidates could be ranked; b: nan$"):
        Ranking((LAST,), REFUSED, "", {}).check()
    with pytest.raises(NoneRanked, match="^none of 2 candidates could be ranked; r: bad$"):
        Ranking((), REFUSED, "", {}).check()
    assert NAMED == 20


def test_a_candidate_that_fails_is_refused_with_its_reason() -> None:
    def make(architecture: Any) -> str:
        if architecture is B:
            raise BadArchitecture("b: too wide")
        return architecture.id.upper()

    refused = _Refusals(REFUSED[:1])
    assert refused.kept([A, B, C], make) == {A: "A", C: "C"}
    assert refused.all == [REFUSED[0], Refusal("b", "too wide", "gpt2", B.config)]


@pytest.mark.parametrize("told", [True, False])
def test_networks_are_timed_once_each_without_gradients(told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    checked, steps = list[tuple[str, bool]](), list[tuple[int, int]]()

    def check(architecture: Any, gradients: bool) -> None:
        checked.append((architecture.id, gradients))
        if architecture is B:
            raise ZcpError("b: does not fit")

    workshop = SimpleNamespace(check=check, batch="batch", bank=SimpleNamespace(key=SimpleNamespace(build="own")))
    monkeypatch.setattr("fitness.costs.latency_of", lambda *given: given)
    refused, workshops = _Refusals(()), {"gpt2": workshop}
    progress = (lambda done, of: steps.append((done, of))) if told else None
    found = _times([A, A, B, C], workshops.__getitem__, "cpu", progress, refused)  # type: ignore[arg-type]
    assert found == {A: (A, "batch", "own", "cpu"), C: (C, "batch", "own", "cpu")}
    assert checked == [("a", False), ("b", False), ("c", False)] and steps == ([(1, 3), (2, 3)] if told else [])
    assert [r.id for r in refused.all] == ["b"]
    assert _times([A], workshops.__getitem__, None, None, refused) == {}  # type: ignore[arg-type]
    with pytest.raises(click.UsageError, match="^--latency: got cpu,cpu, wanted one device, such as cpu$"):
        _times([A], workshops.__getitem__, "cpu,cpu", None, refused)  # type: ignore[arg-type]


def asked(monkeypatch: pytest.MonkeyPatch, architectures: list[Any], **more: Any) -> Ranking:
    """A ranking whose networks need 10 parameters each, d 99, and of which c cannot be counted."""

    def costs(architecture: Any, length: int, build: str, batch: object) -> Costs:
        assert (length, build, batch) == (24, "own", limits.batch)
        if architecture is C:
            raise BadArchitecture("c: odd")
        return Costs(99 if architecture is D else 10, 8, 200, 2, 16, 900)

    limits = CostLimits(params=more.pop("params", 50), memory=more.pop("memory", None))
    workshop = SimpleNamespace(
        batch=SimpleNamespace(tokens=SimpleNamespace(shape=(2, 24))),
        bank=SimpleNamespace(key=SimpleNamespace(build="own")),
    )
    checked = list[str]()
    source: Any = SimpleNamespace(
        workshops=lambda features: more.get("workshops", {"gpt2": workshop}.__getitem__), known=lambda: [A],
        check=lambda architecture: checked.append(architecture.id), direction="up", name="mine", counts_alone=False,
        formulas=[SimpleNamespace(proxy=SimpleNamespace(text="sum[ W ]"), sign=-1)],
    )  # fmt: skip
    monkeypatch.setattr("fitness.costs.costs_of", costs)
    monkeypatch.setattr(ranking, "_times", more.get("times", lambda *given: {}))
    monkeypatch.setattr(ranking, "drawing_notes", lambda given, workshops: [f"drawn {len(given)}"])
    monkeypatch.setattr(ranking, "budget_notes", lambda given, *rest: [f"budget of {len(given)}"])
    monkeypatch.setattr(ranking, "_notes", lambda *given: ["notes"])
    monkeypatch.setattr(
        ranking, "_scored", lambda fitting, *given: tuple(Ranked(1, Candidate(a, COSTS, 1.0), None) for a in fitting)
    )
    features: Any = SimpleNamespace(weights=more.get("weights"))
    found = ranked(architectures, source, limits, more.get("device"), features, None, more.get("read", ()))
    assert checked == [a.id for a in (*architectures, A)]
    return found


def test_a_ranking_counts_who_is_left_out_and_who_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(monkeypatch, [A, B, C, D], read=REFUSED, memory=2000)
    assert [row.candidate.architecture.id for row in found.rows] == ["a", "b"]
    assert [r.id for r in found.refused] == ["r", "s", "c"] and found.memory
    assert found.header == {
        "scorer": "mine", "formulas": ["sum[ W ]"], "signs": [-1], "direction": "up", "left_out": 1, "refused": 3,
    }  # fmt: skip
    assert found.title == "2 candidates; up; score: mine" and found.notes == ["drawn 3", "notes", "budget of 2"]
    assert not asked(monkeypatch, [A]).memory and ranges_of([], lambda a: COSTS) == {}
    assert ranges_of([A], lambda a: COSTS)["width"] == (16, 16)


def test_a_time_that_could_not_be_measured_leaves_a_candidate_out(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(monkeypatch, [A, B], device="cpu", times=lambda *given: {B: Latency(1, 1, 1)})
    assert [row.candidate.architecture.id for row in found.rows] == ["b"]


def test_where_nobody_fits_it_is_a_usage_error_unless_all_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "^none of 2 candidates meets the bounds: the smallest has 10 parameters, the least FLOPs are 200$"
    with pytest.raises(click.UsageError, match=said):
        asked(monkeypatch, [A, B], params=5, read=REFUSED[:1])
    found = asked(monkeypatch, [C], read=REFUSED)
    assert not found.rows and len(found.refused) == 3 and found.notes == ["drawn 0", "notes"]

    def timed(architectures: Any, workshops: Any, device: Any, progress: Any, refused: Any) -> dict[Any, Any]:
        for architecture in architectures:
            refused.add(architecture, "too slow")
        return {}

    assert len(asked(monkeypatch, [A, B], device="cpu", times=timed).refused) == 2


def test_a_wrong_option_is_no_fault_of_the_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    def workshops(space: str) -> Any:
        raise ZcpError(f"--build of {space}")

    with pytest.raises(ZcpError, match="^--build of gpt2$"):
        asked(monkeypatch, [A], workshops=workshops)
    with pytest.raises(click.UsageError, match="^--weights: got a of the space gpt2, wanted candidates of llama"):
        asked(monkeypatch, [A], weights="folder")
