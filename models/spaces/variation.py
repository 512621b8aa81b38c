"""Variation of descriptions: a region of a space, and how configurations inside it are drawn, changed and crossed.

A region holds the values that the architectures of a benchmark have, field by field, so that a search stays where a
formula was evolved. What the space cannot build is drawn again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.architecture import Architecture, BadArchitecture

__all__ = ["Fields", "Region", "crossed", "drawn", "mutated", "neighbours", "region_of", "valid"]

TRIES = 200  # until a configuration can be built
SPREAD = 24  # values of a field that `neighbours` tries
Config = dict[str, Any]


@dataclass(frozen=True)
class Fields:
    """Roles of the fields of a configuration: the lists with an entry per block, the number of blocks, if a
    configuration says it, and which fields of a block fit only `joint`ly, as some architecture has them.

    `held` are fields that a selection does not vary unless asked, such as the vocabulary; `widths` go in steps of 64
    where a range allows it; `optional` are fields that a configuration may leave out."""

    per_block: tuple[str, ...]
    depth: str | None = None
    joint: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    widths: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    def length(self, config: Mapping[str, Any]) -> int:
        """The number of blocks."""
        return len(config[self.per_block[0]])


@dataclass(frozen=True)
class Region:
    """Values by field, in order, those of single blocks for the fields per block; the numbers of blocks; which fields
    follow another one, because they are equal to it everywhere; the values of joint fields that occur together; and
    optional fields with a `fixed` value. In a `uniform` region all blocks of an architecture are equal."""

    fields: Fields
    values: Mapping[str, tuple[Any, ...]]
    depths: tuple[int, ...]
    follows: Mapping[str, str]
    joint: tuple[tuple[Any, ...], ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    uniform: bool = False


def region_of(architectures: Sequence[Architecture], fields: Fields) -> Region:
    """The region that these architectures span."""
    configs = [architecture.config for architecture in architectures]
    values: dict[str, tuple[Any, ...]] = {}
    for name in configs[0]:
        if not all(name in config for config in configs):
            continue
        lists = [c[name] if name in fields.per_block else (c[name],) for c in configs]
        values[name] = tuple(sorted({entry for entries in lists for entry in entries}))
    single = [name for name in values if name not in fields.per_block and len(values[name]) > 1]
    follows: dict[str, str] = {}
    for i, name in enumerate(single):
        leaders = (other for other in single[:i] if other not in follows)
        if leader := next((other for other in leaders if all(c[name] == c[other] for c in configs)), None):
            follows[name] = leader
    blocks = {tuple(c[name][i] for name in fields.joint) for c in configs for i in range(fields.length(c))}
    return Region(fields, values, tuple(sorted({fields.length(c) for c in configs})), follows, tuple(sorted(blocks)))


def valid(make: Callable[[], Config], check: Callable[[Mapping[str, Any]], Config]) -> Config:
    """The first configuration made that the space can build; BadArchitecture of the last one after many."""
    for _ in range(TRIES - 1):
        try:
            return check(make())
        except BadArchitecture:
            continue
    return check(make())


def drawn(region: Region, rng: random.Random) -> Config:
    """Every field drawn uniformly."""
    depth = rng.choice(region.depths)
    config = {name: _value(region, name, depth, rng) for name in region.values}
    if region.fields.joint:
        config |= _columns(region, [_jointly(region, block, rng) for block in _blocks(region, config)])
    return _settled(region, config | _columns(region, _alike(region, _blocks(region, config))), depth)


def mutated(region: Region, config: Mapping[str, Any], rng: random.Random) -> Config:
    """One change: a block more or less, one field of one block, or one field of all."""
    blocks = _blocks(region, config)
    single = [n for n, v in region.values.items() if n not in region.fields.per_block and len(v) > 1]
    single = [n for n in single if n not in region.follows and n != region.fields.depth]
    kinds = ["block"] * 2 + ["field"] * bool(single) + ["depth"] * (len(region.depths) > 1)
    kind, new = rng.choice(kinds), dict(config)
    if kind == "field":
        name = rng.choice(single)
        new[name] = rng.choice(region.values[name])
    elif kind == "block":
        names = [name for name in region.fields.per_block if len(region.values[name]) > 1]
        name, place = rng.choice(names or region.fields.per_block), rng.randrange(len(blocks))
        if name in region.fields.joint:
            blocks[place] = _jointly(region, blocks[place], rng)
        else:
            blocks[place] = {**blocks[place], name: rng.choice(region.values[name])}
        blocks = _alike(region, blocks, place)
    else:
        blocks = _resized(blocks, _next_depth(region.depths, len(blocks), rng), rng)
    return _settled(region, new | _columns(region, blocks), len(blocks))


def crossed(region: Region, a: Mapping[str, Any], b: Mapping[str, Any], rng: random.Random) -> Config:
    """The first blocks of one and the last of the other, as many as one of them has; other fields from either."""
    ours, theirs = _blocks(region, a), _blocks(region, b)
    depth = rng.choice((len(ours), len(theirs)))
    cut = rng.randint(0, depth)
    tail = theirs[len(theirs) - min(depth - cut, len(theirs)) :]
    blocks = _resized([*ours[:cut], *tail], depth, rng)
    blocks = _alike(region, blocks, rng.randrange(depth) if region.uniform else 0)
    new = {name: rng.choice((a[name], b[name])) for name in region.values}
    return _settled(region, new | _columns(region, blocks), depth)


def neighbours(region: Region, config: Mapping[str, Any]) -> list[Config]:
    """Configurations that differ in one field, in all blocks alike, at most SPREAD for each field."""
    fields, blocks, found = region.fields, _blocks(region, config), list[Config]()
    for depth in _spread(region.depths):
        found.append(_settled(region, {**config, **_columns(region, [blocks[0]] * depth)}, depth))
    for name in region.values:
        if name in fields.joint or name in region.follows or name == fields.depth:
            continue
        for value in _spread(region.values[name]):
            entry = [value] * len(blocks) if name in fields.per_block else value
            found.append(_settled(region, {**config, name: entry}, len(blocks)))
    for pair in _spread(region.joint) if fields.joint else ():
        alike = {name: [value] * len(blocks) for name, value in zip(fields.joint, pair, strict=True)}
        found.append(_settled(region, {**config, **alike}, len(blocks)))
    return found


def _spread(values: Sequence[Any]) -> list[Any]:
    """At most SPREAD of them, the first and the last among them."""
    if len(values) <= SPREAD:
        return list(values)
    return [values[i * (len(values) - 1) // (SPREAD - 1)] for i in range(SPREAD)]


def _alike(region: Region, blocks: list[dict[str, Any]], place: int = 0) -> list[dict[str, Any]]:
    """The blocks; of a uniform region all as the one at `place`."""
    return [blocks[place]] * len(blocks) if region.uniform else blocks


def _next_depth(depths: Sequence[int], depth: int, rng: random.Random) -> int:
    """The next larger or the next smaller one, whichever there is."""
    smaller, larger = [d for d in depths if d < depth], [d for d in depths if d > depth]
    return rng.choice([*smaller[-1:], *larger[:1]])


def _value(region: Region, name: str, depth: int, rng: random.Random) -> Any:
    values = region.values[name]
    return [rng.choice(values) for _ in range(depth)] if name in region.fields.per_block else rng.choice(values)


def _blocks(region: Region, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    count = region.fields.length(config)
    return [{name: config[name][i] for name in region.fields.per_block} for i in range(count)]


def _jointly(region: Region, block: Mapping[str, Any], rng: random.Random) -> dict[str, Any]:
    """A block whose joint fields are those of some block of the region."""
    return {**block, **dict(zip(region.fields.joint, rng.choice(region.joint), strict=True))}


def _columns(region: Region, blocks: Sequence[Mapping[str, Any]]) -> Config:
    return {name: [block[name] for block in blocks] for name in region.fields.per_block}


def _resized(blocks: Sequence[dict[str, Any]], depth: int, rng: random.Random) -> list[dict[str, Any]]:
    """Blocks repeated or dropped at random places until there are `depth`."""
    found = list(blocks)
    while len(found) > depth:
        found.pop(rng.randrange(len(found)))
    while len(found) < depth:
        place = rng.randrange(len(found))
        found.insert(place, found[place])
    return found


def _settled(region: Region, config: Mapping[str, Any], depth: int) -> Config:
    """The configuration whose fields that follow do, and whose number of blocks is right."""
    new = dict(config) | {name: config[leader] for name, leader in region.follows.items()} | dict(region.fixed)
    return new | ({region.fields.depth: depth} if region.fields.depth else {})
