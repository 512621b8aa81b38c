"""Cost of a search once features are in the bank: evolution, enumeration, formulas per second, memory.

    python -m bench.speed.search [--benchmark gpt2-wt103] [--jobs 2] [--json]

Everything is timed in one process, branches included unless a line says otherwise; saved branch tables are not used.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from bench.science.seeds import SETTINGS
from bench.speed.extraction import high_water
from engine.threads import one_thread
from fitness.evaluation import split_groups
from fitness.features.workshop import Workshop
from fitness.ranking import RankTarget
from fitness.tables.branches import BranchTable
from fitness.tables.chains import chains_of
from fitness.tables.pairs import PairTable
from gp.benchmark_search import PreparedSearch
from gp.config import SearchConfig
from gp.evolution import variation
from gp.evolution.algorithms.memetic import Memetic
from gp.evolution.evolve import Evolution, evolve
from gp.evolution.variation import Guard
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


def evolved(benchmark: Benchmark, workshop: Workshop) -> dict[str, float]:
    """New formulas that the default evolution makes and evaluates per second of one core, PPS included, sweeps left
    out, branches in memory since a first search with another seed; and the share of that time that each part takes."""
    split = split_groups(benchmark.groups, 50, 42)
    configs = [SearchConfig(seed=seed, folds=0, sweeps=0, brood=600) for seed in (103, 104, 105, 106)]
    problem = SearchProblem.open(benchmark, split.search, workshop, configs[0])
    sweeper = Sweeper.create(problem, configs[0])
    rates = []
    for config in configs[:3]:
        start = time.process_time()
        state = PreparedSearch(problem, sweeper, config).evolve().state
        rates.append(len(state.seen) / (time.process_time() - start))
    return {"evolved_per_second": float(np.median(rates[1:]))} | parts(problem, sweeper, configs[3])


PARTS = (
    (Guard, "fault", "rules about texts"), (Guard, "_foretold", "probes"), (Memetic, "survivors", "survivors"),
    (SearchProblem, "evaluate", "scores and ranks"), (Evolution, "tell", "bookkeeping"),
    (variation, "crossover", "crossover"), (variation, "mutate", "mutation"),
)  # fmt: skip


def parts(problem: SearchProblem, sweeper: Sweeper, config: SearchConfig) -> dict[str, float]:
    """The share of each part in one search, without the parts inside it; the rest is drawing, births and the loop."""
    spent, inside = dict[str, float](), [0.0]

    def timed(call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def measured(*given: Any, **named: Any) -> Any:
            start = time.perf_counter()
            inside.append(0.0)
            try:
                return call(*given, **named)
            finally:
                whole = time.perf_counter() - start
                spent[name] = spent.get(name, 0.0) + whole - inside.pop()
                inside[-1] += whole

        return measured

    with ExitStack() as patches:
        for owner, name, what in PARTS:
            patches.enter_context(mock.patch.object(owner, name, timed(getattr(owner, name), what)))
        start = time.perf_counter()
        PreparedSearch(problem, sweeper, config).evolve()
        whole = time.perf_counter() - start
    shares = {f"share of {name}": seconds / whole for name, seconds in spent.items()}
    return shares | {"share of the rest": 1 - sum(shares.values())}


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
    found |= evolved(benchmark, workshop)
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
    for name, share in found.items():
        if name.startswith("share of "):
            print(f"  {name.removeprefix('share of '):18} {share:.0%}")
    print(f"peak resident memory {found['peak_mib']:.0f} MiB")


if __name__ == "__main__":
    main()
