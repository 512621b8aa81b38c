"""The pool: networks without labels, drawn from the space in the range of the search split. No held-out network is
looked at."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from models.architecture import Architecture, BadArchitecture
from models.spaces import SPACES
from models.spaces.variation import Fields, Region, drawn, region_of, valid

__all__ = ["drawn_pool", "new_ones"]

TRIES = 20  # draws for one new architecture
FEWEST = 3  # architectures of one width, from whose values new ones are drawn; else from those of all


def drawn_pool(seen: Sequence[Architecture], count: int) -> list[Architecture]:
    """At most `count` architectures that differ from those `seen`. Each has the width of one of them, the depth of any,
    and values that occur with this width; a field that is equal in all blocks of every architecture seen is so in every
    new one. The same range gives the same pool. Empty where a space has no fields to draw."""
    space = SPACES[seen[0].space]
    if space.fields is None:
        return []
    rng, regions, even = random.Random(f"pool:{space.name}"), _regions(seen, space.fields), _even(seen, space.fields)

    def draw() -> dict[str, Any] | None:
        region = rng.choice(regions)
        try:
            return valid(partial(_drawn, region, rng, even), space.check)
        except BadArchitecture:
            return None

    return new_ones(seen, count, draw)


def new_ones(
    seen: Sequence[Architecture], count: int, draw: Callable[[], Mapping[str, Any] | None]
) -> list[Architecture]:
    """At most `count` different architectures of the configurations that `draw` gives, none of them among those
    `seen`."""
    space, known, found = SPACES[seen[0].space], {a.digest for a in seen}, list[Architecture]()
    for _ in range(count * TRIES):
        if (config := draw()) is None:
            continue
        new = space.architecture(f"pool-{len(found)}", config)
        if new.digest not in known:
            known.add(new.digest)
            found.append(new)
        if len(found) == count:
            break
    return found


def _regions(seen: Sequence[Architecture], fields: Fields) -> list[Region]:
    """The region of the architectures of each width, with the depths of all."""
    widths = [SPACES[a.space].shape(a)[1] for a in seen]
    groups = [[a for a, own in zip(seen, widths, strict=True) if own == width] for width in sorted(set(widths))]
    depths = tuple(sorted({fields.length(a.config) for a in seen}))
    regions = [region_of(group, fields) for group in groups if len(group) >= FEWEST] or [region_of(seen, fields)]
    return [replace(region, depths=depths) for region in regions]


def _even(seen: Sequence[Architecture], fields: Fields) -> list[str]:
    """The fields per block that no architecture varies from block to block."""
    return [name for name in fields.per_block if all(len(set(a.config[name])) == 1 for a in seen)]


def _drawn(region: Region, rng: random.Random, even: Sequence[str]) -> dict[str, Any]:
    """A configuration of the region, with the first block's value in all blocks for the fields that are `even`."""
    config = drawn(region, rng)
    return {**config, **{name: [config[name][0]] * len(config[name]) for name in even}}
