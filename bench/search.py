"""What a search costs once features are in the bank: evolution, enumeration, formulas per second, memory.

    python -m bench.search [--benchmark gpt2-wt103] [--jobs 2] [--json]

Everything is timed in one process, branches included unless a line says otherwise; saved branch tables are not used.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.extraction import high_water
from bench.seeds import SETTINGS
from engine.threads import one_thread
from fitness.evaluation import split_groups
from fitness.features.workshop import Workshop
from fitness.ranking import RankTarget
from fitness.tables.branches import BranchTable
from fitness.tables.chains import chains_of
from fitness.tables.pairs import PairTable
from gp.benchmark_search import PreparedSearch
from gp.config import SearchConfig
from gp.evolution.evolve import evolve
from gp.exhaustive import exhaust
from gp.problem import SearchProblem
from gp.sweeps import Sweeper
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark


def formulas_per_second(table: BranchTable, target: RankTarget) -> float:
    """Formulas scored and correlated per second by one thread, when their branches and joins are in memory."""
    pairs = PairTable(table, "A", "W", chains_of(2), "mean")
    for operator in ("sum", "difference", "product"):
        next(iter(pairs.batches(operator)))
    count, start = 0, time.perf_counter()
    for operator in ("sum", "difference", "product"):
        for _, scores in pairs.batches(operator):
            flat = scores.reshape(-1, scores.shape[-1])
            target.spearman(flat)
            count += len(flat)
    return count / (time.perf_counter() - start)


def evolved_per_second(benchmark: Benchmark, workshop: Workshop) -> float:
    """New formulas that the default evolution makes and evaluates per second of one core, PPS included, sweeps left
    out; branches are in memory since a first search with another seed."""
    split = split_groups(benchmark.groups, 50, 42)
    configs = [SearchConfig(seed=seed, folds=0, sweeps=0, brood=600) for seed in (103, 104, 105)]
    problem = SearchProblem.open(benchmark, split.search, workshop, configs[0])
    sweeper = Sweeper.create(problem, configs[0])
    rates = []
    for config in configs:
        start = time.process_time()
        state = PreparedSearch(problem, sweeper, config).evolve().state
        rates.append(len(state.seen) / (time.process_time() - start))
    return float(np.median(rates[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", default="gpt2-wt103")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--bank", type=Path, default=Path(".cache/bank"))
    parser.add_argument("--json", action="store_true")
    o = parser.parse_args()
    benchmark = load_benchmark(o.benchmark)
    workshop = Workshop.open(benchmark.space, bank=o.bank)
    split = split_groups(benchmark.groups, 50, 42)
    seen = [benchmark.architectures[i] for i in split.search]
    target = RankTarget.create(benchmark.quality[list(split.search)])
    config = SearchConfig(**SETTINGS["published"])
    workshop.extract(seen)
    SearchProblem.open(benchmark, split.search, workshop, config)  # the probes' second initialisation too

    def fresh() -> BranchTable:
        entries = [workshop.bank.load_sketch(a) for a in seen]
        return BranchTable([entry for entry in entries if entry is not None])

    found: dict[str, Any] = {"benchmark": o.benchmark, "architectures": len(seen), "jobs": o.jobs}
    start = time.perf_counter()
    problem = SearchProblem.open(benchmark, split.search, workshop, config)
    with one_thread():
        result = evolve(config, problem.evaluate, problem.predict)
    found |= {"evolution_seconds": time.perf_counter() - start, "evaluations": result.state.evaluations}
    table = fresh()
    for n_unary in (1, 2):
        start = time.perf_counter()
        survey = exhaust(table if n_unary == 2 else fresh(), target, n_unary, "mean", jobs=o.jobs)
        found |= {f"exhaust{n_unary}_seconds": time.perf_counter() - start, f"exhaust{n_unary}_trees": survey.trees,
                  f"exhaust{n_unary}_formulas": survey.formulas}  # fmt: skip
    found["peak_mib"] = high_water()
    found["evolved_per_second"] = evolved_per_second(benchmark, workshop)
    with one_thread():
        found["formulas_per_second"] = formulas_per_second(table, target)
    if o.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{o.benchmark}, {len(seen)} architectures, features in the bank, {o.jobs} threads for the enumeration")
    print(f"evolution, published settings, {found['evaluations']} evaluations: {found['evolution_seconds']:.1f} s")
    for n in (1, 2):
        print(f"all {found[f'exhaust{n}_trees']:,} trees of {n} unary: {found[f'exhaust{n}_seconds']:.1f} s "
              f"({found[f'exhaust{n}_formulas']:,} different formulas)")  # fmt: skip
    print(f"scored and correlated with branches in memory, one thread: {found['formulas_per_second']:,.0f} formulas/s")
    print(f"evolved, PPS included, branches in memory, one core: {found['evolved_per_second']:,.0f} new formulas/s")
    print(f"peak resident memory {found['peak_mib']:.0f} MiB")


if __name__ == "__main__":
    main()
