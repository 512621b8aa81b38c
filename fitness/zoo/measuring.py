"""Figures of hand-made proxies: value and cost of each on a visited network, and a sentence where one has none."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from fitness.features.figures import MAX_REASON, Figure, Figures, scoring_version
from fitness.features.visit import Visited
from fitness.zoo.registry import ZOO, HandMade, NoValue, find
from primitives.invalid import Invalid

__all__ = ["hand_made_figures"]


def hand_made_figures(names: Sequence[str]) -> Figures:
    """The figures of hand-made proxies, as a taker of visits."""
    return Figures(tuple(names), "zoo", _version, _measured)


def _version(name: str) -> str:
    """Version of the code of a proxy; None for one that no longer exists."""
    if (proxy := ZOO.get(name)) is None:
        return "none"
    return str(proxy.version) if proxy.text is None else f"{proxy.version}, scoring {scoring_version(proxy.text)}"


def _measured(visited: Visited, names: Sequence[str]) -> dict[str, Figure]:
    return {name: _figure(visited, find(name)) for name in names}


def _figure(visited: Visited, proxy: HandMade) -> Figure:
    """A network that overflows has no figure of what reads its features, not even of what happens to be finite."""
    if visited.overflows and not proxy.own_pass:
        return Figure(reason=Invalid.OVERFLOW.value, seconds=round(visited.seconds, 6))
    start = time.perf_counter()
    try:
        figure = Figure.of(proxy.measure(visited))
    except NoValue as why:
        figure = Figure(reason="".join(c for c in str(why) if c.isprintable())[:MAX_REASON])
    except (torch.linalg.LinAlgError, ArithmeticError, ValueError):  # nan in an eigenvalue routine, log of 0
        figure = Figure(reason=Invalid.NON_FINITE.value)
    seconds = time.perf_counter() - start + (0.0 if proxy.own_pass else visited.seconds)
    return replace(figure, seconds=round(seconds, 6))
