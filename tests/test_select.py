"""select: mutations and crossover stay in the region and in the space, budgets hold, one seed is one result."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import tiny_config
from test_rank import FAST, TEXTS, bank, hall, ranked  # noqa: F401  (fixtures)

import cli
from commands.options import tightest
from fitness.costs import Costs, costs_of
from gp.evolution.fronts import first_front, survivors
from gp.selection import NoCandidate, Selection, SelectionConfig, _winner, select
from models.architecture import Architecture, BadArchitecture
from models.spaces import DRAWABLE, SPACES
from models.spaces.variation import Region, crossed, drawn, mutated, region_of, valid
from report import draw_front

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


def run(capfd: pytest.CaptureFixture[str], *words: object) -> tuple[str, str]:
    assert cli.main(["select", *map(str, words)]) == 0
    said = capfd.readouterr()
    return said.out, said.err


def test_the_command_has_the_same_bytes_on_any_devices_and_after_an_interruption(
    hall: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]  # noqa: F811
) -> None:  # fmt: skip
    words = [
        "--space",
        "gpt2",
        "--hall",
        hall,
        "--budget",
        "params=60K",
        "--population",
        6,
        "--format",
        "json",
        "--bank",
    ]
    part, _ = run(capfd, *words, tmp_path / "one", "--networks", 12, "--devices", "cpu")  # half of it, then all
    whole, said = run(capfd, *words, tmp_path / "one", "--networks", 18, "--devices", "cpu")
    other, _ = run(capfd, *words, tmp_path / "two", "--networks", 18, "--devices", "cpu,cpu")
    assert whole == other != part and "scored 18/18, best " in said
    rows = json.loads(whole)["rows"]
    assert rows and all(row["params"] <= 60_000 for row in rows)
    (tmp_path / "front.json").write_text(whole)
    again, _ = ranked(capfd, tmp_path / "front.json", "--hall", hall, "--bank", tmp_path / "one", "--devices", "cpu")
    assert {r["id"]: r["score"] for r in again["rows"]} == {r["id"]: r["score"] for r in rows}


@pytest.mark.parametrize(
    ("bounds", "holds"),
    [
        ([("params", 5.0), ("params", 3.0)], {"params": 3.0}),
        ([("params", 3.0), ("params", 5.0)], {"params": 3.0}),
        ([("flops", 9.0), ("params", 3.0), ("flops", 7.0), ("flops", 8.0)], {"flops": 7.0, "params": 3.0}),
        ([("latency", 0.5), ("latency", 0.5)], {"latency": 0.5}),
    ],
)
def test_the_tightest_of_several_bounds_on_a_cost_holds(
    bounds: list[tuple[str, float]], holds: dict[str, float]
) -> None:
    assert list(tightest(bounds).items()) == list(holds.items())


def test_a_tighter_budget_before_a_wider_one_holds(
    hall: Path, bank: Path, capfd: pytest.CaptureFixture[str]  # noqa: F811
) -> None:  # fmt: skip
    words = ["--space", "gpt2", "--hall", hall, "--budget", "params=60K", "--budget", "params=10M", "--networks", 6]
    out, _ = run(capfd, *words, "--population", 6, "--bank", bank, "--devices", "cpu", "--format", "json")
    found = json.loads(out)
    assert found["budget"] == {"params": 60_000} and all(row["params"] <= 60_000 for row in found["rows"])


def test_a_measured_budget_holds_too(
    hall: Path, bank: Path, capfd: pytest.CaptureFixture[str]  # noqa: F811
) -> None:  # fmt: skip
    words = ["--space", "gpt2", "--hall", hall, "--budget", "latency=2s", "--networks", 4, "--population", 4]
    out, _ = run(capfd, *words, "--bank", bank, "--devices", "cpu", "--format", "json")
    assert all(0 < row["latency_ms"] <= 2000 for row in json.loads(out)["rows"])


def test_the_figure_shows_what_was_scored_and_the_front(
    hall: Path, bank: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]  # noqa: F811
) -> None:  # fmt: skip
    found = search()
    axis = draw_front(found.front, found.scored, "params", "x").axes[0]
    dots, steps = ([float(y) for y in line.get_ydata()] for line in axis.lines)
    assert len(dots) == sum(c.score is not None for c in found.scored) and len(steps) == len(found.front)
    assert steps == sorted(steps) and axis.get_xlabel() == "#params"
    words = ["--space", "gpt2", "--hall", hall, "--budget", "params=60K", "--networks", 4, "--population", 4]
    path = tmp_path / "front.png"
    _, said = run(capfd, *words, "--bank", bank, "--devices", "cpu", "--plot", path)
    assert path.read_bytes().startswith(b"\x89PNG") and f"written: {path}" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--space", "flexibert", "--budget", "params=1M"),
            "--hall: got formulas that were evolved on gpt2, wanted flex",
        ),
        (("--space", "hf", "--budget", "params=1M"), "got 'hf', wanted one of gpt2, flexibert"),
        (("--space", "gpt2", "--budget", "params=10X"), "got '10X', wanted a number such as 10M"),
        (
            ("--space", "gpt2", "--budget", "size=10M"),
            "got 'size=10M', wanted one of params=10M, flops=10M, memory=8G, latency=5ms",
        ),
        (("--space", "gpt2", "--budget", "latency=5"), "got '5', wanted a number such as 5ms"),
        (("--space", "gpt2", "--budget", "params=1M,memory=8G"), "wanted one cost; repeat --budget for each other"),
        (
            ("--space", "gpt2", "--budget", "params=1K"),
            "--budget params: got 1,000, wanted at least 10,291, which the smal",
        ),
        (("--space", "gpt2", "--budget", "params=9M"), "--budget params: got 9,000,000, wanted at most "),
        (("--space", "gpt2", "--budget", "params=9M"), "give larger values with --range (now n_layer="),
        (("--space", "gpt2", "--budget", "params=60K", "--export", "x"), "--export: got --space gpt2, wanted llama"),
        (
            ("--space", "gpt2", "--budget", "params=60K", "--fix", "n_tokens=9"),
            "--fix: got the field n_tokens, wanted one of n_layer, ",
        ),
        (
            ("--space", "gpt2", "--budget", "params=60K", "--fix", "n_token"),
            "got 'n_token', wanted a field and its val",
        ),
        (("--space", "gpt2", "--budget", "params=60K", "--range", "d_inner=9"), "got 'd_inner=9', wanted a field and "),
        (
            ("--space", "gpt2", "--budget", "params=60K", "--fix", "d_model=33,n_head=2"),
            "no architecture of the region can be built; the last one: n_head[0]: got 2, wanted a divisor",
        ),
        (
            ("--space", "gpt2", "--budget", "params=60K", "--fix", "d_inner=32", "--multiple", "d_inner=8"),
            "--fix: got d_inner in --fix and in --range or --multiple",
        ),
        (
            ("--space", "gpt2", "--budget", "params=60K", "--range", "d_inner=65..70", "--multiple", "d_inner=64"),
            "d_inner: got 65..70 in steps of 64, wanted 1 to 100,000 values",
        ),
        (
            ("--space", "gpt2", "--budget", "params=1M", "--plot", "x.txt"),
            "--plot: got 'x.txt', wanted a name that ends in",
        ),
        (("--space", "gpt2"), "Missing option '--budget'"),
        (("--space", "gpt2", "--budget", "params=1M", "--committee", "9"), "--committee: got 9, wanted at most 3"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_mistake_of_select_is_one_line(
    words: tuple[str, ...], message: str, hall: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]  # noqa: F811
) -> None:  # fmt: skip
    assert cli.main(["select", *words, "--hall", str(hall), "--bank", str(tmp_path), "--devices", "cpu"]) in (1, 2)
    said = capfd.readouterr()
    errors = [line for line in said.err.splitlines() if not line.startswith("features as in the run")]
    assert said.out == "" and len(errors) == 1 and errors[0].startswith("error: ") and message in errors[0], said.err
