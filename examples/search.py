"""A search on a benchmark and what it is worth beside its rivals: python examples/search.py [BENCHMARK] [ITERATIONS]"""

import sys

from fitness import Workshop, split_groups
from gp import Case, SearchConfig, measure, save_hall, search
from models import load_benchmark


def main(name="gpt2-mini", iterations=600):
    """Half of the architectures, at most 50, are searched on; the figures are those of all others."""
    benchmark = load_benchmark(name)
    workshop = Workshop.open(benchmark.space)
    split = split_groups(benchmark.groups, min(50, len(benchmark) // 2), seed=42)
    hall = measure(search([Case(benchmark, workshop, split)], SearchConfig(iterations=iterations, sweeps=5)))
    champion, fitted = hall.proxies[0], max(hall.cases[0].rivals, key=lambda rival: rival.holdout["kendall"])
    print(f"tau-b {champion.holdout['kendall']:.3f}  {champion.proxy}")
    print(f"tau-b {fitted.holdout['kendall']:.3f}  {fitted.name}, a regression on the same labels")
    return hall


if __name__ == "__main__":  # features are extracted by worker processes
    from pathlib import Path

    save_hall(Path("hall.json"), main(*sys.argv[1:2], *map(int, sys.argv[2:3])))
