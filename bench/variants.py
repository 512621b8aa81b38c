"""Ways of evolving that others have found good, each tried in the place of one part of the default: an ablation.

    python -m bench.variants --out FILE.jsonl [--benchmark gpt2-mini ...] [--seeds 42 ... 46] [--only NAME ...]
    python -m bench.variants --out FILE.jsonl --table

An algorithm is registered by `gp.evolution.algorithms.algorithm`, as a user would; these keep what they remember
between generations to themselves, so that a search with them cannot be resumed. Sketch scores; every search of a
benchmark and seed has the same split and the same choice between fine and coarse formulas. The file is resumed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from fitness.evaluation import split_groups
from fitness.features.workshop import Workshop
from fitness.ranking import RankTarget, kendall, spearman
from fitness.tables.table_file import branch_table
from gp.benchmark_search import PreparedSearch
from gp.config import PUBLISHED, SearchConfig
from gp.evolution.algorithms import ALGORITHMS, algorithm
from gp.evolution.algorithms.memetic import Memetic
from gp.evolution.breeder import Breeder, Population
from gp.evolution.evolve import SearchResult, Step, Stop
from gp.evolution.fronts import survivors as fronts
from gp.evolution.individual import Individual, Misfit, worth
from gp.evolution.primitive_set import draw
from gp.lineage import ancestry, is_crossed
from gp.problem import SearchProblem
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark
from primitives.grammar import parse

BENCHMARKS = ("gpt2-wt103", "gpt2-mini", "flexibert-glue")
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


@dataclass(frozen=True)
class Variant:
    """Changes to the settings; `seconds`: the search ends after as long as the default of its seed took."""

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    seconds: bool = False


LONG = 10_000_000
ALONE = {"crossover": 0.0, "mutation": 1.0, "brood": 1}
RANDOM = {"algorithm": "random", "population": 200}
VARIANTS = [
    Variant("memetic"),
    Variant("random, equal formulas", {**RANDOM, "iterations": 6400}),
    Variant("random, equal seconds", {**RANDOM, "iterations": LONG}, seconds=True),
    Variant("sweeps alone, equal sweeps", ALONE),
    Variant("sweeps alone, equal seconds", {**ALONE, "iterations": LONG}, seconds=True),
    Variant("without sweeps, equal formulas", {"sweeps": 0}),
    Variant("without sweeps, equal seconds", {"sweeps": 0, "iterations": LONG, "brood": 600}, seconds=True),
    Variant("without crossover", {"crossover": 0.0, "mutation": 1.0}),
    Variant("without PPS", {"pps": False}),
    Variant("two branches", {"branches": 2}),
    Variant("as published", {**PUBLISHED, "iterations": 1000}),
    *(
        Variant(name, {"algorithm": name})
        for name in (
            "islands", "lexicase", "age-fitness", "fitness and complexity", "fitness and worst fold", "restarts",
            "adaptive", "seeded", "parsimony", "alike survive",
        )
    ),
    Variant("constants", {"constants": True}),
    Variant("objective partial", {"objective": "partial"}),
    Variant("objective joint", {"objective": "joint"}),
]  # fmt: skip


@dataclass
class Bench:
    """A benchmark and a seed: what the searches on it share is made once."""

    benchmark: Benchmark
    workshop: Workshop
    seed: int
    prepared: dict[str, PreparedSearch] = field(default_factory=dict)

    def prepare(self, config: SearchConfig) -> PreparedSearch:
        """The problem and the choice between fine and coarse formulas, by the default's settings where they decide."""
        key = f"{config.pps} {config.constants} {config.objective} {config.inputs} {config.aggregates}"
        if key not in self.prepared:
            split = split_groups(self.benchmark.groups, 50, self.seed)
            problem = SearchProblem.open(self.benchmark, split.search, self.workshop, config)
            default = SearchConfig(seed=self.seed)
            same = replace(default, pps=config.pps, constants=config.constants, objective=config.objective)
            self.prepared[key] = PreparedSearch.of(problem, same)
        return self.prepared[key]

    def tried(self, variant: Variant, seconds: float) -> dict[str, Any]:
        """One search and its figures; `curve` is (formulas, compared, seconds, best fitness) per generation."""
        changes = {**SearchConfig(seed=self.seed).to_dict(), **variant.changes}
        config = replace(SearchConfig.from_dict({**changes, "algorithm": "memetic"}), algorithm=changes["algorithm"])
        shared = self.prepare(config)
        swept = isinstance(ALGORITHMS[config.algorithm], Memetic)
        prepared = PreparedSearch(shared.problem, shared.sweeper if swept else None, config)
        Knowing.problem = shared.problem
        start, curve = time.process_time(), list[tuple[int, int, float, float]]()

        def note(step: Step) -> None:
            curve.append((step.iteration, step.evaluations, time.process_time() - start, step.best_fitness or 0.0))

        def late(step: Step) -> Stop | None:
            return Stop.TIME if variant.seconds and time.process_time() - start > seconds else None

        found = prepared.evolve(note, should_stop=late)
        spent = round(time.process_time() - start, 2)
        told = {"seconds": spent, "coarse": shared.problem.coarse > 0, "formulas": len(found.state.seen)}
        curve = curve[:: max(1, len(curve) // 40)]
        return told | figures(found, self.benchmark, self.workshop, self.seed) | {"curve": curve}


def figures(found: SearchResult, benchmark: Benchmark, workshop: Workshop, seed: int) -> dict[str, Any]:
    """Champion and committee of ten on the held-out architectures, by sketch scores."""
    halls = found.hall.champions[:10]
    split = split_groups(benchmark.groups, 50, seed)
    table = branch_table(benchmark.architectures, workshop)
    scores = table.scores([e.proxy for e in halls]) * np.array([[e.sign] for e in halls])
    held = list(split.holdout)
    quality, best = benchmark.quality[held], scores[0][held]
    committee = stats.rankdata(scores[np.isfinite(scores).all(-1)], axis=-1).mean(0)[held]
    lineage = ancestry(found.state.seen, [halls[0].proxy.without_constants().text])
    return {
        "fitness": halls[0].fitness, "rho": spearman(best, quality), "tau": kendall(best, quality),
        "committee rho": spearman(committee, quality), "committee tau": kendall(committee, quality),
        "crossed": is_crossed(lineage), "text": halls[0].proxy.text,
    }  # fmt: skip


def read(path: Path) -> dict[tuple[str, int, str], dict[str, Any]]:
    """What is done, by benchmark, seed and variant."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {(row["benchmark"], row["seed"], row["variant"]): row for row in map(json.loads, lines)}


def table(path: Path) -> None:
    """Medians over seeds, and paired differences to the default with their standard errors."""
    rows = read(path)
    for name in BENCHMARKS:
        seeds = sorted({seed for benchmark, seed, _ in rows if benchmark == name})
        if not seeds:
            continue
        print(f"\n| {name}, {len(seeds)} seeds | fitness | rho | tau | committee tau | tau against memetic | seconds |")
        print("|---|---|---|---|---|---|---|")
        for variant in VARIANTS:
            both = [(rows[name, s, variant.name], rows[name, s, "memetic"]) for s in seeds
                    if (name, s, variant.name) in rows and (name, s, "memetic") in rows]  # fmt: skip
            if both:
                print(_line(variant.name, both))


def _line(name: str, both: list[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    def middle(key: str) -> str:
        return f"{np.median([row[key] for row, _ in both]):.3f}"

    gain = np.array([row["tau"] - base["tau"] for row, base in both])
    error = gain.std(ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else float("nan")
    cells = [middle(key) for key in ("fitness", "rho", "tau", "committee tau")]
    return f"| {name} | {' | '.join(cells)} | {gain.mean():+.3f} ± {error:.3f} | {float(middle('seconds')):.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--benchmark", nargs="+", default=list(BENCHMARKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44, 45, 46])
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--bank", type=Path, default=Path(".cache/bank"))
    parser.add_argument("--table", action="store_true")
    o = parser.parse_args()
    if o.table:
        table(o.out)
        return
    done = read(o.out)
    wanted = [v for v in VARIANTS if not o.only or v.name in o.only or v.name == "memetic"]
    for seed in o.seeds:
        for name in o.benchmark:
            benchmark = load_benchmark(name)
            bench = Bench(benchmark, Workshop.open(benchmark.space, bank=o.bank), seed)
            for variant in wanted:
                key = name, seed, variant.name
                if key in done:
                    continue
                base = done.get((name, seed, "memetic"), {}).get("seconds", 0.0)
                done[key] = dict(zip(("benchmark", "seed", "variant"), key, strict=True)) | bench.tried(variant, base)
                with o.out.open("a") as file:
                    file.write(json.dumps(done[key]) + "\n")


if __name__ == "__main__":
    main()
