"""Regions of a space as a user asks for them, what is drawn from them, and the least and the largest cost in them."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping
from typing import Any

import pytest

from commands.region_options import Assignments, RegionOptions, _multiple, _range, _value
from gp.pool import drawn_pool
from models.architecture import Architecture, BadArchitecture
from models.spaces import SPACES
from models.spaces.asked_region import BadRegion, RegionWishes, Span, asked_region, cost_range, held_choices
from models.spaces.variation import Fields, Region, crossed, drawn, mutated, neighbours, region_of, valid

FIELDS = Fields(("heads", "groups", "ffn"), "depth", ("heads", "groups"), ("vocab",), ("width", "ffn"), ("norm",))


def configuration(depth: int, width: int, heads: int, groups: int, ffn: int, vocab: int = 300) -> dict[str, Any]:
    lists = {"heads": (heads,) * depth, "groups": (groups,) * depth, "ffn": (ffn,) * depth}
    return {"depth": depth, "width": width, "vocab": vocab, "table": width, **lists}


KNOWN = [
    Architecture.create("a", "gpt2", configuration(2, 64, 4, 2, 128)),
    Architecture.create("b", "gpt2", configuration(4, 128, 8, 8, 512)),
    Architecture.create("c", "gpt2", configuration(3, 256, 8, 4, 256, vocab=500)),
]


def asked(**wishes: Any) -> Region:
    return asked_region(KNOWN, FIELDS, KNOWN[0], RegionWishes(**wishes))


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def test_a_region_has_the_values_of_its_architectures_and_holds_what_nothing_is_asked_about() -> None:
    region = asked()
    assert region.values == {
        "depth": (2, 3, 4), "width": (64, 128, 256), "vocab": (300,), "table": (64, 128, 256), "heads": (4, 8),
        "groups": (2, 4, 8), "ffn": (128, 256, 512),
    }  # fmt: skip
    assert region.depths == (2, 3, 4) and region.follows == {"table": "width"} and not region.fixed
    assert region.joint == ((4, 2), (8, 4), (8, 8)) and not region.uniform
    assert region_of(KNOWN, FIELDS).values["vocab"] == (300, 500)
    assert held_choices(KNOWN, FIELDS, RegionWishes()) == {"vocab": [300, 500]}
    assert (
        held_choices(KNOWN[:2], FIELDS, RegionWishes()) == {} == held_choices(KNOWN, FIELDS, RegionWishes({"vocab": 9}))
    )


@pytest.mark.parametrize(
    ("wishes", "name", "values"),
    [
        ({"fixed": {"width": 96}}, "width", (96,)),
        ({"ranges": {"width": Span(64, 256)}}, "width", (64, 128, 192, 256)),
        ({"ranges": {"width": Span(64, 80)}}, "width", (64, 72, 80)),
        ({"ranges": {"width": Span(60, 64)}}, "width", (60, 61, 62, 63, 64)),
        ({"ranges": {"width": Span(64, 66)}}, "width", (64, 65, 66)),
        ({"ranges": {"depth": Span(64, 66)}}, "depth", (64, 65, 66)),
        ({"ranges": {"vocab": Span(64, 72)}}, "vocab", tuple(range(64, 73))),
        ({"ranges": {"ffn": (5, 7)}}, "ffn", (5, 7)),
        ({"ranges": {"ffn": (5, 8, 16.0)}, "multiples": {"ffn": 8}}, "ffn", (8,)),
        ({"ranges": {"ffn": (5, "x")}, "multiples": {"ffn": 1}}, "ffn", (5, "x")),
        ({"ranges": {"ffn": Span(100, 200)}, "multiples": {"ffn": 50}}, "ffn", (100, 150, 200)),
        ({"ranges": {"ffn": Span(101, 199)}, "multiples": {"ffn": 50}}, "ffn", (150,)),
        ({"multiples": {"ffn": 100}}, "ffn", (200, 300, 400, 500)),
        ({"ranges": {"ffn": Span(1, 100_000)}}, "ffn", tuple(range(1, 100_001))),
    ],
)  # fmt: skip
def test_values_that_are_asked_for_take_the_place_of_the_known_ones(
    wishes: dict[str, Any], name: str, values: tuple[Any, ...]
) -> None:
    region = asked(**wishes)
    assert region.values[name] == values
    assert region.depths == (values if name == "depth" else (2, 3, 4))
    assert region.joint == ((4, 2), (8, 4), (8, 8))


def test_joint_fields_that_are_asked_for_have_all_pairs() -> None:
    region = asked(ranges={"heads": (4, 16)})
    assert region.values["heads"] == (4, 16) and region.values["groups"] == (2, 4, 8, 16)
    assert region.joint == tuple((h, g) for h in (4, 16) for g in (2, 4, 8, 16))
    both = asked(fixed={"heads": 4, "groups": 1})
    assert both.joint == ((4, 1),)


def test_a_field_that_is_asked_for_follows_none_and_optional_ones_are_fixed() -> None:
    assert asked(fixed={"table": 32}).follows == {} and asked(fixed={"width": 32}).follows == {"table": "width"}
    region = asked(fixed={"norm": "rms"}, uniform=True)
    assert region.fixed == {"norm": "rms"} and region.uniform
    assert drawn(region, random.Random(0))["norm"] == "rms"


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"fixed": {"widht": 1}}, "--fix: got the field widht, wanted one of depth, .*, norm; did you mean width?"),
        ({"ranges": {"zz": (1,)}}, "--range: got the field zz, wanted one of depth, width, vocab, .*, norm$"),
        ({"multiples": {"zz": 1}}, "--multiple: got the field zz, wanted one of"),
        ({"fixed": {"ffn": (1, 2)}}, "ffn: got a list, wanted one value, which all blocks have, such as ffn=8"),
        ({"ranges": {"ffn": ((1, 2), (3,))}}, "ffn: got a list, wanted one value"),
        ({"fixed": {"depth": 0}}, "depth: got 0, wanted whole numbers from 1 to 100,000"),
        ({"fixed": {"heads": 2.5}}, "heads: got 2.5, wanted whole numbers from 1 to 100,000"),
        ({"ranges": {"groups": (1, "a")}}, "groups: got 1/a, wanted whole numbers from 1 to 100,000"),
        ({"ranges": {"depth": Span(1, 100_000)}}, "depth: got 1/100000, wanted whole numbers from 1 to 100,000"),
        (
            {"fixed": {"ffn": 1}, "ranges": {"ffn": (1,)}},
            "--fix: got ffn in --fix and in --range or --multiple, wanted",
        ),
        (
            {"fixed": {"ffn": 1}, "multiples": {"ffn": 1}},
            "--fix: got ffn in --fix and in --range or --multiple, wanted",
        ),
        (
            {"ranges": {"ffn": Span(65, 70)}, "multiples": {"ffn": 64}},
            "ffn: got 65..70 in steps of 64, wanted 1 to 100,0",
        ),
        (
            {"ranges": {"ffn": (65, 70)}, "multiples": {"ffn": 64}},
            "ffn: got 65/70 in steps of 64, wanted 1 to 100,000 v",
        ),
        ({"ranges": {"ffn": Span(1, 100_001)}}, "ffn: got 1..100001 in steps of 1, wanted 1 to 100,000 values"),
        ({"ranges": {"ffn": Span(1, 10**9)}}, "ffn: got 1..1000000000 in steps of 1, wanted 1 to 100,000 values"),
    ],
)
def test_wishes_that_no_region_meets_are_refused(wishes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRegion, match=f"^{message}"):
        asked(**wishes)


def test_the_largest_number_of_blocks_is_below_100000() -> None:
    assert asked(fixed={"depth": 99_999}).depths == (99_999,) and asked(fixed={"depth": 1}).depths == (1,)


def test_multiples_are_of_fields_of_whole_numbers() -> None:
    odd = [Architecture.create(str(i), "gpt2", dict(a.config) | {"kind": "ab"[i % 2]}) for i, a in enumerate(KNOWN)]
    with pytest.raises(BadRegion, match="--multiple: got kind, wanted a field of whole numbers"):
        asked_region(odd, FIELDS, odd[0], RegionWishes(multiples={"kind": 2}))


def price(config: Mapping[str, Any]) -> float:
    return float(
        config["width"] * sum(config["ffn"])
        + sum(h + g for h, g in zip(config["heads"], config["groups"], strict=True))
    )


def test_the_cost_of_a_region_goes_from_its_smallest_to_its_largest_architecture() -> None:
    found = cost_range(asked(ranges={"ffn": Span(64, 512)}), dict, price)
    assert found == (64 * 2 * 64 + 2 * 6, 256 * 4 * 512 + 4 * 16)

    def even(config: Mapping[str, Any]) -> dict[str, Any]:
        if config["depth"] % 2 or config["ffn"][0] == 512:
            raise BadArchitecture("odd")
        return dict(config)

    assert cost_range(asked(), even, price) == (64 * 2 * 128 + 2 * 6, 256 * 4 * 256 + 4 * 16)

    def never(config: Mapping[str, Any]) -> dict[str, Any]:
        raise BadArchitecture("never")

    with pytest.raises(BadArchitecture, match="never"):
        cost_range(asked(), never, price)


DRAWS: list[tuple[dict[str, Any], str]] = [
    ({}, "faaa4cb4ed4f"), ({"uniform": True}, "7620741639f4"), ({"fixed": {"depth": 3, "width": 64}}, "94a3073ad092"),
]  # fmt: skip


@pytest.mark.parametrize(("wishes", "drawn_before"), DRAWS)
def test_what_is_drawn_changed_and_crossed_in_a_region_stays_as_it_is(
    wishes: dict[str, Any], drawn_before: str
) -> None:
    region, rng = asked(**wishes), random.Random(7)
    found = [drawn(region, rng) for _ in range(40)]
    found += [mutated(region, config, rng) for config in found[:40]]
    found += [crossed(region, a, b, rng) for a, b in zip(found[:40], found[40:80], strict=True)]
    found += neighbours(region, found[0])
    for config in found:
        assert config["table"] == config["width"] and len(config["ffn"]) == config["depth"] in region.depths
        assert set(zip(config["heads"], config["groups"], strict=True)) <= set(region.joint)
        assert not region.uniform or all(len(set(config[name])) == 1 for name in FIELDS.per_block)
    assert digest(found) == drawn_before


def test_neighbours_of_a_long_range_are_spread_over_it() -> None:
    region = asked(ranges={"ffn": Span(1, 1000)})
    found = [config["ffn"][0] for config in neighbours(region, KNOWN[0].config) if config["ffn"][0] != 128]
    assert [found[0], found[-1], len(found)] == [1, 1000, 24] and found == sorted(set(found))
    assert found[1] - found[0] == 43


def test_a_configuration_that_cannot_be_built_is_drawn_again_200_times() -> None:
    tried: list[int] = []

    def make() -> dict[str, Any]:
        tried.append(1)
        return {"n": len(tried)}

    def check(config: Mapping[str, Any]) -> dict[str, Any]:
        if config["n"] < limit:
            raise BadArchitecture(f"{config['n']}")
        return dict(config)

    limit = 200
    assert valid(make, check) == {"n": 200}
    tried.clear()
    limit = 300
    with pytest.raises(BadArchitecture, match="^200$"):
        valid(make, check)


# The pool of a teacher


def pool_of(count: int, blocks: int = 3) -> list[Architecture]:
    rng, space = random.Random(3), SPACES["gpt2"]
    base = {"d_embed": 32, "div_val": 1, "n_token": 300, "tgt_len": 64, "cutoffs": []}
    shapes = [(rng.choice((16, 32)), rng.randint(1, blocks)) for _ in range(count)]
    return [
        space.architecture(
            str(i),
            base | {"n_layer": depth, "d_model": width, "n_head": [2] * depth,
                    "d_inner": [rng.randint(8, 64) for _ in range(depth)]},
        )
        for i, (width, depth) in enumerate(shapes)
    ]  # fmt: skip


def test_the_pool_of_a_teacher_stays_as_it_is() -> None:
    seen = pool_of(12)
    pool = drawn_pool(seen, 10)
    assert [a.id for a in pool] == [f"pool-{i}" for i in range(10)]
    assert not {a.digest for a in pool} & {a.digest for a in seen} and len({a.digest for a in pool}) == 10
    assert digest([a.digest for a in pool]) == "e263f448630b"
    assert len(drawn_pool(pool_of(2, 1), 300)) == 2
    assert drawn_pool([Architecture.create("x", "hf", {"model_type": "gpt2"})], 3) == []


# The words of the command


@pytest.mark.parametrize(
    ("text", "value"),
    [("12", 12), ("-3", -3), ("1.5", 1.5), ("true", True), ("false", False), ("[1,2]", (1, 2)), ("rms", "rms")],
)  # fmt: skip
def test_a_value_is_a_number_a_flag_a_list_or_a_word(text: str, value: Any) -> None:
    assert repr(_value(text)) == repr(value)


def test_a_range_is_two_ends_or_several_values() -> None:
    assert _range("4..48") == Span(4, 48) and _range("8/12/x") == (8, 12, "x") and _multiple("64") == 64
    for text in ("4", "4..1234567890", "a..b"):
        with pytest.raises(ValueError):
            _range(text)
    for text in ("0", "-1", "1234567890", "a"):
        with pytest.raises(ValueError):
            _multiple(text)


def test_assignments_are_pairs_with_commas_between_them() -> None:
    import click

    kind = Assignments("a field and its value", _value)
    assert kind.convert("a=1, b = [2,3],c=x", None, None) == (("a", 1), ("b", (2, 3)), ("c", "x"))
    pairs = (("a", 1),)
    assert kind.convert(pairs, None, None) is pairs
    for text in ("a", "a=", "=1", "a=1,", "a=[1"):
        with pytest.raises(click.BadParameter, match="got .*, wanted a field and its value"):
            kind.convert(text, None, None)


def test_wishes_of_a_command() -> None:
    import click

    assert not RegionOptions().given
    for name in ("fixed", "ranges", "multiples"):
        options = RegionOptions(**{name: ((("a", 1),), (("b", 2),))})
        assert options.given and getattr(options.wishes(False), name) == {"a": 1, "b": 2}
    for uniform in (True, False):
        options = RegionOptions(uniform=uniform)
        assert options.given and options.wishes(False).uniform is uniform
    assert not RegionOptions().wishes(False).uniform and RegionOptions().wishes(False).fixed == {}
    exported = RegionOptions(fixed=((("a", 1),),)).wishes(True)
    assert exported.uniform and exported.fixed == {"norm": "rms", "a": 1}
    assert RegionOptions(fixed=((("norm", "layer"),),), uniform=True).wishes(True).fixed == {"norm": "layer"}
    with pytest.raises(click.UsageError, match="--per-block: got it with --export, wanted equal blocks"):
        RegionOptions(uniform=False).wishes(True)


@pytest.mark.parametrize("space", [name for name, space in SPACES.items() if space.fields and space.drawable])
def test_what_is_varied_block_by_block_is_every_list_of_a_configuration(space: str) -> None:
    fields, rng, lists = SPACES[space].fields, random.Random(5), list[set[str]]()
    assert fields is not None
    for _ in range(20):
        config = SPACES[space].sample(rng)
        blocks = SPACES[space].shape(SPACES[space].architecture("x", config))[0]
        lists.append({n for n, value in config.items() if isinstance(value, tuple | list) and len(value) == blocks})
    assert set.intersection(*lists) == set(fields.per_block)
