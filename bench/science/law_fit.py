"""The law of shape and training budget: its terms, its constants from labels, and its text.

The law is a sum of five terms: the logarithms of the entries P of an attention matrix and of a feed-forward matrix,
ln L of the depth L, ln L times T, and less the square of ln P / 2 - 2 ln L - BEST, which is 0 at the best depth for a
width. Its constants are fitted by a logistic regression of which of two networks is better, on pairs of one training
budget (half of the weight for pairs of one size), every benchmark counting alike; they are pulled towards attention
times FFN (1, 1, 2, 0, 0).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from fitness.budgets import budgets_of
from fitness.evaluation import Split, split_groups
from fitness.features.workshop import Workshop
from fitness.near_pairs import NEAR
from fitness.protocol import sizes_of
from gp.studies.transfer import tested, tested_near
from models.benchmarks.benchmark import Benchmark
from primitives.budget import USUAL_T
from primitives.grammar import parse
from primitives.operators import fixed, times, turns

BRANCHES = (("mean", "log(params.attn)"), ("mean", "log(params.ffn)"), ("log_depth", "block"),
            ("mean", "pow2(log(params.attn))"), ("log_depth", "log(params.attn)"), ("squared_log_depth", "block"),
            ("T*log_depth", "block"))  # fmt: skip
PRIOR = np.array([1.0, 1.0, 2.0, 0.0, 0.0])
BEST = 1.7  # the square alone is 0 at L = sqrt(d / 5.5), if matrices of attention have d^2 entries
GAPS = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.16, 0.2, 0.24)  # a quarter, twice and four times it have two digits
LAWS = {"law with T": (1, 1, 1, 1, 1), "law without T": (1, 1, 1, 0, 1), "law without a best depth": (1, 1, 1, 1, 0)}
SLOPE = 4.0  # of the logistic curve, for a unit of the law
GUESSES = 1000


@dataclass(frozen=True, eq=False)
class Rows:
    """A benchmark and the values (N, 5) of the law's terms on it; T counts from 20 tokens a parameter on.
    Labels are those of the search split of a seed, or of the `split` that is given."""

    benchmark: Benchmark
    terms: np.ndarray
    split: Split | None = None

    @classmethod
    def of(cls, benchmark: Benchmark, bank: Path) -> Rows:
        formulas = [parse(f"{aggregate}[ {branch} ]") for aggregate, branch in BRANCHES[:-1]]
        found = Workshop.open(benchmark.space, bank=bank).exact_scores(formulas, benchmark.architectures)
        attention, ffn, depth, *squares = found
        turn = (budgets_of(benchmark.architectures) - USUAL_T) * depth
        gap = squares[0] / 4 - 2 * squares[1] + 4 * squares[2] - BEST * (attention - 4 * depth)
        return cls(benchmark, np.column_stack([attention, ffn, depth, turn, -gap]))

    def pairs(self, seed: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Differences (P, 5) of pairs of one budget, which is better (P,), and whether they are of one size (P,)."""
        most = min(size, 2 * len(self.benchmark) // 5)
        own = np.array((self.split or split_groups(self.benchmark.groups, most, seed)).search)
        quality, sizes = self.benchmark.quality[own], sizes_of(self.benchmark)[own]
        one, other = np.triu_indices(len(own), 1)
        budgets = self.benchmark.budgets[own]
        kept = (budgets[one] == budgets[other]) & (quality[one] != quality[other])
        one, other = one[kept], other[kept]
        near = np.abs(sizes[one] - sizes[other]) <= NEAR * np.maximum(sizes[one], sizes[other])
        return self.terms[own][one] - self.terms[own][other], np.sign(quality[one] - quality[other]), near

    def tested(self, scores: np.ndarray) -> tuple[float, float]:
        """tau-b within each budget, and tau over pairs of one size; 0 where all scores are alike."""
        return tested(scores, self.benchmark) or 0.0, tested_near(scores, self.benchmark) or 0.0


def fitted(
    rows: Sequence[Rows], seed: int, size: int, pull: float, free: np.ndarray, prior: np.ndarray = PRIOR
) -> np.ndarray:
    """The law's constants (5,), the last one not below 0; those that are not `free` (5,) stay at `prior`."""
    unlike = _unlike(rows, seed, size)

    def loss(constants: np.ndarray) -> tuple[float, np.ndarray]:
        gap = (constants - prior) * free
        total, slope = unlike(constants)
        return total + pull * float(gap @ gap), (slope + 2 * pull * gap) * free

    return minimize(loss, prior, jac=True, method="L-BFGS-B", bounds=[(None, None)] * 4 + [(0, None)]).x


def guessed(rows: Sequence[Rows], seed: int, size: int) -> np.ndarray:
    """The best of GUESSES laws with random constants (5,), by the same loss: what the choice alone is worth."""
    draws = np.random.default_rng(seed).normal(0.0, 2.0, (GUESSES, len(PRIOR)))
    draws[:, -1] = np.abs(draws[:, -1])
    unlike = _unlike(rows, seed, size)
    return min(draws, key=lambda constants: unlike(constants)[0])


def _unlike(rows: Sequence[Rows], seed: int, size: int) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """The loss of constants (5,) on the benchmarks' pairs, and its gradient."""
    groups = []
    for own in rows:
        differences, better, near = own.pairs(seed, size)
        groups += [(differences[part], better[part]) for part in (near, ~near) if part.sum() > 2]

    def loss(constants: np.ndarray) -> tuple[float, np.ndarray]:
        total, slope = 0.0, np.zeros(len(constants))
        for differences, better in groups:
            margin = SLOPE * better * (differences @ constants)
            total += 0.5 * float(np.logaddexp(0, -margin).mean())
            slope -= 0.5 * SLOPE * (differences * (better * expit(-margin))[:, None]).mean(0)
        return total, slope

    return loss


def text_of(constants: np.ndarray) -> str:
    """The law as a formula: T counts from 0 on in it, the first branch has no constant, and that of the best depth is
    one of GAPS, so that two digits spell all three of its branches."""
    first = constants[0] + BEST * constants[4]
    _, ffn, depth, turn, gap = constants / first
    gap = min(GAPS, key=lambda each: abs(each - gap))
    squares = (-gap / 4, 2 * gap, -4 * gap)
    factors = (1.0, ffn, depth - turn * USUAL_T - 4 * BEST * gap, *squares, turn)
    text = ""
    for x, (aggregate, branch) in zip(factors, BRANCHES, strict=True):
        if x:
            part = f"{times(abs(x), fixed(aggregate))}[ {branch} ]"
            part = f"product( T, {part} )" if turns(aggregate) else part
            text = f"{'sum' if x > 0 else 'difference'}( {text}, {part} )" if text else part
    return str(parse(text))
