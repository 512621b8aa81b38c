"""Symbolic regression by a library as a search: Operon (Burlacu, Kronberger & Kommenda 2020, doi
10.1145/3377929.3398099) on every single branch of the space, its trees read back as formulas of our grammar.

    pip install -r requirements-operon.txt

A tree of sums, differences and products is multiplied out. What is linear in the branches becomes a sum of them; the
largest product of two may stand first; other products have no place in the grammar and are left out. The constants of
the tree choose branches and signs; those of the formula are fitted like those of any other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from gp.config import SearchConfig
from gp.problem import SearchProblem
from gp.sweeps import Part, Singles, whole
from primitives.proxy import Proxy
from storage.errors import MissingData

__all__ = ["MissingOperon", "OperonRuns", "multiplied_out"]

TREES = 20_000  # of a run
POPULATION = 500
STEPS = 1  # of Levenberg-Marquardt for the constants of each tree
FACTORS, TERMS = 2, 64  # of a product, and of a sum, that are kept

Terms = dict[tuple[int, ...], float]
"""A polynomial: the coefficient of each product of columns, which are named by their places in rising order."""


class MissingOperon(MissingData):
    """The package pyoperon is not installed; the message says how to install it."""


@dataclass(frozen=True, eq=False)
class OperonRuns:
    """A sweep (`gp.evolution.breeder.Sweep`) whose neighbourhood number `hole` is a run of Operon with that seed,
    whatever the parent. Columns are the single branches in units of their deviation, the target is the ranks of the
    problem's target; one thread, so that a run is the same everywhere."""

    problem: SearchProblem
    singles: Singles
    seed: int
    branches: int

    @classmethod
    def create(cls, problem: SearchProblem, singles: Singles, config: SearchConfig) -> OperonRuns:
        """The runs of a search; MissingOperon where the package is not installed."""
        try:
            import pyoperon.sklearn  # noqa: F401
        except ImportError:
            raise MissingOperon(
                "--algorithm operon: pyoperon is not installed; pip install -r requirements-operon.txt"
            ) from None
        return cls(problem, singles, config.seed, config.branches)

    def __call__(self, proxy: Proxy | None, hole: int) -> tuple[Iterator[Proxy], int]:
        """The formulas of one run, and how many trees it compared."""
        target = np.concatenate([stats.rankdata(self.problem.target.values[own]) for own in self.problem.target.slices])
        values = self.singles.values
        deviation = values.std(-1)
        usable = np.flatnonzero(np.isfinite(deviation) & (deviation > 0))
        model = self._fitted((values[usable] / deviation[usable, None]).T, target, hole)
        trees = [model.get_model_string(found["tree"], 9) for found in model.pareto_front_]
        found = {p: None for tree in trees for p in self._spelt(multiplied_out(tree), usable)}
        return iter(found), int(model.stats_["evaluation_count"])

    def _fitted(self, columns: np.ndarray, target: np.ndarray, run: int) -> Any:
        from pyoperon.sklearn import SymbolicRegressor

        model = SymbolicRegressor(
            allowed_symbols="add,sub,mul,constant,variable", max_length=4 * self.branches - 1,
            population_size=POPULATION, generations=10**9, max_evaluations=TREES, optimizer_iterations=STEPS,
            n_threads=1, random_state=(self.seed * 1_000_003 + run) % 2**31,
        )  # fmt: skip
        return model.fit(columns, target)

    def _spelt(self, terms: Terms, usable: np.ndarray) -> list[Proxy]:
        """The formulas that a polynomial becomes: its linear part, and that behind its largest product."""
        order = sorted(terms, key=lambda term: -abs(terms[term]))  # terms of one size stay in the order of columns
        linear, products = ([term for term in order if len(term) == factors] for factors in (1, 2))
        chosen = (linear, [*products[:1], *linear])
        return [self._formula(terms, each, usable) for each in chosen if each]

    def _formula(self, terms: Terms, chosen: Sequence[tuple[int, ...]], usable: np.ndarray) -> Proxy:
        first, parts = np.sign(terms[chosen[0]]), list[Part]()
        for term in chosen:
            join = "sum" if np.sign(terms[term]) == first else "difference"
            for at, column in enumerate(term):
                single = self.singles.proxies[usable[column]]
                parts.append(("product" if at else join if parts else "", single.aggregate, single.left))
        return whole(parts[: self.branches])


def multiplied_out(text: str) -> Terms:
    """The polynomial of a tree that Operon prints, `(0.5 * X3) - (X1 * X2)`: products of at most FACTORS columns, the
    TERMS with the largest coefficients. The text is parsed, never evaluated."""
    return {term: c for term, c in _terms(ast.parse(text, mode="eval").body).items() if term and c}


def _terms(node: ast.expr) -> Terms:
    match node:
        case ast.Constant(int() | float() as value):
            return {(): float(value)}
        case ast.Name(name) if name[0] == "X" and name[1:].isdecimal():
            return {(int(name[1:]) - 1,): 1.0}
        case ast.UnaryOp(ast.USub(), inner):
            return _times({(): -1.0}, _terms(inner))
        case ast.BinOp(left, ast.Add(), right):
            return _plus(_terms(left), _terms(right))
        case ast.BinOp(left, ast.Sub(), right):
            return _plus(_terms(left), _times({(): -1.0}, _terms(right)))
        case ast.BinOp(left, ast.Mult(), right):
            return _times(_terms(left), _terms(right))
    raise ValueError(f"got {ast.unparse(node)[:60]}, wanted sums, differences and products")


def _plus(x: Mapping[tuple[int, ...], float], y: Mapping[tuple[int, ...], float]) -> Terms:
    return {term: x.get(term, 0.0) + y.get(term, 0.0) for term in sorted(x.keys() | y.keys())}


def _times(x: Mapping[tuple[int, ...], float], y: Mapping[tuple[int, ...], float]) -> Terms:
    found = Terms()
    for a, one in x.items():
        for b, other in y.items():
            if len(term := tuple(sorted((*a, *b)))) <= FACTORS:
                found[term] = found.get(term, 0.0) + one * other
    largest = sorted(found, key=lambda term: (-abs(found[term]), term))[:TERMS]
    return {term: found[term] for term in largest}
