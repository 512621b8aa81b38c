"""The choice of the kind of formula: cross-validation inside the search split, before the evolution begins; and of the
formula that stands for a hall of fame.

Formulas chosen among millions by the labels of 50 networks may fit those 50 too well. So kinds compete, and a fifth of
the split at a time says how well the formulas of a kind rank networks that they were not chosen by:

fine    any formulas;
coarse  formulas with few levels, each of them shared by many networks, which tell little apart and can therefore fit
        little (the idea of a least leaf size in a decision tree; Breiman et al. 1984);
distilled  longer formulas that agree with a teacher on networks without labels (`gp/lesson.py`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from fitness.evaluation import Evaluation
from fitness.ranking import RankTarget, kendall, row_by_row
from gp.config import SearchConfig
from gp.evolution.evolve import Step, evolve
from gp.evolution.variation import Exhausted
from gp.hall_of_fame import HallOfFame
from gp.lesson import Lesson
from gp.problem import SearchProblem
from gp.sweeps import Interrupted, Sweeper

__all__ = ["chosen_kind", "faithful", "fidelity", "led_by_consensus"]

FAITHFUL = 0.9  # least fidelity of a formula that is to score further subnets by sketches
BEST = 10  # formulas of a kind that are looked at; of the coarse ones the first, because there are few


def led_by_consensus(hall: HallOfFame, problem: SearchProblem, scores: np.ndarray) -> HallOfFame:
    """The hall of fame with the formula first that is nearest, by rho, to the mean ranking of all of them, in the mean
    over the benchmarks; `scores` (P, n) are those of its formulas."""
    if len(hall.champions) < 2:
        return hall
    signs = np.array([[champion.sign] for champion in hall.champions])
    near = np.zeros(len(signs))
    for own in problem.target.slices:
        ranks = stats.rankdata(signs * scores[:, own], axis=-1)
        varies = np.ptp(ranks, axis=-1) > 0
        if varies.any() and np.ptp(ranks.mean(0)) > 0:
            near[varies] += row_by_row(ranks[varies], np.broadcast_to(ranks.mean(0), ranks[varies].shape))
    return hall.led_by(hall.champions[int(np.argmax(near))])


def _rehearsal(config: SearchConfig, kind: str, fold: int) -> SearchConfig:
    """The settings of the short evolution that tries a kind; of the few coarse ones the first have the best."""
    short = replace(config, seed=config.seed ^ (fold + 1), iterations=240 if kind == "fine" else 0, population=60)
    short = replace(short, algorithm="memetic")  # a kind is that of the formulas, whoever finds them
    return replace(short, brood=40, sweeps=4, hall_size=BEST, start=())  # what it starts from may know the labels


def chosen_kind(
    problem: SearchProblem, sweeper: Sweeper, config: SearchConfig, should_stop: Callable[[], bool] = lambda: False
) -> str:
    """The kind of formula that ranks left-out networks best, in the mean over the folds; of equal ones the first.
    Distilled formulas are represented by their teacher, fitted to the labels that are not left out.
    Raises Interrupted when `should_stop` says so."""
    kinds = ("fine", *["coarse"] * bool(config.coarse))
    if not config.folds or (len(kinds) == 1 and problem.lesson is None):
        return "fine"
    folds = _folds(problem, config)
    worth = np.empty((len(folds), len(kinds)))
    for fold, left_out in enumerate(folds):
        part = problem.only(np.flatnonzero(~left_out))
        for place, kind in enumerate(kinds):
            found = _rehearsed(part, sweeper, kind, _rehearsal(config, kind, fold), should_stop)
            worth[fold, place] = _worth(found[: 1 if kind == "coarse" else BEST], problem, left_out)
    best = worth.mean(0).round(12)
    if problem.lesson is not None and _worth_of_teacher(problem.lesson, folds) > best.max():
        return "distilled"
    return kinds[int(np.argmax(best))]


def _folds(problem: SearchProblem, config: SearchConfig) -> list[np.ndarray]:
    """Number of the fold that leaves out each architecture, (N,): a random share; of several benchmarks also a whole
    one each. An architecture that stands in several rows, one for each training budget, is left out in all of them."""
    count = problem.table.count
    digests = [architecture.digest for architecture in problem.architectures]
    labelled = digests[: len(problem.target.values)]
    if len(set(labelled)) < len(labelled):
        return _folds_of_repeats(digests, config)
    order = list(range(count))
    random.Random(f"folds:{config.seed}").shuffle(order)
    chosen: list[list[int]] = [order[fold :: config.folds] for fold in range(config.folds)]
    if len(problem.target.slices) > 1:
        chosen += [list(range(own.start, own.stop)) for own in problem.target.slices]
    return [np.isin(np.arange(len(order)), places) for places in chosen]


def _folds_of_repeats(digests: Sequence[str], config: SearchConfig) -> list[np.ndarray]:
    different = sorted(set(digests))
    random.Random(f"folds:{config.seed}").shuffle(different)
    return [np.isin(digests, different[fold :: config.folds]) for fold in range(config.folds)]


def _rehearsed(
    part: SearchProblem, sweeper: Sweeper, kind: str, config: SearchConfig, should_stop: Callable[[], bool]
) -> Sequence[Evaluation]:
    """The best formulas of a short evolution of a kind."""

    def heed(step: Step) -> bool:
        if should_stop():
            raise Interrupted
        return False

    part = part.of_kind(kind, config)
    try:
        return evolve(config, part.evaluate, should_stop=heed, sweep=sweeper.only(part)).hall.champions
    except Exhausted:
        return ()


def _worth(found: Sequence[Evaluation], problem: SearchProblem, left_out: np.ndarray) -> float:
    """The mean of the formulas' agreements; the least there is, -1, where there is no formula."""
    if not found:
        return -1.0
    scores = problem.scores([e.proxy for e in found]) * [[e.sign] for e in found]
    target = problem.target
    asked = [own for own in target.slices if left_out[own].any()]
    return float(np.mean([_agreement(row[own], target.values[own], left_out[own]) for row in scores for own in asked]))


