"""The whole published space, streamed: every pair of different inputs, every chain, every binary operator.

What evolution samples can be enumerated from the branch table, so the true optimum on a search split is known, and
with it how far any formula is from it. Trees that spell the same formula (with no_op, pruned branches, inputs in
another order) are scored once and counted as often as they occur.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import comb

import numpy as np
from joblib import Parallel, delayed

from fitness.evaluation import Evaluation, ranking_key
from fitness.ranking import RankTarget
from fitness.tables.branches import BranchTable
from fitness.tables.chains import chains_of
from fitness.tables.pairs import PairTable
from gp.hall_of_fame import HallOfFame
from primitives.inputs import PAPER
from primitives.operators import BINARY, UNARY
from primitives.proxy import Branch, Proxy

__all__ = ["Survey", "exhaust", "trees_in"]

BINS = 100_000  # of |rho|, so quantiles are known to 1e-5


@dataclass
class Survey:
    """Progress of an enumeration; counts are of trees, `formulas` of distinct formulas.

    `hall` holds the best formulas (found_at: trees seen until then); `above[i]` trees are better than `marks[i]`.
    Memory does not grow with the space.
    """

    marks: np.ndarray
    hall: HallOfFame
    trees: int = 0
    formulas: int = 0
    invalid: Counter[str] = field(default_factory=Counter)
    histogram: np.ndarray = field(default_factory=lambda: np.zeros(BINS + 1, dtype=np.int64))
    above: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.above = np.zeros(len(self.marks), dtype=np.int64)

    @property
    def top(self) -> tuple[Evaluation, ...]:
        """The best formulas, best first."""
        return self.hall.champions

    @property
    def valid(self) -> int:
        """Trees that have a fitness."""
        return int(self.histogram.sum())

    def quantile(self, share: float) -> float:
        """The fitness that this share of the valid trees does not exceed."""
        reached = int(np.searchsorted(np.cumsum(self.histogram), share * self.valid))
        return min(reached, BINS) / BINS

    def take(self, scores: np.ndarray, rho: np.ndarray, weights: np.ndarray, name: Callable[[int], Proxy]) -> None:
        """Add formulas: scores (P, N), their rho (P,; nan if constant, inf if not finite), trees of each (P,)."""
        infinite, constant = np.isinf(rho), np.isnan(rho)
        self.trees += int(weights.sum())
        self.formulas += len(rho)
        self.invalid["not finite"] += int(weights[infinite].sum())
        self.invalid["constant"] += int(weights[constant].sum())
        fitness = np.where(infinite | constant, -1.0, np.abs(rho)).round(12)
        known = fitness >= 0
        places = np.minimum((fitness[known] * BINS).astype(np.int64), BINS)
        self.histogram += np.bincount(places, weights[known], BINS + 1).astype(np.int64)
        if len(self.marks):
            better = fitness[:, None] > self.marks + 1e-9
            self.above += weights @ better
        for row in np.argsort(-fitness, kind="stable"):
            worst = self.top[-1].fitness if len(self.top) == self.hall.size else 0.0
            if fitness[row] < worst:
                break
            sign = 1 if rho[row] >= 0 else -1
            key = ranking_key(sign * scores[row])
            self.hall.offer(Evaluation(name(int(row)), float(fitness[row]), sign, key), self.trees)


def trees_in(n_unary: int, inputs: Sequence[str] = PAPER) -> int:
    """Number of trees of the space, those without a branch left included: C(6, 2) 21^2n 4 for the published one."""
    return comb(len(inputs), 2) * len(UNARY) ** (2 * n_unary) * len(BINARY)


def exhaust(
    table: BranchTable,
    target: RankTarget,
    n_unary: int,
    aggregate: str = "mean",
    inputs: Sequence[str] = PAPER,
    top: int = 20,
    marks: Sequence[float] = (),
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Survey:
    """Score and rank every proxy `aggregate[ binary( left, right ) ]` over pairs of different inputs."""
    survey = Survey(np.array(marks, dtype=float), HallOfFame(top))
    chains = chains_of(n_unary)
    spellings = np.array([comb(n_unary, len(chain)) for chain in chains])  # where the no_ops stand
    pruned = len(UNARY) ** n_unary - int(spellings.sum())
    survey.invalid["both branches pruned"] = comb(len(inputs), 2) * pruned**2 * len(BINARY)
    survey.trees += survey.invalid["both branches pruned"]
    for name in inputs:
        table.fill(name, chains, jobs)
        single = [Proxy(aggregate, Branch(name, chain)) for chain in chains]
        scores = table.scores(single)
        partners = pruned * len(BINARY) * (len(inputs) - 1)
        survey.take(scores, _correlate(scores, target), spellings * partners, single.__getitem__)
    pairs = list(combinations(inputs, 2))
    for done, (left, right) in enumerate(pairs, start=1):
        _take_pair(survey, PairTable(table, left, right, chains, aggregate, jobs), target, spellings, jobs)
        if progress:
            progress(done, len(pairs))
    return survey


def _take_pair(survey: Survey, pairs: PairTable, target: RankTarget, spellings: np.ndarray, jobs: int) -> None:
    chains = pairs.chains
    twice = not pairs.distinct("matmul")

    def namer(operator: str, start: int) -> Callable[[int], Proxy]:
        def name(row: int) -> Proxy:
            left, right = divmod(row, len(chains))
            branches = Branch(pairs.left, chains[start + left]), Branch(pairs.right, chains[right])
            return Proxy(pairs.aggregate, branches[0], operator, branches[1]).canonical()

        return name

    for operator in (o for o in BINARY if pairs.distinct(o)):
        trees = np.outer(spellings, spellings) * (2 if twice and operator == "product" else 1)
        for rows, scores in pairs.batches(operator):
            flat = scores.reshape(-1, scores.shape[-1])
            parts = np.array_split(flat, jobs)
            rho = np.concatenate(
                Parallel(n_jobs=jobs, prefer="threads")(delayed(_correlate)(part, target) for part in parts)
            )
            survey.take(flat, rho, trees[rows].ravel(), namer(operator, rows.start))


def _correlate(scores: np.ndarray, target: RankTarget) -> np.ndarray:
    """rho of each row; nan where all scores are equal, inf where one is not finite."""
    result = np.full(len(scores), np.inf)
    finite = np.isfinite(scores).all(-1)
    result[finite] = target.spearman(scores[finite])
    return result
