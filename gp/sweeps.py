"""Sweeps: a formula compared with all that differ from it in one branch, some ten thousand in a few matrix products.

A branch is a number per network, and so is the rest of the formula; the neighbours of a formula are what joins make of
the two. Only joins of numbers are swept: a product entry by entry has no such form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from fitness.evaluation import ranking_keys
from fitness.objectives import ranking_identities
from fitness.tables.branches import BranchTable, joined
from fitness.tables.chains import chains_of
from gp.additions import Additions
from gp.config import SearchConfig
from gp.constants import ridge_slopes, weighed
from gp.problem import SearchProblem
from primitives.operators import BINARY, constant_of
from primitives.pps import violation
from primitives.proxy import Branch, Extension, Proxy
from primitives.scoring import resolved

__all__ = ["Interrupted", "Part", "Singles", "Sweeper", "number_joins", "whole"]

LONGEST = 2  # unary operators in a branch that is tried; three would be twenty times as many
FEW = 40  # results of least squares whose objective is computed
LOOKED_AT = 100  # results of one operator whose objective is computed; a rougher order chooses them


def number_joins(operators: Sequence[str] = tuple(BINARY)) -> tuple[str, ...]:
    """Operators that join two numbers; matmul equals the product there."""
    return tuple(name for name in BINARY if name in operators and name != "matmul")


class Interrupted(Exception):
    """A search was asked to stop; nothing of the step is kept."""


Part = tuple[str, str, Branch]
"""A branch with its aggregation, and the operator that joins it to what stands before it ("" for the first)."""


@dataclass(frozen=True, eq=False)
class Singles:
    """Aggregated branches as formulas of their own and their values before rounding, (K, N); no two rank the
    networks alike, and none is constant."""

    proxies: tuple[Proxy, ...]
    values: np.ndarray

    @classmethod
    def of(
        cls,
        table: BranchTable,
        config: SearchConfig,
        jobs: int = 1,
        should_stop: Callable[[], bool] = lambda: False,
        beside: Sequence[BranchTable] = (),
    ) -> Singles:
        """Every one of the space that the rules allow; the simplest stands for those that rank alike. The tables
        `beside` are filled with the same branches."""
        chains = sorted(chains_of(min(config.n_unary, LONGEST)), key=lambda chain: (len(chain), chain))
        found: list[Proxy] = []
        for name in config.inputs:
            allowed = [c for c in chains if not config.pps or violation(Proxy("sum", Branch(name, c))) is None]
            if should_stop():
                raise Interrupted
            for each in (table, *beside):
                each.fill(name, allowed, jobs)
            found += [Proxy(aggregate, Branch(name, c)) for c, aggregate in product(allowed, config.aggregates)]
        values = table.values(found)
        scores = resolved(values)
        with np.errstate(invalid="ignore"):
            usable = np.flatnonzero(np.isfinite(scores).all(-1) & (scores.max(-1) > scores.min(-1)))
        first: dict[str, int] = {}
        for place, key in zip(usable.tolist(), ranking_keys(scores[usable]), strict=True):
            if key not in first or found[place].complexity < found[first[key]].complexity:
                first[key] = place
        return cls(tuple(found[place] for place in first.values()), values[list(first.values())])


@dataclass(frozen=True, eq=False)
class Sweeper:
    """The neighbourhoods of formulas: the problem, and every single branch on the architectures that count in it."""

    problem: SearchProblem
    singles: Singles
    joins: tuple[str, ...] = number_joins()

    @classmethod
    def create(
        cls, problem: SearchProblem, config: SearchConfig, should_stop: Callable[[], bool] = lambda: False
    ) -> Sweeper:
        """The sweeper over every single branch of the space. Raises Interrupted when `should_stop` says so."""
        beside = [table for probes in problem.probes for table in (probes.first, probes.second)]
        singles = Singles.of(problem.table, config, problem.jobs, should_stop, beside)
        return cls(problem, singles, number_joins(config.operators))

    def only(self, problem: SearchProblem) -> Sweeper:
        """The sweeper of a problem with fewer architectures."""
        singles = Singles(self.singles.proxies, self.singles.values[:, problem.places])
        return Sweeper(problem, singles, self.joins)

    def __call__(self, proxy: Proxy | None, hole: int) -> tuple[Iterator[Proxy], int]:
        """The best neighbours, best first, no two of which rank alike, and how many were compared."""
        parts = _parts(*self.problem.fitted([proxy])) if proxy is not None else []
        if self.problem.distils and parts:
            return self._distilled(parts, hole)
        before, after = parts[:hole], parts[hole + 1 :]
        found: list[tuple[str, Proxy]] = []
        kept: list[np.ndarray] = []
        compared = 0
        for operator in self.joins if before else ("",):
            scores = self._scores(before, operator, after)
            places, count = self._best(scores)
            compared += count
            kept.append(scores[places])
            found += [(operator, self.singles.proxies[place]) for place in places]
        best = (found[at] for at in self._different(np.concatenate(kept)))
        return (whole([*before, (o, b.aggregate, b.left), *after]).without_constants() for o, b in best), compared

    def _distilled(self, parts: Sequence[Part], hole: int) -> tuple[Iterator[Proxy], int]:
        """The neighbours that agree best with a teacher: those that are added or taken off by least squares, and
        products."""
        before, after = parts[:hole], parts[hole + 1 :]
        found = self._added(before, after)
        if before and "product" in self.joins:
            values = self._values(before, "product", after, self.singles.values)
            places = self._additions.of(values, self.problem.target.values, 1.0).best(values[:0], FEW)
            branches = (self.singles.proxies[place] for place in places)
            found += [whole([*before, ("product", b.aggregate, b.left), *after]).without_constants() for b in branches]
        fit = list(self.problem.fitted(found))
        scores = self.problem.scores(fit)
        usable = np.flatnonzero(self.problem.usable(scores))
        order = self._different(scores[usable])
        compared = len(self.singles.proxies) * (1 + bool(before and "product" in self.joins))
        return (found[usable[at]] for at in order), compared

    def _added(self, before: Sequence[Part], after: Sequence[Part]) -> list[Proxy]:
        """The formulas with the branches that add most in the place between what stands before and after; each part is
        added or taken off as its slope wants it."""
        plain = [(name if name == "product" else "sum", constant_of(a)[1], b) for name, a, b in (*before, *after)]
        rows = [self.problem.table.row(aggregate, branch)[self.problem.places] for _, aggregate, branch in plain]
        factors, rest = [name == "product" for name, _, _ in plain], np.empty((len(rows), len(self._additions.target)))
        factor = np.ones(rest.shape[-1])
        for at, row in enumerate(rows):
            if not factors[at]:
                rest[at] = row
                continue
            rest[:at] *= row
            factor = factor * row if at >= len(before) else factor
        kept = [at for at, is_factor in enumerate(factors) if not is_factor]
        additions = self._additions
        if any(factors[len(before) :]):
            additions = additions.times(self.singles.values, factor)
        best = additions.best(rest[kept], FEW)
        stacked = np.stack([[*rest[kept], self.singles.values[place] * factor] for place in best])
        slopes = ridge_slopes(stacked, self.problem.target.values, self.problem.shrinkage)
        found = []
        for place, own in zip(best, slopes, strict=True):
            signs = dict(zip(kept, np.sign(own), strict=False))
            single = self.singles.proxies[place]
            new = [(*part, signs.get(at, 1.0)) for at, part in enumerate(plain)]
            new.insert(len(before), ("sum", single.aggregate, single.left, float(np.sign(own[-1]))))
            found.append(_signed(new))
        return found

    @cached_property
    def _additions(self) -> Additions:
        return Additions.of(self.singles.values, self.problem.target.values, self.problem.shrinkage)

    def _scores(self, before: Sequence[Part], operator: str, after: Sequence[Part]) -> np.ndarray:
        """(K, N): every branch in the place between what stands before and after."""
        values = self._values(before, operator, after, self.singles.values)
        if self.problem.constants and "product" not in operator:
            rest = self._values(before, operator, after, np.zeros(values.shape[-1]))
            values = weighed(rest, values - rest, self.problem.target.values)
        with np.errstate(all="ignore"):
            return resolved(values)

    def _values(self, before: Sequence[Part], operator: str, after: Sequence[Part], values: np.ndarray) -> np.ndarray:
        """`values` (..., N) in the place between what stands before and after."""
        if before:
            values = joined(BINARY[operator], self._value(before), values)
        for name, aggregate, branch in after:
            values = joined(BINARY[name], values, self._value([("", aggregate, branch)]))
        return values

    def _value(self, parts: Sequence[Part]) -> np.ndarray:
        return self.problem.table.value(whole(parts))[self.problem.places]

    def _best(self, scores: np.ndarray) -> tuple[np.ndarray, int]:
        """The places of the roughly best rows, and how many rows could be compared."""
        usable = np.flatnonzero(self.problem.usable(scores))
        worth = np.abs(self.problem.rough(scores[usable]))
        return usable[np.argsort(-worth, kind="stable")[:LOOKED_AT]], len(usable)

    def _different(self, scores: np.ndarray) -> list[int]:
        """The rows in the order of the objective, one of each ranking."""
        worth = self.problem.agreement(scores)
        keys = ranking_identities(self.problem.target, np.where(worth < 0, -1, 1)[:, None] * scores)
        first: dict[str, int] = {}
        for place in np.argsort(-np.abs(worth), kind="stable").tolist():
            first.setdefault(keys[place], place)
        return list(first.values())


def _parts(proxy: Proxy) -> list[Part]:
    """The branches of a formula, each aggregated: a join block by block counts as one of their aggregates."""
    parts = [("", proxy.aggregate, proxy.left)]
    if proxy.right is not None:
        binary = "product" if proxy.binary == "matmul" else str(proxy.binary)
        parts.append((binary, proxy.right_aggregate or proxy.aggregate, proxy.right))
    return parts + [(e.binary, e.aggregate, e.branch) for e in proxy.extensions]


def _signed(parts: Sequence[tuple[str, str, Branch, float]]) -> Proxy:
    """The formula whose parts, each with the sign of its slope, are added or taken off beside the first."""
    first = parts[0][3]
    named = [
        ("difference" if name == "sum" and sign * first < 0 else name, aggregate, branch)
        for name, aggregate, branch, sign in parts
    ]
    return whole(named).without_constants()


def whole(parts: Sequence[Part]) -> Proxy:
    """The formula that at most MAX_BRANCHES parts make."""
    (_, first, left), *others = parts
    if not others:
        return Proxy(first, left)
    (binary, second, right), *more = others
    return Proxy(first, left, binary, right, second, tuple(Extension(*part) for part in more))
