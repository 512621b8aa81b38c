"""A made-up landscape: evaluations of formulas without networks, the same in every process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from fitness.evaluation import Evaluation
from gp.config import SearchConfig
from gp.evolution.evolve import SearchResult, evolve
from primitives.invalid import Invalid
from primitives.proxy import Proxy

BUCKETS = 4000  # so few rankings that different formulas share one


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


def search(**settings: object) -> SearchResult:
    """A short search on the landscape."""
    return evolve(SearchConfig.from_dict({"iterations": 60, "population": 16, **settings}), evaluate)


def fingerprint(result: SearchResult) -> str:
    """Everything about a finished search, in one short text."""
    return hashlib.sha256(json.dumps(result.state.to_dict()).encode()).hexdigest()
