"""Beams: formulas of two, three, ... branches, found by joining every branch of the space to the best ones.

The first beam are the best single branches of the space and the hall of fame; each member is joined, outside, to every
branch of the space by every operator that joins numbers, and the best results that rank the networks differently are
the next beam. Branches are rows of the branch table, so some millions of formulas are compared in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from joblib import Parallel, delayed

from fitness.evaluation import Evaluation, ranking_key
from fitness.tables.branches import BranchTable
from fitness.tables.chains import chains_of
from gp.config import SearchConfig
from gp.growth.problem import SearchProblem
from primitives.operators import BINARY
from primitives.pps import violation
from primitives.proxy import MAX_BRANCHES, Branch, Proxy
from primitives.scoring import resolved

__all__ = ["BeamSearch", "Interrupted", "Singles", "number_joins"]

LONGEST = 2  # unary operators in a branch that is tried; three would be twenty times as many
PER_PARENT = 500  # results of one parent and one operator that are looked at more closely
POOLED = 10_000  # results of all parents whose objective is computed


def number_joins() -> tuple[str, ...]:
    """The operators that join two numbers; matmul is the product there."""
    return tuple(name for name in BINARY if name != "matmul")


class Interrupted(Exception):
    """Growth was asked to stop; nothing of it is kept."""


def _heed(should_stop: Callable[[], bool]) -> None:
    """Raise Interrupted if the search should stop."""
    if should_stop():
        raise Interrupted


@dataclass(frozen=True, eq=False)
class Singles:
    """Aggregated branches as formulas of their own and their values before rounding, (K, N); no two rank the
    networks alike, and none is constant."""

    proxies: tuple[Proxy, ...]
    values: np.ndarray

    @classmethod
    def of(
        cls, table: BranchTable, config: SearchConfig, jobs: int = 1, should_stop: Callable[[], bool] = lambda: False
    ) -> Singles:
        """Every one of the space that the rules allow; the simplest stands for those that rank alike."""
        chains = sorted(chains_of(min(config.n_unary, LONGEST)), key=lambda chain: (len(chain), chain))
        known: dict[str, tuple[Proxy, np.ndarray]] = {}
        for name in config.inputs:
            allowed = [c for c in chains if not config.pps or violation(Proxy("sum", Branch(name, c))) is None]
            _heed(should_stop)
            table.fill(name, allowed, jobs)
            for chain, aggregate in product(allowed, config.aggregates):
                single = Proxy(aggregate, Branch(name, chain))
                values = table.value(single)
                scores = resolved(values)
                if np.isfinite(scores).all() and scores.max() > scores.min():
                    key = ranking_key(scores)
                    if key not in known or single.complexity < known[key][0].complexity:
                        known[key] = single, values
        return cls(tuple(proxy for proxy, _ in known.values()), np.array([values for _, values in known.values()]))


@dataclass(frozen=True, eq=False)
class _Formula:
    """A formula and its value before rounding, (N,)."""

    proxy: Proxy
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class _Children:
    """The most promising results of one parent and one operator: which singles, and rho, both (C,)."""

    parent: _Formula
    operator: str
    places: np.ndarray
    rho: np.ndarray

    def scores(self, singles: Singles) -> np.ndarray:
        """(C, N)."""
        return _join(self.operator, self.parent.values, singles.values[self.places])

    def proxy(self, row: int, singles: Singles) -> Proxy:
        """The formula of a row."""
        single = singles.proxies[self.places[row]]
        return self.parent.proxy.extended(self.operator, single.aggregate, single.left).canonical()


@dataclass(frozen=True, eq=False)
class BeamSearch:
    """A beam search: the problem, the single branches on the architectures that count in it, and settings.

    Formulas that break a rule of PPS or a probe rule of the problem enter no beam unless `config.pps` is off. All
    methods raise Interrupted when `should_stop` says so.
    """

    problem: SearchProblem
    singles: Singles
    config: SearchConfig
    should_stop: Callable[[], bool] = lambda: False

    @classmethod
    def create(
        cls, problem: SearchProblem, config: SearchConfig, should_stop: Callable[[], bool] = lambda: False
    ) -> BeamSearch:
        """The search over every single branch of the space."""
        return cls(problem, Singles.of(problem.table, config, problem.jobs, should_stop), config, should_stop)

    def only(self, places: np.ndarray) -> BeamSearch:
        """The search as if there were no other architectures, half as wide and without probes."""
        narrow = replace(self.config, beam=max(1, self.config.beam // 2))
        singles = Singles(self.singles.proxies, self.singles.values[:, places])
        return replace(self, problem=self.problem.only(places), singles=singles, config=narrow)

    def beams(self, hall: Sequence[Proxy] = ()) -> Iterator[tuple[list[Evaluation], int]]:
        """The beams of two, three, ... branches, each best first and with the number of formulas compared for it."""
        table, singles = self.problem.table, self.singles
        with np.errstate(invalid="ignore"):
            rho = np.nan_to_num(np.abs(self.problem.target.spearman(resolved(singles.values))).round(12))
        beam = [singles.proxies[i] for i in np.argsort(-rho, kind="stable")[: self.config.beam]]
        for count in range(1, MAX_BRANCHES):
            members = dict.fromkeys([*beam, *(proxy for proxy in hall if len(proxy.branches) == count)])
            parents = [_Formula(proxy, table.value(proxy)[self.problem.places]) for proxy in members]
            chosen = self.first_allowed(self._best(self._children(parents)), self.config.beam)
            yield chosen, len(parents) * len(number_joins()) * len(singles.proxies)
            beam = [evaluation.proxy for evaluation in chosen]

    def _children(self, parents: Sequence[_Formula]) -> list[_Children]:
        def children(parent: _Formula, operator: str) -> _Children:
            _heed(self.should_stop)
            scores = _join(operator, parent.values, self.singles.values)
            usable = np.flatnonzero(np.isfinite(scores).all(-1) & (scores.max(-1) > scores.min(-1)))
            # The last bit of a dot product may depend on how many rows there are.
            rho = self.problem.target.spearman(scores[usable]).round(12)
            best = np.argsort(-np.abs(rho), kind="stable")[:PER_PARENT]
            return _Children(parent, operator, usable[best], rho[best])

        pairs = product(parents, number_joins())
        return Parallel(n_jobs=self.problem.jobs, prefer="threads")(delayed(children)(*pair) for pair in pairs)

    def _best(self, children: Sequence[_Children]) -> Iterator[Proxy]:
        """The formulas with the best |rho|, in the order of the objective; one of each ranking."""
        if not any(len(c.rho) for c in children):
            return
        least = -np.sort(-np.abs(np.concatenate([c.rho for c in children])))[:POOLED][-1]
        rows = [(c, row) for c in children for row in np.flatnonzero(np.abs(c.rho) >= least)]
        scores = np.concatenate([c.scores(self.singles)[np.abs(c.rho) >= least] for c in children])
        worth = self.problem.agreement(scores)
        known: set[str] = set()
        for place in np.argsort(-np.abs(worth), kind="stable"):
            key = ranking_key(np.sign(worth[place]) * scores[place])
            if key not in known:
                known.add(key)
                child, row = rows[place]
                yield child.proxy(row, self.singles)

    def first_allowed(self, candidates: Iterable[Proxy], count: int) -> list[Evaluation]:
        """The first `count` candidates that break no rule and rank the networks differently, best first."""
        found: dict[str, Evaluation] = {}
        for proxy in candidates:
            _heed(self.should_stop)
            if len(found) == count:
                break
            if self._refused(proxy):
                continue
            (evaluation,) = self.problem.evaluate([proxy])
            if evaluation.invalid is None:
                found.setdefault(evaluation.ranking, evaluation)
        return sorted(found.values(), key=lambda evaluation: evaluation.order)

    def _refused(self, proxy: Proxy) -> bool:
        predict = self.problem.predict
        return self.config.pps and (violation(proxy) is not None or bool(predict and predict(proxy)))


def _join(operator: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The scores that a binary operator makes of two numbers per network; x (N,), y (..., N)."""
    with np.errstate(all="ignore"):
        return resolved(BINARY[operator].apply(torch.from_numpy(x), torch.from_numpy(y)).numpy())
