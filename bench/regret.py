"""How far evolution is from the true optimum: published settings, several seeds, each against the whole space.

    python -m bench.regret --benchmark flexibert-glue [--seeds 42 43 44 45 46] [--n-unary 2] [--json]

For every seed the search runs on its split and every tree of the published space is ranked on the same split, on the
same sketches. The held-out columns are sketch scores too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from bench.seeds import SETTINGS
from engine.threads import one_thread
from fitness.evaluation import split_groups
from fitness.features.workshop import Workshop
from fitness.protocol import correlation
from fitness.ranking import RankTarget
from fitness.tables.table_file import branch_table
from gp.config import SearchConfig
from gp.evolution.evolve import evolve
from gp.exhaustive import exhaust
from gp.problem import SearchProblem
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark
from primitives.proxy import Proxy


def compare(benchmark: Benchmark, workshop: Workshop, seed: int, n_unary: int, jobs: int) -> dict[str, Any]:
    """Champion and optimum of one split."""
    config = SearchConfig(seed=seed, n_unary=n_unary, **SETTINGS["published"])
    split = split_groups(benchmark.groups, 50, seed)
    problem = SearchProblem.open(benchmark, split.search, workshop, config)
    with one_thread():
        champion = evolve(config, problem.evaluate, problem.predict).champion
    if champion is None:
        raise SystemExit(f"seed {seed}: no valid formula")
    table = branch_table([benchmark.architectures[i] for i in split.search], workshop)
    target = RankTarget.create(benchmark.quality[list(split.search)])
    survey = exhaust(table, target, n_unary, "mean", top=1, marks=[champion.fitness], jobs=jobs)
    best, held = survey.top[0], list(split.holdout)
    everyone = branch_table(benchmark.architectures, workshop)

    def held_out(proxy: Proxy, sign: int) -> dict[str, Any]:
        return correlation(sign * everyone.scores([proxy])[0][held], benchmark.quality[held], intervals=False)

    return {
        "seed": seed, "trees": survey.trees, "champion": champion.proxy.text, "optimum": best.proxy.text,
        "champion_search": champion.fitness, "optimum_search": best.fitness,
        "regret": best.fitness - champion.fitness, "better_trees": int(survey.above[0]),
        "top_share": int(survey.above[0]) / survey.valid,
        "champion_holdout": held_out(champion.proxy, champion.sign), "optimum_holdout": held_out(best.proxy, best.sign),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44, 45, 46])
    parser.add_argument("--n-unary", type=int, choices=(1, 2), default=2)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--bank", type=Path, default=Path(".cache/bank"))
    parser.add_argument("--json", action="store_true")
    o = parser.parse_args()
    benchmark = load_benchmark(o.benchmark)
    workshop = Workshop.open(benchmark.space, bank=o.bank)
    rows = []
    for seed in o.seeds:
        row = compare(benchmark, workshop, seed, o.n_unary, o.jobs)
        rows.append(row)
        if not o.json:
            print(
                f"seed {seed}: champion {row['champion_search']:.3f}, optimum {row['optimum_search']:.3f}, regret "
                f"{row['regret']:.3f}, {row['better_trees']:,} of {row['trees']:,} trees are better (top "
                f"{100 * row['top_share']:.4f}%); held-out rho {row['champion_holdout']['spearman']:.3f} against "
                f"{row['optimum_holdout']['spearman']:.3f}\n  {row['champion']}\n  {row['optimum']}",
                flush=True,
            )
    if o.json:
        print(json.dumps(rows, indent=2, allow_nan=False))
        return
    print(f"median regret {np.median([r['regret'] for r in rows]):.4f}, median champion in the top "
          f"{100 * np.median([r['top_share'] for r in rows]):.4f}%")  # fmt: skip


if __name__ == "__main__":
    main()
