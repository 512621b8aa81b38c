"""Chains of operators whose common beginnings are computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from typing import TypeVar

__all__ = ["Chain", "along"]

S = TypeVar("S")
Chain = tuple[str, ...]
"""Names of unary operators, innermost first."""


def along(start: S, chains: Iterable[Chain], step: Callable[[S, str], S]) -> Iterator[tuple[Chain, S]]:
    """Result of each chain of operators on `start`, one `step` after another; a common beginning is computed once, and
    no more is held than a chain has operators."""
    path, before = [start], Chain()
    for chain in sorted(chains):
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(chain, before, strict=False)))
        del path[1 + shared :]
        for name in chain[shared:]:
            path.append(step(path[-1], name))
        before = chain
        yield chain, path[-1]