def _worth_of_teacher(lesson: Lesson, folds: Sequence[np.ndarray]) -> float:
    """Tau-b of the predictions for each network by a teacher of the other folds; a regression fits its own labels too
    well for the pairs by which formulas are compared."""
    said = np.empty(len(lesson.quality))
    for left_out in folds:
        said[left_out] = lesson.says(np.flatnonzero(~left_out))[: len(said)][left_out]
    return kendall(said, lesson.quality)


def _agreement(scores: np.ndarray, quality: np.ndarray, left_out: np.ndarray) -> float:
    """Tau-b over the pairs of architectures of which at least one was left out; 0 where there is none."""
    i, j = np.triu_indices(len(quality), 1)
    touched = left_out[i] | left_out[j]
    i, j = i[touched], j[touched]
    with np.errstate(invalid="ignore"):
        x, y = np.sign(scores[i] - scores[j]), np.sign(quality[i] - quality[j])
        untied = np.sqrt(np.abs(x).sum() * np.abs(y).sum())
    return float((x * y).sum() / untied) if np.isfinite(untied) and untied > 0 else 0.0


def fidelity(exact: np.ndarray, sketch: np.ndarray) -> float | None:
    """Spearman's rho between exact and sketch scores over the architectures where both exist."""
    both = np.isfinite(exact) & np.isfinite(sketch)
    if both.sum() < 3 or np.ptp(exact[both]) == 0 or np.ptp(sketch[both]) == 0:
        return None
    return round(float(RankTarget.create(exact[both]).spearman(sketch[None, both])[0]), 6)


def faithful(exact: np.ndarray, sketch: np.ndarray) -> list[int]:
    """The rows of exact scores (P, N) that rank as their sketch scores do; all rows where none does."""
    found = [fidelity(*pair) or 0.0 for pair in zip(exact, sketch, strict=True)]
    return [place for place, worth in enumerate(found) if worth >= FAITHFUL] or list(range(len(found)))
