"""Growth: what follows the evolution. A beam search over all branches of the space, and a choice by cross-validation.

Formulas chosen among millions by the labels of 50 networks may fit those 50 too well. So two kinds compete, and
cross-validation inside the search split says which one ranks networks that it was not chosen by:

fine    joins of up to three branches (gp/growth/beams.py);
coarse  single branches with few levels, each of them shared by many networks, which tell little apart and can
        therefore fit little (the idea of a least leaf size in a decision tree; Breiman et al. 1984).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from fitness.evaluation import Evaluation
from fitness.ranking import narrowest, rarest
from gp.config import SearchConfig
from gp.growth.beams import BeamSearch
from primitives.proxy import Proxy
from primitives.scoring import RESOLUTION, resolved

__all__ = ["Growth", "grow", "is_coarse"]

FOLDS = 5  # of the cross-validation
BEST = 10  # formulas of a kind that are looked at
CLEAR = 8 * 2.0**-RESOLUTION  # relative; levels that differ by a step of the resolution only are rounding
NEAR = 0.9  # of the best one's fitness; coarse formulas are so few that the others soon are worth nothing


@dataclass(frozen=True)
class Growth:
    """What was found, how many formulas were compared on the way, and whether cross-validation chose coarse ones,
    which then replace the evolved ones."""

    evaluations: tuple[Evaluation, ...]
    compared: int
    coarse: bool = False


def grow(search: BeamSearch, hall: Sequence[Proxy] = ()) -> Growth:
    """All beams but the first, which holds nothing new; or the best coarse formulas. Raises Interrupted when the
    search should stop."""
    compared = len(search.singles.proxies)
    if not compared:
        return Growth((), 0)
    branches, coarse = _what_pays(search)
    if coarse and (found := search.first_allowed(_coarse(search), search.config.beam)):
        near = [e for e in found if e.fitness >= NEAR * found[0].fitness]
        return Growth(tuple(near), compared, coarse=True)
    grown = list[Evaluation]()
    for beam, tried in islice(search.beams(hall), branches - 1):
        grown += beam
        compared += tried
    return Growth(tuple(grown), compared)


def is_coarse(scores: np.ndarray, config: SearchConfig) -> np.ndarray:
    """Whether each row of `scores` (P, N) has few levels that can be told apart: every value is shared by at least
    `config.coarse` of the N architectures, and by two, and neighbours are CLEAR of each other. A constant row is not
    coarse but empty."""
    shared, count = rarest(scores), scores.shape[-1]
    return (shared >= max(2, config.coarse * count)) & (shared < count) & (narrowest(scores) >= CLEAR)


def _coarse(search: BeamSearch) -> Iterator[Proxy]:
    """Coarse branches, the best first."""
    scores = resolved(search.singles.values)
    places = np.flatnonzero(is_coarse(scores, search.config))
    worth = np.abs(search.problem.agreement(scores[places]))
    proxies = [search.singles.proxies[place] for place in places]
    found = [Evaluation(proxy, value, 1) for proxy, value in zip(proxies, worth, strict=True)]
    return (evaluation.proxy for evaluation in sorted(found, key=lambda evaluation: evaluation.order))


def _what_pays(search: BeamSearch) -> tuple[int, bool]:
    """How many branches fine formulas should have, and whether coarse ones are better than those, by cross-validation.

    A kind's worth is the agreement with the ground truth, on a fifth of the search split, of formulas that were chosen
    without this fifth: the mean over the BEST ones of the kind, because one alone is a matter of luck; of the coarse
    ones the first alone, because there are few and the tenth is much worse. The mean over FOLDS decides, of equals the
    earlier kind: two branches, three, coarse.
    """
    config, counts = search.config, range(2, search.config.branches + 1)
    if len(counts) == 1 and config.coarse == 0:
        return counts[0], False
    order = list(range(search.problem.table.count))
    random.Random(f"folds:{config.seed}").shuffle(order)
    worth = np.zeros((FOLDS, len(counts) + 1))
    for fold in range(FOLDS):
        left_out = np.zeros(len(order), dtype=bool)
        left_out[order[fold::FOLDS]] = True
        part = search.only(np.flatnonzero(~left_out))
        kinds = [beam[:BEST] for beam, _ in islice(part.beams(), len(counts))]
        kinds.append(part.first_allowed(_coarse(part), 1) if config.coarse else [])
        worth[fold] = [_worth(kind, search, left_out) for kind in kinds]
    means = worth.mean(0).round(12)
    return counts[int(np.argmax(means[:-1]))], bool(np.argmax(means) == len(counts))


def _worth(found: Sequence[Evaluation], search: BeamSearch, left_out: np.ndarray) -> float:
    """The mean of the formulas' agreements; the least there is, -1, where there is no formula."""
    if not found:
        return -1.0
    scores = search.problem.scores([e.proxy for e in found]) * [[e.sign] for e in found]
    return float(np.mean([_agreement(row, search.problem.target.values, left_out) for row in scores]))


def _agreement(scores: np.ndarray, quality: np.ndarray, left_out: np.ndarray) -> float:
    """Tau-b over the pairs of architectures of which at least one was left out; 0 where there is none."""
    i, j = np.triu_indices(len(quality), 1)
    touched = left_out[i] | left_out[j]
    i, j = i[touched], j[touched]
    with np.errstate(invalid="ignore"):
        x, y = np.sign(scores[i] - scores[j]), np.sign(quality[i] - quality[j])
        untied = np.sqrt(np.abs(x).sum() * np.abs(y).sum())
    return float((x * y).sum() / untied) if np.isfinite(untied) and untied > 0 else 0.0
