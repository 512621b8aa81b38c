"""Objectives: what a search maximises, and its one door: a function with the decorator `objective` is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fitness.across import Target
from fitness.evaluation import Evaluation, ranking_keys
from fitness.ranking import RankTarget
from primitives.invalid import Invalid
from primitives.proxy import Proxy
from storage.errors import WrongInput

__all__ = [
    "LIKE_RHO",
    "OBJECTIVES",
    "BadObjective",
    "Objective",
    "agreement",
    "evaluate_scores",
    "objective",
    "ranking_identities",
]


class BadObjective(WrongInput):
    """An objective that cannot be registered; the message says why."""


Objective = Callable[[RankTarget, np.ndarray], np.ndarray]
"""A function that a search maximises: signed agreement (P,) of the finite scores (P, N) with a target, nan where all
are equal."""

OBJECTIVES: dict[str, Objective] = {}
"""The objectives by name."""


def objective(name: str) -> Callable[[Objective], Objective]:
    """Register an objective; BadObjective if the name is taken, or if it does not know a ranking from its reverse."""

    def register(measure: Objective) -> Objective:
        probe = np.arange(4.0)
        if name in OBJECTIVES:
            raise BadObjective(f"objective {name!r}: the name is taken; choose another")
        same, reverse = measure(RankTarget.create(probe), np.stack([probe, -probe]))
        if not reverse < 0 < same:
            got = f"got {same:.3g} for the target itself and {reverse:.3g} for its reverse"
            raise BadObjective(f"objective {name!r}: {got}, wanted more and less than 0; correct it")
        OBJECTIVES[name] = measure
        return measure

    return register


objective("spearman")(RankTarget.spearman)
objective("kendall")(RankTarget.kendall)


objective("both")(RankTarget.mean_of_both)
objective("pairs")(RankTarget.pairs_of_one_size)

LIKE_RHO = ("spearman", "kendall", "both")
"""The objectives that put formulas nearly in the order of rho."""


def agreement(name: str, target: Target, scores: np.ndarray) -> np.ndarray:
    """The objective of that name, signed, of finite scores (P, N) that are not constant -> (P,); rounded, because the
    last bit of a dot product may depend on how many rows there are."""
    return target.agreement(OBJECTIVES[name], scores).round(12)


def ranking_identities(target: Target, scores: np.ndarray) -> list[str]:
    """The identity of each ranking (P, N); of several benchmarks, of the rankings inside each."""
    return ranking_keys(target.within(scores))


def evaluate_scores(
    proxies: Sequence[Proxy], scores: np.ndarray, target: Target, objective: str = "spearman"
) -> list[Evaluation]:
    """Evaluations of score vectors (P, N); the sign is chosen here, on these architectures only."""
    finite = np.isfinite(scores).all(-1)
    constant = finite & (scores.max(-1) == scores.min(-1))
    usable = finite & ~constant
    fitness = np.full(len(proxies), -np.inf)
    if usable.any():
        fitness[usable] = agreement(objective, target, scores[usable])
    signs = np.where(fitness >= 0, 1, -1)
    keys = iter(ranking_identities(target, scores[usable] * signs[usable, None]))
    result = []
    for proxy, sign, value, is_finite, is_constant in zip(proxies, signs, fitness, finite, constant, strict=True):
        if not is_finite:
            result.append(Evaluation.refuse(proxy, Invalid.NON_FINITE))
        elif is_constant:
            result.append(Evaluation.refuse(proxy, Invalid.CONSTANT))
        else:
            result.append(Evaluation(proxy, float(abs(value)), int(sign), next(keys)))
    return result
