"""SearchProblem: what a search is about: branch table, target and objective of the architectures that it sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import EllipsisType

import numpy as np

from fitness.across import AcrossTarget, Target
from fitness.budgets import budgets_of
from fitness.evaluation import Evaluation, Split
from fitness.features.soundness import overflowing
from fitness.features.workshop import Progress, Workshop
from fitness.growth import GrowthTarget
from fitness.objectives import LIKE_RHO, agreement, evaluate_scores
from fitness.protocol import ENOUGH
from fitness.ranking import narrowest, rarest
from fitness.tables.branches import BranchTable
from fitness.tables.probes import Probes, first_broken
from fitness.tables.table_file import branch_table, sketches
from gp.case import Case, Nested, nested_of
from gp.config import SearchConfig
from gp.constants import SHRINKAGE, fitted
from gp.evolution.variation import Predict
from gp.lesson import Lesson
from models.architecture import Architecture
from models.benchmarks.benchmark import Benchmark
from primitives.invalid import Invalid
from primitives.proxy import Proxy
from primitives.scoring import RESOLUTION

__all__ = ["SearchProblem", "is_coarse", "probed", "second_initialisation"]

PROBE_COUNT = 8  # architectures of the search split that are initialised twice
LIGHT = 0.003  # shrinkage of the constants where a pool supports them
PRICE = 2e-4  # of an input, operator or constant, in units of the objective
CLEAR = 8 * 2.0**-RESOLUTION  # relative; levels that differ by a step of the resolution only are rounding


@dataclass(frozen=True, eq=False)
class SearchProblem:
    """The search problem: branches of N architectures, the ground truth and the objective of those that count.

    `places` are the columns of the table that count, all of them by default; `target` is of these. `probes` are those
    of each benchmark; there are none without PPS. `jobs` threads give the same numbers as one.
    `architectures` are those of the table, where they are known. `coarse` is the least share of the architectures at
    each level of a formula (`is_coarse`), 0 where formulas may be fine. `constants` fits those of every formula that is
    evaluated, with `shrinkage`. `lesson` is what a teacher needs to label a pool; where formulas are `distilled`, the
    columns of the pool follow those of the labelled architectures. `price` is taken off for each input, operator and
    constant of a formula. `labels` is their number.
    """

    table: BranchTable
    target: Target
    objective: str = "both"
    probes: Sequence[Probes] = ()
    jobs: int = 1
    places: np.ndarray | EllipsisType = ...
    architectures: Sequence[Architecture] = ()
    coarse: float = 0.0
    constants: bool = False
    shrinkage: float = SHRINKAGE
    lesson: Lesson | None = None
    price: float = 0.0
    labels: int = 0

    @classmethod
    def open(
        cls,
        benchmark: Benchmark,
        seen: Sequence[int],
        workshop: Workshop,
        config: SearchConfig,
        progress: Progress | None = None,
        jobs: int = 1,
    ) -> SearchProblem:
        """The problem of ranking the architectures `seen` (indices into the benchmark) like their quality; what the
        bank lacks of them is extracted, that of their probes a second time."""
        return cls.of([Case(benchmark, workshop, Split(tuple(seen), ()))], config, progress, jobs)

    @classmethod
    def of(
        cls, cases: Sequence[Case], config: SearchConfig, progress: Progress | None = None, jobs: int = 1
    ) -> SearchProblem:
        """The problem of ranking the architectures of one case, or those of each of several by the same formula."""
        nested = nested_of(cases) if config.nested else []
        parts = [part for case in cases for part in case.by_budget]
        every: list[Case | Nested] = [*parts, *nested]
        seen = [a for each in every for a in each.seen]
        target = _target(parts, nested, config)
        lesson = Lesson.of(parts[0], config.pool) if config.teaches and len(every) == 1 else None
        if len(every) == 1:
            table = branch_table(seen, cases[0].workshop, progress)  # which may lie on the disk
        else:
            entries = [s for each in every for s in sketches(each.seen, each.workshop, progress)]
            table = BranchTable(entries, budgets_of(seen))
        probes = [_probes(case.seen, case.workshop, progress, config.retest) for case in cases if config.pps]
        labels = sum(len(part.split.search) for part in parts)
        problem = cls(table, target, config.objective, probes, jobs, ..., seen, constants=config.constants)
        return replace(problem, lesson=lesson, labels=labels)

    @property
    def predict(self) -> Predict | None:
        """Function from formulas to the first probe rule that each breaks; None without probes."""
        return first_broken(self.probes) if self.probes else None

    def scores(self, proxies: Sequence[Proxy]) -> np.ndarray:
        """(P, n) on the architectures that count; not finite where a formula has no score."""
        return self.table.scores(proxies, self.jobs)[:, self.places]

    def evaluate(self, proxies: Sequence[Proxy]) -> list[Evaluation]:
        """Fitness of formulas, with their constants where they have any. Where labels are few, a formula has to pass
        the probes with these, too, as it did without."""
        fitted = self.fitted(proxies)
        found = self.judge(fitted, self.scores(fitted))
        if self.predict is None or self.labels >= ENOUGH:
            return found
        new = [at for at, own in enumerate(fitted) if own != proxies[at] and found[at].invalid is None]
        for at, rule in zip(new, self.predict([fitted[at] for at in new]), strict=True):
            if rule is not None:
                found[at] = Evaluation.refuse(fitted[at], Invalid.UNREPEATED)
        return found

    def fitted(self, proxies: Sequence[Proxy]) -> Sequence[Proxy]:
        """The formulas with the constants that fit the target best, if formulas may have any."""
        if not self.constants:
            return proxies
        return fitted(proxies, self.table, self.target.values, self.places, self.shrinkage)

    def judge(self, proxies: Sequence[Proxy], scores: np.ndarray) -> list[Evaluation]:
        """Fitness of formulas with these scores (P, n); where they must be coarse, the fine ones are refused."""
        found = evaluate_scores(proxies, scores, self.target, self.objective)
        if self.price:
            return [
                replace(e, fitness=max(e.fitness - self.price * e.proxy.complexity, 0.0)) if e.invalid is None else e
                for e in found
            ]
        if not self.coarse:
            return found
        return [
            Evaluation.refuse(e.proxy, Invalid.FINE) if e.invalid is None and not few else e
            for e, few in zip(found, self.usable(scores), strict=True)
        ]

    def usable(self, scores: np.ndarray) -> np.ndarray:
        """Mask of the rows of scores (P, n) that have a fitness."""
        with np.errstate(invalid="ignore"):
            usable = np.isfinite(scores).all(-1) & (scores.max(-1) > scores.min(-1))
        if self.coarse:
            parts = [is_coarse(scores[usable][:, own], self.coarse) for own in self.target.slices]
            usable[usable] = np.all(parts, axis=0)
        return usable

    def agreement(self, scores: np.ndarray) -> np.ndarray:
        """The objective, signed, of finite scores (P, n)."""
        return agreement(self.objective, self.target, scores)

    def rough(self, scores: np.ndarray) -> np.ndarray:
        """Nearly the order of `agreement`, quicker: rho, where that will do."""
        return agreement("spearman" if self.objective in LIKE_RHO else self.objective, self.target, scores)

    def only(self, places: np.ndarray) -> SearchProblem:
        """The problem as if there were no other architectures, and no probes."""
        places = self.target.enough(places)
        return replace(self, target=self.target.only(places), probes=(), places=places)

    def of_kind(self, kind: str, config: SearchConfig) -> SearchProblem:
        """The problem of finding formulas of a kind (`gp/choice.py`)."""
        return replace(self, coarse=config.coarse if kind == "coarse" else 0.0)

    def distilled(self, progress: Progress | None = None) -> SearchProblem:
        """The problem of agreeing with a teacher on labelled networks and on a pool, whose features are extracted; the
        same problem where every network of the pool overflows."""
        lesson = self.lesson.sound(progress) if self.lesson else None
        if lesson is None:
            return self
        return replace(
            self,
            table=lesson.table(),
            target=lesson.target(),
            lesson=lesson,
            constants=True,
            architectures=[*lesson.seen, *lesson.pool],
            shrinkage=LIGHT,
            price=PRICE,
        )

    @property
    def distils(self) -> bool:
        """True if formulas are to agree with a teacher."""
        return self.price > 0


def _target(cases: Sequence[Case], nested: Sequence[Nested], config: SearchConfig) -> Target:
    """The labels of the cases, joined where there are several, with the growth that nested networks ask for."""
    parts = tuple(case.target for case in cases)
    if len(parts) == 1 and not nested:
        return parts[0]
    target = AcrossTarget(parts, config.across)
    families = [family for each in nested for family in each.families]
    growth = GrowthTarget.create(families, target.slices[-1].stop) if families else None
    return replace(target, growth=growth)


def is_coarse(scores: np.ndarray, share: float) -> np.ndarray:
    """True if each row of `scores` (P, N) has few levels that can be told apart: every value is shared by at least
    `share` of the N architectures, and by two, and neighbours are CLEAR of each other. A constant row is not coarse
    but empty."""
    shared, count = rarest(scores), scores.shape[-1]
    return (shared >= max(2, share * count)) & (shared < count) & (narrowest(scores) >= CLEAR)


def _probes(seen: Sequence[Architecture], workshop: Workshop, progress: Progress | None, least: float) -> Probes:
    """A few of the architectures under two initialisations; those that overflow under the second are left out."""
    retest, chosen = second_initialisation(workshop), probed(seen)
    bad = overflowing(chosen, retest, progress)
    chosen = [architecture for architecture in chosen if architecture.id not in bad]
    return Probes(branch_table(chosen, workshop), branch_table(chosen, retest), least)


def probed(seen: Sequence[Architecture]) -> Sequence[Architecture]:
    """The few architectures of a search split that formulas are tried on."""
    return seen[:: max(1, len(seen) // PROBE_COUNT)][:PROBE_COUNT]


def second_initialisation(workshop: Workshop) -> Workshop:
    """The workshop of what the probes are compared with."""
    return workshop.initialised(workshop.bank.key.init_seed + 1)
