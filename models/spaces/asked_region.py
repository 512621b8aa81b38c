"""The region of a selection as a user asks for it: fields with one value, ranges, multiples, blocks that are all equal;
and the least and the largest cost in a region."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import product
from typing import Any

from models.architecture import Architecture
from models.spaces.variation import Fields, Region, drawn, neighbours, region_of, valid
from storage.datum import is_whole
from storage.errors import WrongInput, ZcpError

__all__ = ["BadRegion", "RegionWishes", "Span", "asked_region", "cost_range", "held_choices"]

MOST = 100_000  # values of a field
STEPS = (64, 8)  # of widths, where both ends of a range are multiples
STARTS, SWEEPS = 3, 8

Check = Callable[[Mapping[str, Any]], dict[str, Any]]


class BadRegion(WrongInput):
    """Wishes that a region cannot meet; the message names the field, what it got and what it wanted."""


@dataclass(frozen=True)
class Span:
    """A range of whole numbers, both ends included."""

    low: int
    high: int


@dataclass(frozen=True)
class RegionWishes:
    """Changes to a region: fields with one value, fields with a range or a list of values, fields whose values are all
    multiples of a number between the ends of their range, and whether all blocks of an architecture are equal."""

    fixed: Mapping[str, Any] = field(default_factory=dict)
    ranges: Mapping[str, Span | tuple[Any, ...]] = field(default_factory=dict)
    multiples: Mapping[str, int] = field(default_factory=dict)
    uniform: bool = False

    @property
    def names(self) -> set[str]:
        """The fields whose values are asked for."""
        return {*self.fixed, *self.ranges, *self.multiples}


def asked_region(
    architectures: Sequence[Architecture], fields: Fields, nearest: Architecture, wishes: RegionWishes
) -> Region:
    """The region that the architectures span, changed as asked. Held fields that nothing is asked about have the values
    of the `nearest` architecture."""
    region = region_of(architectures, fields)
    known = (*region.values, *fields.optional)
    _check_names(wishes, known, fields)
    values = {**region.values, **{name: (nearest.config[name],) for name in fields.held if name in region.values}}
    for name in wishes.names & region.values.keys():
        values[name] = _values(name, region.values[name], wishes, fields)
    follows = {name: leader for name, leader in region.follows.items() if name not in wishes.names}
    joint = region.joint
    if wishes.names & set(fields.joint):
        values |= _joined(fields, values, wishes)
        joint = tuple(product(*(values[name] for name in fields.joint)))
    depths = values[fields.depth] if fields.depth else region.depths
    fixed = {name: wishes.fixed[name] for name in fields.optional if name in wishes.fixed and name not in values}
    return replace(
        region, values=values, depths=depths, follows=follows, joint=joint, fixed=fixed, uniform=wishes.uniform
    )


def held_choices(architectures: Sequence[Architecture], fields: Fields, wishes: RegionWishes) -> dict[str, list[Any]]:
    """The values of each held field that the architectures differ in and that nothing is asked about."""
    found = {name: list(dict.fromkeys(a.config[name] for a in architectures)) for name in fields.held}
    return {name: values for name, values in found.items() if len(values) > 1 and name not in wishes.names}


def cost_range(region: Region, check: Check, cost: Callable[[dict[str, Any]], float]) -> tuple[float, float]:
    """The least and the largest cost of architectures with equal blocks, found by changing one field at a time, from
    several starts; BadArchitecture if none could be built."""
    alike, rng = replace(region, uniform=True), random.Random(0)
    starts = [valid(lambda: drawn(alike, rng), check) for _ in range(STARTS)]
    least = [-_climbed(alike, start, check, lambda config: -cost(config)) for start in starts]
    return min(least), max(_climbed(alike, start, check, cost) for start in starts)


def _climbed(region: Region, config: dict[str, Any], check: Check, value: Callable[[dict[str, Any]], float]) -> float:
    """The largest value that changes of one field lead to."""
    best = value(config)
    for _ in range(SWEEPS):
        before = best
        for changed in neighbours(region, config):
            try:
                found = check(changed)
            except ZcpError:
                continue
            if (new := value(found)) > best:
                best, better = new, found
        if best == before:
            break
        config = better
    return best


def _check_names(wishes: RegionWishes, known: Sequence[str], fields: Fields) -> None:
    """Refuse unknown fields, fields that are asked for twice, and lists for single blocks."""
    for option, given in (("--fix", wishes.fixed), ("--range", wishes.ranges), ("--multiple", wishes.multiples)):
        for name in given:
            if name not in known:
                near = next(iter(get_close_matches(name, known)), None)
                hint = f"; did you mean {near}?" if near else ""
                raise BadRegion(f"{option}: got the field {name}, wanted one of {', '.join(known)}{hint}")
    for name, values in (*((n, (v,)) for n, v in wishes.fixed.items()), *wishes.ranges.items()):
        if name in fields.per_block and isinstance(values, tuple) and any(isinstance(v, tuple) for v in values):
            raise BadRegion(f"{name}: got a list, wanted one value, which all blocks have, such as {name}=8")
        counted = name in (fields.depth, *fields.joint)
        ends = values if isinstance(values, tuple) else (values.low, values.high)
        if counted and not all(is_whole(v) and 0 < v < MOST for v in ends):
            raise BadRegion(f"{name}: got {'/'.join(map(str, ends))}, wanted whole numbers from 1 to {MOST:,}")
    if twice := sorted(wishes.fixed.keys() & (wishes.ranges.keys() | wishes.multiples.keys())):
        raise BadRegion(f"--fix: got {twice[0]} in --fix and in --range or --multiple, wanted one of these")


def _values(name: str, known: Sequence[Any], wishes: RegionWishes, fields: Fields) -> tuple[Any, ...]:
    """The values of a field that something is asked about, in order."""
    if name in wishes.fixed:
        return (wishes.fixed[name],)
    if name in wishes.multiples and not all(is_whole(value) for value in known):
        raise BadRegion(f"--multiple: got {name}, wanted a field of whole numbers")
    asked = wishes.ranges.get(name, Span(known[0], known[-1]) if name in wishes.multiples else tuple(known))
    if isinstance(asked, tuple):
        step = wishes.multiples.get(name, 1)
        found = tuple(value for value in asked if step == 1 or (is_whole(value) and value % step == 0))
    else:
        step = wishes.multiples.get(name) or _step(name, asked, fields)
        found = tuple(range(-(-asked.low // step) * step, min(asked.high, asked.low + MOST * step) + 1, step))
    if not 0 < len(found) <= MOST:
        said = f"{asked.low}..{asked.high}" if isinstance(asked, Span) else "/".join(map(str, asked))
        raise BadRegion(f"{name}: got {said} in steps of {step}, wanted 1 to {MOST:,} values")
    return found


def _step(name: str, asked: Span, fields: Fields) -> int:
    """64 or 8 for widths whose range begins and ends at a multiple of it; else 1."""
    return next((s for s in STEPS if name in fields.widths and not asked.low % s and not asked.high % s), 1)


def _joined(fields: Fields, values: Mapping[str, tuple[Any, ...]], wishes: RegionWishes) -> dict[str, tuple[Any, ...]]:
    """The values of joint fields; those that nothing is asked about also have the values of those that are asked for,
    so that as many key-value heads as heads are possible."""
    asked = [values[name] for name in fields.joint if name in wishes.names]
    return {
        name: values[name]
        if name in wishes.names
        else tuple(sorted({*values[name], *(v for own in asked for v in own)}))
        for name in fields.joint
    }
