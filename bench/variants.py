"""Ways of evolving that others have found good, each as an algorithm that changes one part of the default.

They are registered by `gp.evolution.algorithms.algorithm`, as a user would; they keep what they remember between
generations to themselves, so that a search with them cannot be resumed. `bench.variant_study` compares them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import stats

from fitness.ranking import RankTarget
from gp.config import SearchConfig
from gp.evolution.algorithms import algorithm
from gp.evolution.algorithms.memetic import Memetic
from gp.evolution.breeder import Breeder, Population
from gp.evolution.fronts import survivors as fronts
from gp.evolution.individual import Individual, Misfit, worth
from gp.evolution.primitive_set import draw
from gp.problem import SearchProblem
from primitives.grammar import parse

FOLDS = 5
HAND_MADE = (
    "sum[ to_std(W) ]", "sum[ frobenius_norm(G) ]", "sum[ frobenius_norm(W) ]", "mean[ l1_norm(pow2(W)) ]",
    "sum( mean[ l1_norm(pow2(W)) ], mean[ to_mean(pow2(softmax(G))) ] )", "sum[ to_std(A) ]", "sum[ l1_norm(S) ]",
    "product( sum[ frobenius_norm(W) ], sum[ frobenius_norm(G) ] )", "sum[ l1_norm(J) ]", "mean[ to_std(H) ]",
)  # fmt: skip
"""Hand-made proxies as far as branches joined outside can say them: norms, deviations, SNIP's kind, LPZero's sum."""


def agreement_by_fold(problem: SearchProblem, population: Population) -> np.ndarray:
    """(P, FOLDS) |rho| on what each fold leaves; 0 where there is none."""
    scores = problem.scores([individual.canonical for individual in population])
    found = np.zeros((len(population), FOLDS))
    usable = np.isfinite(scores).all(-1) & (np.ptp(np.where(np.isfinite(scores), scores, 0), axis=-1) > 0)
    for fold in range(FOLDS):
        kept = np.arange(scores.shape[-1]) % FOLDS != fold
        rho = RankTarget.create(problem.target.values[kept]).spearman(scores[usable][:, kept])
        found[usable, fold] = np.abs(np.nan_to_num(rho))
    return found


class Knowing(Memetic):
    """The default, told which problem it is about."""

    problem: SearchProblem


@algorithm("lexicase")
class Lexicase(Knowing):
    """Parents by epsilon-lexicase over folds of the split (La Cava et al. 2016, doi 10.1145/2908812.2908898)."""

    def offspring(self, breeder: Breeder, population: Population, left: int) -> Population:
        self.cases = agreement_by_fold(self.problem, population)
        self.epsilon = stats.median_abs_deviation(self.cases, axis=0)
        return super().offspring(breeder, population, left)

    def select(self, rng: Any, population: Population, count: int, config: SearchConfig) -> Population:
        return [population[self._one(rng)] for _ in range(count)]

    def _one(self, rng: Any) -> int:
        left, order = np.arange(len(self.cases)), list(range(FOLDS))
        while order and len(left) > 1:
            case = order.pop(int(rng.random() * len(order)))
            values = self.cases[left, case]
            left = left[values >= values.max() - self.epsilon[case]]
        return int(draw(rng, left.tolist()))


@algorithm("islands")
class Islands(Memetic):
    """Four islands of a quarter each; every fifth generation the best ten of each visit the next."""

    COUNT, EVERY, VISITORS = 4, 5, 10

    def first(self, breeder: Breeder) -> Population:
        self.generation, born = 0, super().first(breeder)
        self.home = {id(individual): place % self.COUNT for place, individual in enumerate(born)}
        self.alive = list(born)
        return born

    def offspring(self, breeder: Breeder, population: Population, left: int) -> Population:
        config, made = breeder.config, list[Individual]()
        for island in range(self.COUNT):
            members = [i for i in population if self.home.get(id(i), 0) == island]
            part = replace(config, brood=config.brood // self.COUNT, sweeps=config.sweeps // self.COUNT)
            if len(members) > 1 and left > len(made):
                breeder.config = part
                new = super().offspring(breeder, members, left - len(made))
                self.home |= {id(i): island for i in new}
                made += new
        breeder.config = config
        self.alive += made
        return made

    def survivors(self, population: Population, offspring: Population, size: int) -> Population:
        self.generation += 1
        everyone, kept = population + offspring, list[Individual]()
        for island in range(self.COUNT):
            members = [i for i in everyone if self.home.get(id(i), 0) == island]
            kept += super().survivors(members, [], size // self.COUNT)
        kept = super().survivors(kept, [], size)
        if self.generation % self.EVERY == 0:
            for island in range(self.COUNT):
                for i in [i for i in kept if self.home.get(id(i), 0) == island][: self.VISITORS]:
                    self.home[id(i)] = (island + 1) % self.COUNT
        return kept


@algorithm("age-fitness")
class AgeFitness(Memetic):
    """Fronts of fitness against age, the generations since the oldest ancestor, and newborn formulas in every
    generation (Schmidt & Lipson 2011, doi 10.1007/978-1-4419-7747-2_8)."""

    def first(self, breeder: Breeder) -> Population:
        self.born, self.generation = dict[str, int](), 0
        return super().first(breeder)

    def offspring(self, breeder: Breeder, population: Population, left: int) -> Population:
        self.generation += 1
        made = super().offspring(breeder, population, left)
        fresh = breeder.brood(breeder.newborn, min(20, max(left - len(made), 1)))
        return (made + fresh)[:left]

    def survivors(self, population: Population, offspring: Population, size: int) -> Population:
        for child in offspring:
            parents = child.birth.parents if child.birth else ()
            oldest = min((self.born.get(p, self.generation) for p in parents), default=self.generation)
            self.born.setdefault(child.canonical.text, oldest)
        best = super().survivors(population, offspring, len(population) + len(offspring))
        ages = [self.generation - self.born.get(i.canonical.text, 0) for i in best]
        kept = fronts(best, [(max(worth(i), -1.0), float(age)) for i, age in zip(best, ages, strict=True)], size)
        return super().survivors(kept, [], size)


@algorithm("fitness and complexity")
class ByComplexity(Memetic):
    """Survivors by NSGA-II, fitness against complexity; parents, children and sweeps of the default."""

    def survivors(self, population: Population, offspring: Population, size: int) -> Population:
        best = super().survivors(population, offspring, len(population) + len(offspring))
        values = [(max(worth(i), -1.0), float(i.canonical.complexity)) for i in best]
        return super().survivors(fronts(best, values, size), [], size)


@algorithm("fitness and worst fold")
class ByWorstFold(Knowing):
    """Survivors by NSGA-II, fitness against the worst fold."""

    def survivors(self, population: Population, offspring: Population, size: int) -> Population:
        best = super().survivors(population, offspring, 2 * size)
        worst = agreement_by_fold(self.problem, best).min(-1)
        values = [(max(worth(i), -1.0), -float(low)) for i, low in zip(best, worst, strict=True)]
        return super().survivors(fronts(best, values, size), [], size)


@algorithm("restarts")
class Restarts(Memetic):
    """Five generations without a better formula, and all but the best ten are born anew."""

    PATIENCE, ELITE = 5, 10

    def first(self, breeder: Breeder) -> Population:
        self.best, self.waited = float("-inf"), 0
        return super().first(breeder)

    def offspring(self, breeder: Breeder, population: Population, left: int) -> Population:
        if self.waited < self.PATIENCE:
            return super().offspring(breeder, population, left)
        self.waited, self.renewed = 0, True
        return breeder.brood(breeder.newborn, min(breeder.config.population // 2, left))

    def survivors(self, population: Population, offspring: Population, size: int) -> Population:
        top = max((worth(i) for i in [*population, *offspring]), default=self.best)
        self.waited = 0 if top > self.best else self.waited + 1
        self.best = max(top, self.best)
        if getattr(self, "renewed", False):
            population, self.renewed = population[: self.ELITE], False
        return super().survivors(population, offspring, size)


@algorithm("adaptive")
class Adaptive(Memetic):
    """Crossover as likely as children by crossover are among the population (adaptive operator probabilities)."""

    def offspring(self, breeder: Breeder, population: Population, left: int) -> Population:
        births = [i.birth.operator for i in population if i.birth is not None]
        mated = sum("mate" in name for name in births)
        changed = sum(name.startswith("mutate") for name in births)
        share = min(max((mated + 1) / (mated + changed + 2), 0.1), 0.9)
        plain, breeder.config = breeder.config, replace(breeder.config, crossover=share, mutation=1 - share)
        made = super().offspring(breeder, population, left)
        breeder.config = plain
        return made


@algorithm("seeded")
class Seeded(Memetic):
    """Hand-made formulas in the first population."""

    def first(self, breeder: Breeder) -> Population:
        born = super().first(breeder)
        texts = {individual.canonical.text for individual in born}
        for text in HAND_MADE:
            try:
                individual = Individual.from_proxy(parse(text), breeder.pset)
            except Misfit:
                continue
            if individual.canonical.text not in texts:
                born[-1 - len(texts) % len(HAND_MADE)] = individual
                texts.add(individual.canonical.text)
        return born


@algorithm("parsimony")
class Parsimony(Memetic):
    """A formula has to earn .001 of fitness for each operator, for survival and for duels."""

    def survivors(self, population: Population, offspring: Population, size: int) -> Population:
        best = super().survivors(population, offspring, len(population) + len(offspring))
        return sorted(best, key=lambda i: 0.001 * i.canonical.complexity - worth(i))[:size]


@algorithm("alike survive")
class AlikeSurvive(Memetic):
    """Formulas that rank the networks alike may all survive: no diversity by ranking."""

    def survivors(self, population: Population, offspring: Population, size: int) -> Population:
        best = {i.canonical.text: i for i in sorted(population + offspring, key=lambda i: -worth(i))}
        return list(best.values())[:size]
