"""Growth: after the search, formulas get branches that are chosen by trying them all.

A beam search. Its first beam are the best single branches of the space and the hall of fame; each member is joined,
outside, to every branch of the space by every operator that joins numbers, and the best results that rank the networks
differently are the next beam, until the formulas have as many branches as they may. Branches are rows of the
branch table, so some millions of formulas are compared in seconds. Everything is decided on the search split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from joblib import Parallel, delayed

from fitness.branches import BranchTable
from fitness.chains import chains_of
from fitness.evaluation import OBJECTIVES, Evaluate, Evaluation, ranking_key
from fitness.ranking import RankTarget
from gp.config import SearchConfig
from gp.variation import Predict
from primitives.operators import BINARY
from primitives.pps import violation
from primitives.proxy import Branch, Proxy

__all__ = ["Growth", "Interrupted", "grow"]

LONGEST = 2  # unary operators in a branch that is tried; three would be twenty times as many
PER_PARENT = 500  # results of one parent and one operator that are looked at more closely
POOLED = 10_000  # results of all parents whose objective is computed
JOINS = tuple(name for name in BINARY if name != "matmul")  # on numbers it is the product


class Interrupted(Exception):
    """Growth was asked to stop; nothing of it is kept."""


@dataclass(frozen=True)
class Growth:
    """What a beam search found, and how many formulas it compared on the way."""

    evaluations: tuple[Evaluation, ...]
    compared: int


@dataclass(frozen=True, eq=False)
class _Formula:
    """A formula and its value before rounding, (N,)."""

    proxy: Proxy
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class _Branches:
    """Aggregated branches as formulas of their own and their values, (K, N); no two rank the networks alike."""

    singles: tuple[Proxy, ...]
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class _Children:
    """The most promising results of one parent and one operator: which branches, and rho, both (C,)."""

    parent: _Formula
    operator: str
    places: np.ndarray
    rho: np.ndarray

    def values(self, branches: _Branches) -> np.ndarray:
        """(C, N)."""
        return _join(self.operator, self.parent.values, branches.values[self.places])

    def proxy(self, row: int, branches: _Branches) -> Proxy:
        """The formula of a row."""
        branch = branches.singles[self.places[row]]
        return self.parent.proxy.extended(self.operator, branch.aggregate, branch.left).canonical()


def grow(
    table: BranchTable,
    target: RankTarget,
    evaluate: Evaluate,
    config: SearchConfig,
    hall: Sequence[Proxy],
    predict: Predict | None = None,
    jobs: int = 1,
    should_stop: Callable[[], bool] = lambda: False,
) -> Growth:
    """All beams but the first, which holds nothing new.

    `table`, `target` and `evaluate` are of the search split. Formulas that break a rule of PPS or of `predict` enter
    no beam unless `config.pps` is off. Raises Interrupted when `should_stop` says so.
    """
    branches = _branches(table, config, jobs, should_stop)
    rho = np.abs(target.spearman(branches.values)).round(12)
    beam = [branches.singles[i] for i in np.argsort(-rho, kind="stable")[: config.beam]]
    found, compared = list[Evaluation](), len(rho)
    for count in range(1, config.branches):
        members = dict.fromkeys([*beam, *(proxy for proxy in hall if len(proxy.branches) == count)])
        parents = [_Formula(proxy, table.value(proxy)) for proxy in members]
        children = _all_children(parents, branches, target, jobs, should_stop)
        compared += len(parents) * len(JOINS) * len(branches.singles)
        chosen = _beam(_best(children, branches, target, config.objective), evaluate, config, predict, should_stop)
        found += chosen
        beam = [evaluation.proxy for evaluation in chosen]
    return Growth(tuple(found), compared)


def _branches(table: BranchTable, config: SearchConfig, jobs: int, should_stop: Callable[[], bool]) -> _Branches:
    """Every aggregated branch of the space that the rules allow; the shortest stands for those that rank alike."""
    chains = sorted(chains_of(min(config.n_unary, LONGEST)), key=lambda chain: (len(chain), chain))
    known: dict[bytes, tuple[Proxy, np.ndarray]] = {}
    for name in config.inputs:
        allowed = [c for c in chains if not config.pps or violation(Proxy("sum", Branch(name, c))) is None]
        _heed(should_stop)
        table.fill(name, allowed, jobs)
        for chain in allowed:
            for aggregate in config.aggregates:
                single = Proxy(aggregate, Branch(name, chain))
                values = table.value(single)
                if np.isfinite(values).all() and values.max() > values.min():
                    key = ranking_key(values)
                    if key not in known or single.complexity < known[key][0].complexity:
                        known[key] = single, values
    return _Branches(tuple(p for p, _ in known.values()), np.stack([v for _, v in known.values()]))


def _all_children(
    parents: Sequence[_Formula], branches: _Branches, target: RankTarget, jobs: int, should_stop: Callable[[], bool]
) -> list[_Children]:
    def children(parent: _Formula, operator: str) -> _Children:
        _heed(should_stop)
        values = _join(operator, parent.values, branches.values)
        usable = np.flatnonzero(np.isfinite(values).all(-1) & (values.max(-1) > values.min(-1)))
        # The last bit of a dot product may depend on how many rows there are.
        rho = target.spearman(values[usable]).round(12)
        best = np.argsort(-np.abs(rho), kind="stable")[:PER_PARENT]
        return _Children(parent, operator, usable[best], rho[best])

    pairs = [(parent, operator) for parent in parents for operator in JOINS]
    return Parallel(n_jobs=jobs, prefer="threads")(delayed(children)(*pair) for pair in pairs)


def _best(
    children: Sequence[_Children], branches: _Branches, target: RankTarget, objective: str
) -> Iterator[Proxy]:  # fmt: skip
    """The formulas with the best |rho|, in the order of the objective; one of each ranking."""
    least = -np.sort(-np.abs(np.concatenate([c.rho for c in children])))[:POOLED][-1]
    rows = [(c, row) for c in children for row in np.flatnonzero(np.abs(c.rho) >= least)]
    values = np.concatenate([c.values(branches)[np.abs(c.rho) >= least] for c in children])
    worth = OBJECTIVES[objective](target, values).round(12)
    seen: set[bytes] = set()
    for place in np.argsort(-np.abs(worth), kind="stable"):
        key = ranking_key(np.sign(worth[place]) * values[place])
        if key not in seen:
            seen.add(key)
            child, row = rows[place]
            yield child.proxy(row, branches)


def _beam(
    candidates: Iterator[Proxy], evaluate: Evaluate, config: SearchConfig, predict: Predict | None,
    should_stop: Callable[[], bool],
) -> list[Evaluation]:  # fmt: skip
    """The first `config.beam` candidates that break no rule and rank the networks differently."""
    beam: dict[bytes, Evaluation] = {}
    for proxy in candidates:
        _heed(should_stop)
        if len(beam) == config.beam:
            break
        if config.pps and (violation(proxy) is not None or (predict is not None and predict(proxy) is not None)):
            continue
        (evaluation,) = evaluate([proxy])
        if evaluation.invalid is None:
            beam.setdefault(evaluation.ranking, evaluation)
    return sorted(beam.values(), key=lambda e: (-e.fitness, e.proxy.complexity, e.proxy.text))


def _join(operator: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What a binary operator makes of two numbers per network; x (N,), y (..., N)."""
    with np.errstate(all="ignore"):
        return BINARY[operator].apply(torch.from_numpy(x), torch.from_numpy(y)).numpy()


def _heed(should_stop: Callable[[], bool]) -> None:
    if should_stop():
        raise Interrupted
