"""A made-up landscape: evaluations and sweeps of formulas without networks, the same in every process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import product

from fitness.evaluation import Evaluation
from gp.config import PRESETS, SearchConfig
from gp.evolution.evolve import SearchResult, evolve
from gp.sweeps import LOOKED_AT, number_joins
from primitives.invalid import Invalid
from primitives.proxy import Branch, Proxy

BUCKETS = 4000  # so few rankings that different formulas share one
SHORT = {"iterations": 60, "population": 16}
PLAIN = {**PRESETS["lpzero"], **SHORT}
MEMETIC = {**SHORT, "brood": 12, "sweeps": 2, "hall_size": 4}
SINGLES = [
    Proxy(aggregate, Branch(name, chain))
    for aggregate, name, chain in product(("mean", "sum"), ("A", "W", "J"), [(), ("abs",), ("exp",), ("to_std",)])
]


def short(**settings: object) -> SearchConfig:
    """A short search: with LPZero's settings, or with the defaults where the algorithm is memetic."""
    plain = MEMETIC if settings.get("algorithm") == "memetic" else PLAIN
    return SearchConfig.from_dict({**plain, **settings})


def evaluate(proxies: Sequence[Proxy]) -> list[Evaluation]:
    """A fitness from the hash of the text; one formula in sixteen is invalid."""
    return [_evaluation(proxy) for proxy in proxies]


def _evaluation(proxy: Proxy) -> Evaluation:
    digest = hashlib.sha256(proxy.text.encode()).digest()
    if digest[0] < 16:
        return Evaluation.refuse(proxy, Invalid.NON_FINITE)
    bucket = int.from_bytes(digest[1:5], "big") % BUCKETS
    return Evaluation(
        proxy, bucket / BUCKETS, 1 if digest[5] % 2 else -1, hashlib.sha256(bucket.to_bytes(4, "big")).hexdigest()
    )


def sweep(proxy: Proxy | None, hole: int) -> tuple[Iterator[Proxy], int]:
    """The best neighbours of a formula with a few single branches, and how many there are."""
    found = [neighbour.canonical() for neighbour in _neighbours(proxy, hole)]
    best = sorted((e for e in evaluate(found) if e.invalid is None), key=lambda e: e.order)
    return (e.proxy for e in best[:LOOKED_AT]), len(found)


def _neighbours(proxy: Proxy | None, hole: int) -> list[Proxy]:
    """A single branch in the place of the first branch, or joined after those that stand before the hole."""
    if proxy is None or hole == 0:
        return SINGLES
    start = Proxy(proxy.aggregate, proxy.left) if hole == 1 else proxy.base
    return [start.extended(join, one.aggregate, one.left) for join in number_joins() for one in SINGLES]


def search(**settings: object) -> SearchResult:
    """A short search on the landscape."""
    return evolve(short(**settings), evaluate, sweep=sweep)


def fingerprint(result: SearchResult) -> str:
    """Everything about a finished search, in one short text."""
    return hashlib.sha256(json.dumps(result.state.to_dict()).encode()).hexdigest()
