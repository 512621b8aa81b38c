"""Suggestion of the architectures to measure next: those whose labels would tell a predictor most.

Architectures are chosen one after the other. The next one has the widest interval, or the largest expected improvement
over the best label (Jones et al. 1998); what is chosen counts as measured at its prediction from then on, so that ten
suggestions are not ten times the same one (the kriging believer; Ginsbourger et al. 2010). No network is built.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import norm

from fitness.predictors.ensemble import Ensemble
from fitness.predictors.members import rank_targets
from fitness.predictors.numbers import NumberTable
from fitness.predictors.tuning import Noise
from models.architecture import Architecture, BadArchitecture
from models.spaces import SPACES

__all__ = ["GOALS", "drawn", "suggested"]

TRIES = 100  # draws for one new architecture
FAMILY = "model_type"  # the field of a configuration that says which other fields it has

Goal = Callable[[np.ndarray, np.ndarray, float], np.ndarray]
"""(mean (M,), deviation (M,), best so far) -> how much each label is worth, (M,)."""


def _interval(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """The width of the interval: what is known least."""
    return deviation


def _improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """By how much the best label is expected to be beaten."""
    gap = (mean - best) / deviation
    return deviation * (gap * norm.cdf(gap) + norm.pdf(gap))


GOALS: dict[str, Goal] = {"interval": _interval, "improvement": _improvement}
"""Aims of a suggestion: to know the space, or to find the best architecture."""


def suggested(
    ensemble: Ensemble,
    seen: NumberTable,
    quality: np.ndarray,
    asked: NumberTable,
    count: int,
    goal: str = "interval",
    noise: Noise = None,
) -> list[int]:
    """The rows of `asked` to measure next, the most informative first; `quality` (n,) are the labels at `seen`, perhaps
    with their `noise`, of which a further label has the mean."""
    targets, values, chosen = rank_targets(quality), seen.values, list[int]()
    taken = np.zeros(len(asked.values), dtype=bool)
    rows = asked.of(seen.names)
    for _ in range(min(count, len(rows))):
        mean, deviation = ensemble.predict(NumberTable(seen.names, values), targets, asked, noise)
        worth = np.where(taken, -np.inf, GOALS[goal](mean, deviation, float(targets.max())).round(9))
        place = int(np.argmax(worth))
        chosen.append(place)
        taken[place] = True
        values, targets = np.vstack([values, rows[place]]), np.append(targets, mean[place])
        noise = None if noise is None else np.append(noise, noise.mean())
    return chosen


def drawn(measured: Sequence[Architecture], count: int, seed: int) -> list[Architecture]:
    """At most `count` architectures that nobody measured, mixed from the fields of those that were: each has the depth
    of one, and every other value from some of its kind. An id tells the configuration, so that it never names
    another one."""
    rng, space = random.Random(f"suggest:{seed}"), SPACES[measured[0].space]
    peers = {architecture: _peers(architecture, measured) for architecture in measured}
    known, ids = {architecture.digest for architecture in measured}, {architecture.id for architecture in measured}
    found = list[Architecture]()
    for _ in range(count):
        for _ in range(TRIES):
            base = rng.choice(measured)
            try:
                new = space.architecture("new", _mixed(base, peers[base], rng))
                if new.digest not in known:
                    space.parameters(new)
            except BadArchitecture:
                continue
            if new.digest not in known:
                known.add(new.digest)
                found.append(replace(new, id=_named(new.digest, ids)))
                break
        else:  # what is left to find is rare
            break
    return found


def _named(digest: str, taken: set[str]) -> str:
    """An id made of a digest, as much of it as no other id has; it is taken from then on."""
    id = next(id for n in range(10, 65) if (id := f"new-{digest[:n]}") not in taken)
    taken.add(id)
    return id


def _peers(architecture: Architecture, measured: Sequence[Architecture]) -> list[Architecture]:
    """Architectures of the same family and with the same fields."""
    own = architecture.config
    return [a for a in measured if a.config.get(FAMILY) == own.get(FAMILY) and a.config.keys() == own.keys()]


def _mixed(base: Architecture, peers: Sequence[Architecture], rng: random.Random) -> dict[str, object]:
    """A configuration whose lists have the length they have in `base`; it may be one that cannot be built."""
    config: dict[str, object] = {}
    for name, value in base.config.items():
        other = rng.choice(peers).config[name]
        if not isinstance(value, tuple):
            config[name] = other if rng.random() < 0.5 else value
        elif isinstance(other, tuple) and other:
            config[name] = [rng.choice(other) for _ in value]
        else:
            config[name] = list(value)
    return config
