"""The search for the least and the largest cost of a region, step by step, and wishes at the edges of a range."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from models.spaces import asked_region
from models.spaces.asked_region import BadRegion, RegionWishes, Span, _check_names, _climbed, _step, _values, cost_range
from models.spaces.variation import Fields, Region
from storage.errors import WrongInput

FIELDS = Fields(("heads",), depth="n_layer", joint=("heads",), widths=("width",), optional=("head_dim",))
NOTHING: Any = None


def test_wishes_change_nothing_unless_said() -> None:
    assert RegionWishes() == RegionWishes({}, {}, {}, False) and RegionWishes().names == set()
    assert RegionWishes({"a": 1}, {"b": (1,)}, {"c": 8}).names == {"a", "b", "c"}
    assert (asked_region.STARTS, asked_region.SWEEPS) == (3, 8)


def test_the_costs_of_a_region_are_searched_from_three_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(
        asked_region, "drawn", lambda region, rng: drawn.append((region.uniform, rng.random())) or len(drawn)
    )
    monkeypatch.setattr(asked_region, "valid", lambda make, check: make())
    monkeypatch.setattr(
        asked_region, "_climbed", lambda region, start, check, value: max(value(start), value(start + 10))
    )
    region = Region(FIELDS, {}, (1,), {})
    assert cost_range(region, NOTHING, lambda config: {1: 5, 2: 3, 3: 4, 11: 50, 12: 30, 13: 70}[config]) == (3, 70)  # type: ignore[index]
    # random.Random(0) begins so
    assert drawn == [(True, 0.8444218515250481), (True, 0.7579544029403025), (True, 0.420571580830845)]


def test_a_climb_ends_where_nothing_is_better_or_after_eight_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def around(region: Any, config: Any) -> list[int]:
        asked.append(config)
        return [config - 1, config + 1, config + 2]

    def check(config: Any) -> Any:
        if config in (2, 6):
            raise WrongInput("no")
        return config

    monkeypatch.setattr(asked_region, "neighbours", around)
    assert _climbed(NOTHING, 0, check, lambda config: -abs(config - 5)) == 0  # type: ignore[arg-type, operator]
    assert asked == [0, 1, 3, 5]
    asked.clear()
    assert _climbed(NOTHING, 10, check, float) == 26 and len(asked) == 8  # type: ignore[arg-type]
    worth = {0: 0, -1: 1, 1: 1, -2: 5, 3: 9}  # the first of two that are equally good is taken
    assert _climbed(NOTHING, 0, check, lambda config: worth.get(config, -1)) == 5  # type: ignore[arg-type, call-overload]


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"fixed": {"head": 2}}, "--fix: got the field head, wanted one of heads, width, n_layer; did you mean heads?"),
        ({"multiples": {"zzz": 2}}, "--multiple: got the field zzz, wanted one of heads, width, n_layer"),
        ({"ranges": {"zzz": Span(1, 2)}}, "--range: got the field zzz, wanted one of heads, width, n_layer"),
        ({"fixed": {"heads": (1, 2)}}, "heads: got a list, wanted one value, which all blocks have, such as heads=8"),
        ({"fixed": {"n_layer": 0}}, "n_layer: got 0, wanted whole numbers from 1 to 100,000"),
        ({"fixed": {"n_layer": 100_000}}, "n_layer: got 100000, wanted whole numbers from 1 to 100,000"),
        ({"ranges": {"heads": (1, 0)}}, "heads: got 1/0, wanted whole numbers from 1 to 100,000"),
        ({"ranges": {"heads": Span(1, 100_000)}}, "heads: got 1/100000, wanted whole numbers from 1 to 100,000"),
        ({"fixed": {"width": 2}, "ranges": {"width": Span(1, 2)}},
         "--fix: got width in --fix and in --range or --multiple, wanted one of these"),
        ({"fixed": {"width": 2}, "multiples": {"width": 2}},
         "--fix: got width in --fix and in --range or --multiple, wanted one of these"),
    ],
)  # fmt: skip
def test_wishes_that_cannot_be_are_refused(wishes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRegion) as caught:
        _check_names(RegionWishes(**wishes), ("heads", "width", "n_layer"), FIELDS)
    assert str(caught.value) == said


def test_wishes_at_the_edges_are_taken() -> None:
    fixed = {"n_layer": 99_999, "heads": 1, "width": 0}
    _check_names(RegionWishes(fixed, {"odd": ((1, 2), 3)}, {}), (*fixed, "odd"), FIELDS)


@pytest.mark.parametrize(
    ("wishes", "wanted"),
    [
        ({"fixed": {"width": 7}}, (7,)), ({"ranges": {"width": (5, 8, 3)}}, (5, 8, 3)),
        ({"ranges": {"width": (5, 8, 16)}, "multiples": {"width": 8}}, (8, 16)),
        ({"ranges": {"width": (8.0, 16)}, "multiples": {"width": 8}}, (16,)),
        ({"multiples": {"width": 3}}, (3, 6, 9, 12)), ({"ranges": {"width": Span(2, 5)}}, (2, 3, 4, 5)),
        ({"ranges": {"width": Span(64, 192)}}, (64, 128, 192)), ({"ranges": {"width": Span(56, 72)}}, (56, 64, 72)),
        ({"ranges": {"width": Span(5, 23)}, "multiples": {"width": 5}}, (5, 10, 15, 20)),
        ({"ranges": {"width": Span(64, 64)}}, (64,)),
    ],
)  # fmt: skip
def test_values_of_a_field_are_those_that_are_asked_for(wishes: dict[str, Any], wanted: tuple[Any, ...]) -> None:
    assert _values("width", (1, 4, 12), RegionWishes(**wishes), FIELDS) == wanted


def test_a_field_has_at_most_100000_values() -> None:
    assert len(_values("x", (1,), RegionWishes(ranges={"x": Span(1, 100_000)}), FIELDS)) == 100_000
    for high, said in ((100_001, "1..100001"), (10**9, "1..1000000000")):
        with pytest.raises(BadRegion) as caught:
            _values("x", (1,), RegionWishes(ranges={"x": Span(1, high)}), FIELDS)
        assert str(caught.value) == f"x: got {said} in steps of 1, wanted 1 to 100,000 values"
    with pytest.raises(BadRegion) as caught:
        _values("x", (1,), RegionWishes(ranges={"x": (3, 5)}, multiples={"x": 2}), FIELDS)
    assert str(caught.value) == "x: got 3/5 in steps of 2, wanted 1 to 100,000 values"
    with pytest.raises(BadRegion) as caught:
        _values("x", ("a", 1), RegionWishes(multiples={"x": 2}), FIELDS)
    assert str(caught.value) == "--multiple: got x, wanted a field of whole numbers"


@pytest.mark.parametrize(
    ("name", "low", "high", "step"),
    [("width", 64, 128, 64), ("width", 64, 120, 8), ("width", 64, 121, 1), ("width", 60, 128, 1), ("x", 64, 128, 1)],
)
def test_widths_go_in_steps(name: str, low: int, high: int, step: int) -> None:
    assert _step(name, Span(low, high), FIELDS) == step


def test_held_fields_that_differ_are_choices() -> None:
    fields = Fields(("heads",), held=("n_token", "tied", "tgt_len"))
    nets: Any = [SimpleNamespace(config={"n_token": n, "tied": n, "tgt_len": 5}) for n in (3, 2, 3)]
    assert asked_region.held_choices(nets, fields, RegionWishes({"tied": 1})) == {"n_token": [3, 2]}
