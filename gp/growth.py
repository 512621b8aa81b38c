"""Growth: after the search, formulas get branches that are chosen by trying them all.

A beam search. Its first beam are the best single branches of the space and the hall of fame; each member is joined,
outside, to every branch of the space by every operator that joins numbers, and the best results that rank the networks
differently are the next beam, until the formulas have as many branches as they may. Branches are rows of the
branch table, so some millions of formulas are compared in seconds. Everything is decided on the search split; whether
a third branch is worth its freedom, by cross-validation inside it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from joblib import Parallel, delayed

from fitness.branches import BranchTable
from fitness.chains import chains_of
from fitness.evaluation import OBJECTIVES, Evaluate, Evaluation, evaluate_scores, ranking_key
from fitness.ranking import RankTarget
from fitness.replay import mean_ranks
from gp.config import SearchConfig
from gp.variation import Predict
from primitives.operators import BINARY
from primitives.pps import violation
from primitives.proxy import MAX_BRANCHES, Branch, Proxy

__all__ = ["Growth", "Interrupted", "grow"]

LONGEST = 2  # unary operators in a branch that is tried; three would be twenty times as many
PER_PARENT = 500  # results of one parent and one operator that are looked at more closely
POOLED = 10_000  # results of all parents whose objective is computed
FOLDS = 5  # of the cross-validation
JURY = 10  # formulas whose mean rank it looks at, because the best one alone is a matter of luck
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
    if not branches.singles:
        return Growth((), 0)
    ground = _Ground(table, branches, target, np.arange(table.count), evaluate, jobs, should_stop)
    compared = len(branches.singles)
    most = _branches_that_pay(ground, config) if config.branches > 2 else config.branches
    found = list[Evaluation]()
    for beam, tried in islice(_beams(ground, config, hall, predict), most - 1):
        found += beam
        compared += tried
    return Growth(tuple(found), compared)


@dataclass(frozen=True, eq=False)
class _Ground:
    """What a beam search walks on: `target` and `evaluate` are of the architectures `seen` (indices into the N)."""

    table: BranchTable
    branches: _Branches
    target: RankTarget
    seen: np.ndarray
    evaluate: Evaluate
    jobs: int
    should_stop: Callable[[], bool]

    def only(self, places: np.ndarray, objective: str) -> _Ground:
        """The same as if there were no other architectures than these."""
        target = RankTarget.create(self.target.values[places])

        def evaluate(proxies: Sequence[Proxy]) -> list[Evaluation]:
            return evaluate_scores(proxies, self.table.scores(proxies)[:, places], target, objective)

        branches = _Branches(self.branches.singles, self.branches.values[:, places])
        return replace(self, branches=branches, target=target, seen=places, evaluate=evaluate)


def _beams(
    ground: _Ground, config: SearchConfig, hall: Sequence[Proxy] = (), predict: Predict | None = None
) -> Iterator[tuple[list[Evaluation], int]]:
    """The beams of two, three, ... branches, each with the number of formulas that were compared for it."""
    with np.errstate(invalid="ignore"):
        rho = np.nan_to_num(np.abs(ground.target.spearman(ground.branches.values)).round(12))
    beam = [ground.branches.singles[i] for i in np.argsort(-rho, kind="stable")[: config.beam]]
    for count in range(1, MAX_BRANCHES):
        members = dict.fromkeys([*beam, *(proxy for proxy in hall if len(proxy.branches) == count)])
        parents = [_Formula(proxy, ground.table.value(proxy)[ground.seen]) for proxy in members]
        candidates = _best(_all_children(parents, ground), ground, config.objective)
        chosen = _beam(candidates, ground, config, predict)
        yield chosen, len(parents) * len(JOINS) * len(ground.branches.singles)
        beam = [evaluation.proxy for evaluation in chosen]


def _branches_that_pay(ground: _Ground, config: SearchConfig) -> int:
    """How many branches formulas should have: the number whose best JURY formulas, chosen without a fifth of the
    search split, agree best with the ground truth on that fifth (mean of FOLDS); of equals the smallest."""
    order = list(range(ground.table.count))
    random.Random(f"folds:{config.seed}").shuffle(order)
    narrow = replace(config, beam=max(1, config.beam // 2))
    agreement = np.zeros((FOLDS, config.branches - 1))
    for fold in range(FOLDS):
        left_out = np.zeros(len(order), dtype=bool)
        left_out[order[fold::FOLDS]] = True
        part = ground.only(np.flatnonzero(~left_out), config.objective)
        for place, (beam, _) in enumerate(islice(_beams(part, narrow), config.branches - 1)):
            if beam:
                scores = ground.table.scores([e.proxy for e in beam[:JURY]]) * [[e.sign] for e in beam[:JURY]]
                agreement[fold, place] = _agreement(mean_ranks(scores), ground.target.values, left_out)
    return 2 + int(np.argmax(agreement.mean(0).round(12)))


def _agreement(scores: np.ndarray, quality: np.ndarray, left_out: np.ndarray) -> float:
    """Tau-b over the pairs of architectures of which at least one was left out; 0 where there is none."""
    i, j = np.triu_indices(len(quality), 1)
    touched = left_out[i] | left_out[j]
    i, j = i[touched], j[touched]
    with np.errstate(invalid="ignore"):
        x, y = np.sign(scores[i] - scores[j]), np.sign(quality[i] - quality[j])
        untied = np.sqrt(np.abs(x).sum() * np.abs(y).sum())
    return float((x * y).sum() / untied) if np.isfinite(untied) and untied > 0 else 0.0


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
    return _Branches(tuple(p for p, _ in known.values()), np.array([v for _, v in known.values()]))


def _all_children(parents: Sequence[_Formula], ground: _Ground) -> list[_Children]:
    def children(parent: _Formula, operator: str) -> _Children:
        _heed(ground.should_stop)
        values = _join(operator, parent.values, ground.branches.values)
        usable = np.flatnonzero(np.isfinite(values).all(-1) & (values.max(-1) > values.min(-1)))
        # The last bit of a dot product may depend on how many rows there are.
        rho = ground.target.spearman(values[usable]).round(12)
        best = np.argsort(-np.abs(rho), kind="stable")[:PER_PARENT]
        return _Children(parent, operator, usable[best], rho[best])

    pairs = [(parent, operator) for parent in parents for operator in JOINS]
    return Parallel(n_jobs=ground.jobs, prefer="threads")(delayed(children)(*pair) for pair in pairs)


def _best(children: Sequence[_Children], ground: _Ground, objective: str) -> Iterator[Proxy]:
    """The formulas with the best |rho|, in the order of the objective; one of each ranking."""
    if not any(len(c.rho) for c in children):
        return
    least = -np.sort(-np.abs(np.concatenate([c.rho for c in children])))[:POOLED][-1]
    rows = [(c, row) for c in children for row in np.flatnonzero(np.abs(c.rho) >= least)]
    values = np.concatenate([c.values(ground.branches)[np.abs(c.rho) >= least] for c in children])
    worth = OBJECTIVES[objective](ground.target, values).round(12)
    known: set[bytes] = set()
    for place in np.argsort(-np.abs(worth), kind="stable"):
        key = ranking_key(np.sign(worth[place]) * values[place])
        if key not in known:
            known.add(key)
            child, row = rows[place]
            yield child.proxy(row, ground.branches)


def _beam(
    candidates: Iterator[Proxy], ground: _Ground, config: SearchConfig, predict: Predict | None
) -> list[Evaluation]:
    """The first `config.beam` candidates that break no rule and rank the networks differently, best first."""
    beam: dict[bytes, Evaluation] = {}
    for proxy in candidates:
        _heed(ground.should_stop)
        if len(beam) == config.beam:
            break
        if config.pps and (violation(proxy) is not None or (predict is not None and predict(proxy) is not None)):
            continue
        (evaluation,) = ground.evaluate([proxy])
        if evaluation.invalid is None and evaluation.ranking not in beam:
            beam[evaluation.ranking] = evaluation
    return sorted(beam.values(), key=lambda e: (-e.fitness, e.proxy.complexity, e.proxy.text))


def _join(operator: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What a binary operator makes of two numbers per network; x (N,), y (..., N)."""
    with np.errstate(all="ignore"):
        return BINARY[operator].apply(torch.from_numpy(x), torch.from_numpy(y)).numpy()


def _heed(should_stop: Callable[[], bool]) -> None:
    if should_stop():
        raise Interrupted
