"""select: mutations and crossover stay in the region and in the space, budgets hold, one seed is one result."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from conftest import tiny_config
from test_rank import FAST, TEXTS, bank, hall, ranked  # noqa: F401  (fixtures)

from fitness.costs import Costs, costs_of
from gp.evolution.fronts import first_front, survivors
from gp.selection import NoCandidate, Selection, SelectionConfig, _winner, select
from models.architecture import Architecture, BadArchitecture
from models.spaces import DRAWABLE, SPACES
from models.spaces.variation import Region, crossed, drawn, mutated, region_of, valid

CONFIG = SelectionConfig(networks=60, population=12, seed=3)


def example(name: str, seed: int, count: int = 12) -> list[Architecture]:
    space, rng = SPACES[name], random.Random(seed)
    return [space.architecture(str(i), space.sample(rng)) for i in range(count)]


def region(name: str) -> Region:
    fields = SPACES[name].fields
    assert fields is not None
    return region_of(example(name, 1), fields)


def inside(found: Region, config: dict[str, Any]) -> bool:
    lists = {n: v if n in found.fields.per_block else (v,) for n, v in config.items()}
    return all(set(v) <= set(found.values[n]) for n, v in lists.items()) and found.fields.length(config) in found.depths


@pytest.mark.parametrize("name", DRAWABLE)
def test_every_space_to_draw_from_can_be_searched_and_no_other(name: str) -> None:
    assert SPACES[name].fields is not None and SPACES["hf"].fields is None


@pytest.mark.parametrize("name", DRAWABLE)
def test_draws_changes_and_children_are_of_the_space_and_the_region(name: str) -> None:
    space, found, rng = SPACES[name], region(name), random.Random(5)
    parents = [dict(a.config) for a in example(name, 1)]
    before = json.dumps(parents)
    for i in range(60):
        a, b = rng.choice(parents), rng.choice(parents)
        for make in (
            lambda: drawn(found, rng),
            lambda a=a: mutated(found, a, rng),
            lambda a=a, b=b: crossed(found, a, b, rng),
        ):
            config = valid(make, space.check)
            assert inside(found, config), (i, config)
    assert json.dumps(parents) == before


@pytest.mark.parametrize("name", DRAWABLE)
def test_mutations_reach_every_field_and_every_number_of_blocks(name: str) -> None:
    space, found, rng = SPACES[name], region(name), random.Random(6)
    config = dict(example(name, 1)[0].config)
    seen: dict[str, set[Any]] = {field: set() for field in config}
    depths = set()
    for _ in range(3000):
        config = valid(lambda c=config: mutated(found, c, rng), space.check)
        depths.add(found.fields.length(config))
        for field, value in config.items():
            seen[field] |= set(value) if field in found.fields.per_block else {value}
    assert depths == set(found.depths)
    for field, values in seen.items():
        assert len(values) > len(found.values[field]) / 2 or len(found.values[field]) == 1, field


@pytest.mark.parametrize("name", DRAWABLE)
def test_a_child_has_something_of_both_parents_and_nothing_else(name: str) -> None:
    found, rng = region(name), random.Random(7)
    a, b = (dict(x.config) for x in example(name, 1)[:2])
    fields = found.fields
    from_both = 0
    for _ in range(100):
        child = crossed(found, a, b, rng)
        assert fields.length(child) in (fields.length(a), fields.length(b))
        for field, value in child.items():
            if field in fields.per_block:
                assert set(value) <= {*a[field], *b[field]}
            else:
                assert value in (a[field], b[field])
        ours, theirs = (json.dumps({k: list(v) if k in fields.per_block else v for k, v in x.items()}) for x in (a, b))
        from_both += json.dumps(child) not in (ours, theirs)
    assert from_both > 50


def test_fields_that_are_equal_everywhere_stay_so() -> None:
    rng = random.Random(2)
    configs = [tiny_config(rng) for _ in range(12)]
    space = SPACES["gpt2"]
    assert space.fields is not None
    tied = [space.architecture(str(i), c | {"d_embed": c["d_model"]}) for i, c in enumerate(configs)]
    found = region_of(tied, space.fields)
    assert dict(found.follows) in ({"d_embed": "d_model"}, {"d_model": "d_embed"})
    config = dict(tied[0].config)
    widths = set()
    for _ in range(300):
        config = valid(lambda c=config: mutated(found, c, rng), space.check)
        assert config["d_model"] == config["d_embed"]
        widths.add(config["d_model"])
    assert widths == {16, 32, 48}
    assert region_of([space.architecture(str(i), c) for i, c in enumerate(configs)], space.fields).follows == {}


def test_what_can_never_be_built_is_refused_by_its_space() -> None:
    with pytest.raises(BadArchitecture, match="n_layer"):
        valid(lambda: tiny_config(random.Random(0)) | {"n_layer": 0}, SPACES["gpt2"].check)


def count(architecture: Architecture) -> Costs:
    return costs_of(architecture, 24)


def heads(batch: Sequence[Architecture]) -> list[tuple[float | None, str]]:
    """A score with a known best: many heads; a depth of 8 overflows."""
    found = []
    for a in batch:
        good = float(sum(a.config["n_head"]))
        found.append((None, "overflow") if a.config["n_layer"] == 8 else (good, ""))
    return found


def search(**change: Any) -> Selection:
    config = SelectionConfig(**{**vars(CONFIG), **change})
    return select("gpt2", region("gpt2"), config, count=count, score=heads, allowed=lambda a, c: c.params <= 3e7)


def test_one_seed_is_one_search_of_new_architectures_within_the_budget() -> None:
    found = search()
    assert found == search() and found.front != search(seed=4).front
    assert len(found.scored) == 60 == len({c.architecture for c in found.scored})
    assert all(c.costs.params <= 3e7 for c in found.scored)


def test_the_front_is_what_nothing_scored_beats() -> None:
    found = search(networks=200)
    usable = [c for c in found.scored if c.score is not None]
    assert any(c.score is None for c in found.scored) and all(c.score is not None for c in found.front)
    for c in found.front:
        assert not any(o.score > c.score and o.costs.params <= c.costs.params for o in usable)  # type: ignore[operator]
    scores = [c.score for c in found.front]
    assert scores == sorted(scores, reverse=True) and scores[0] == max(c.score for c in usable)  # type: ignore[type-var]


def test_searching_finds_more_than_drawing() -> None:
    searched, drawn_only = search(networks=300), search(networks=300, population=300)
    assert searched.front[0].score > drawn_only.front[0].score  # type: ignore[operator]


def test_no_architecture_is_scored_twice() -> None:
    """A region of few architectures, where children repeat what was drawn; the search ends when it has them all."""
    config, space = tiny_config(random.Random(1)), SPACES["gpt2"]
    assert space.fields is not None
    few = [space.architecture(str(d), config | {"n_layer": 1, "n_head": [2], "d_inner": [d]}) for d in (24, 32, 40, 48)]
    asked: list[Architecture] = []

    def score(batch: Sequence[Architecture]) -> list[tuple[float | None, str]]:
        asked.extend(batch)
        assert len(asked) == len(set(asked))
        return heads(batch)

    asked_for = SelectionConfig(networks=12, population=3, seed=3)
    found = select("gpt2", region_of(few, space.fields), asked_for, count=count, score=score, allowed=lambda a, c: True)
    assert len(asked) == len(found.scored) == len(few) < 12
    assert len({a.id for a in asked}) == len(few)


def test_a_tournament_prefers_the_front_of_the_order() -> None:
    ordered, rng = example("gpt2", 3, 4), random.Random(0)
    wins = Counter(_winner(ordered, rng).id for _ in range(4000))
    assert [wins[a.id] / 4000 for a in ordered] == pytest.approx([7 / 16, 5 / 16, 3 / 16, 1 / 16], abs=0.03)


def test_a_budget_that_nothing_meets_is_one_sentence() -> None:
    with pytest.raises(NoCandidate, match="no architecture that meets the budget was found"):
        select("gpt2", region("gpt2"), CONFIG, count=count, score=heads, allowed=lambda a, c: False)


def test_survivors_are_the_best_fronts_and_the_ends_of_the_last() -> None:
    values = [(1.0, 1.0), (2.0, 2.0), (2.1, 2.05), (3.0, 3.0), (0.0, 9.0)]
    things = list("abcde")
    assert first_front(things, values) == ["a", "b", "c", "d"]
    assert set(survivors(things, values, 4)) == {"a", "b", "c", "d"}
    assert {"a", "d"} <= set(survivors(things, values, 3)) and len(survivors(things, values, 9)) == 5
