"""A search algorithm and an objective of your own, in one file: python examples/plug_in.py [BENCHMARK]"""

import sys

import numpy as np

from fitness import Workshop, objective, split_groups
from gp import Case, SearchConfig, algorithm, search
from gp.evolution.algorithms import Newborn
from models import load_benchmark


@objective("upper-half")
def upper_half(target, scores):
    """Rho where it matters: the lower half of the ground truth counts as one level."""
    clipped = np.maximum(target.values, np.median(target.values))
    return type(target).create(clipped).spearman(scores)


@algorithm("hill-climber")
class HillClimber(Newborn):
    """The best formula has one child a step; it stays until a child is better."""

    def select(self, rng, population, count, config):
        return [population[0]] * count

    def offspring(self, breeder, population, left):
        return [breeder.toolbox.mutate(breeder.rng, population[0])]

    def survivors(self, population, offspring, size):
        return sorted(population + offspring, key=lambda i: -i.fitness.values[0])[:size]


if __name__ == "__main__":
    benchmark = load_benchmark(sys.argv[1] if len(sys.argv) > 1 else "gpt2-mini")
    split = split_groups(benchmark.groups, min(50, len(benchmark) // 2), seed=42)
    config = SearchConfig(algorithm="hill-climber", objective="upper-half", iterations=300, population=100)
    found = search([Case(benchmark, Workshop.open(benchmark.space), split)], config)
    print(f"{found.hall.best.fitness:.3f}  {found.hall.best.proxy}")
