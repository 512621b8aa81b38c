"""Suggested labels against random ones: how fast a predictor without formulas learns a benchmark.

    python -m bench.suggestions [--benchmark gpt2-wt103 gpt2-mini flexibert-glue] [--seeds 42 43 44 45 46]

A third of the architectures is held out; 20 random labels of the others grow by 10 to 50 and more, at random, by the
widest interval, or by the largest expected improvement. Figures are tau-b on the held-out third, medians over seeds;
`labels` is where the median first reaches what 50 random labels reach, by interpolation; `regret` is the quality that
the best label lacks to the best architecture that could have been measured, in the metric's unit.
"""

from __future__ import annotations

import argparse

import numpy as np

from fitness.evaluation import split_groups
from fitness.predictors.ensemble import fit_ensemble
from fitness.predictors.members import rank_targets
from fitness.predictors.numbers import NumberTable, number_table
from fitness.predictors.suggestion import GOALS, suggested
from fitness.ranking import kendall
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark

START, STEP, END = 20, 10, 80


def curve(benchmark: Benchmark, seed: int, goal: str) -> list[tuple[float, float]]:
    """(held-out tau, regret of the best label) at START, START + STEP, ... labels."""
    table = number_table(benchmark.architectures)
    split = split_groups(benchmark.groups, 2 * len(benchmark) // 3, seed)
    held, pool = list(split.holdout), list(split.search)
    rng = np.random.default_rng(seed)
    known = [int(i) for i in rng.permutation(pool)[:START]]
    left = [i for i in pool if i not in known]
    best, result = float(benchmark.quality[pool].max()), list[tuple[float, float]]()
    asked = NumberTable(table.names, table.values[held])
    while True:
        seen = NumberTable(table.names, table.values[known])
        quality = benchmark.quality[known]
        ensemble, _ = fit_ensemble(seen, rank_targets(quality))
        mean, _ = ensemble.predict(seen, rank_targets(quality), asked)
        result.append((kendall(mean, benchmark.quality[held]), best - float(quality.max())))
        if len(known) >= END:
            return result
        if goal == "random":
            places = list(range(STEP))
            rng.shuffle(left)
        else:
            places = suggested(ensemble, seen, quality, NumberTable(table.names, table.values[left]), STEP, goal)
        known += [left[place] for place in places]
        left = [i for i in left if i not in known]


def reached(sizes: list[int], taus: np.ndarray, level: float) -> str:
    """The number of labels at which a curve first reaches a level."""
    for i, tau in enumerate(taus):
        if tau >= level:
            low = taus[i - 1] if i else tau
            step = 0.0 if not i else (level - low) / (tau - low)
            return f"{sizes[i] if not i else sizes[i - 1] + step * (sizes[i] - sizes[i - 1]):.0f}"
    return f"more than {sizes[-1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", nargs="+", default=["gpt2-wt103", "gpt2-mini", "flexibert-glue"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44, 45, 46])
    o = parser.parse_args()
    sizes = list(range(START, END + 1, STEP))
    for name in o.benchmark:
        benchmark, level = load_benchmark(name), 0.0
        print(f"\n{name}: labels {' '.join(map(str, sizes))}")
        for goal in ("random", *GOALS):
            found = np.array([curve(benchmark, seed, goal) for seed in o.seeds])  # (seeds, sizes, tau and regret)
            taus, regret = np.median(found[:, :, 0], 0), np.median(found[:, :, 1], 0)
            level = float(taus[sizes.index(50)]) if goal == "random" else level
            print(
                f"  {goal:11} tau {' '.join(f'{tau:.3f}' for tau in taus)}  labels {reached(sizes, taus, level)}"
                f"  regret {' '.join(f'{r:.3g}' for r in regret)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
