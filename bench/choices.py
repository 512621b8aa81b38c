"""Which member of the last population should be the champion? Rules that know the search split, tested on the rest.

    python -m bench.choices [--benchmark gpt2-mini gpt2-wt103] [--seeds 100 ... 115]

Sketch scores. `medoid of K` is the formula nearest to the mean ranking of the best K, on all architectures (without
their labels) or on those of the split; `halves` are 200 random halves of the split; `parsimony` takes a share of the
complexity off the fitness. Differences of tau are to the formula with the best fitness, with their standard errors.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy import stats

from fitness.evaluation import split_groups
from fitness.features.workshop import Workshop
from fitness.ranking import kendall, row_by_row, spearman
from fitness.tables.table_file import branch_table
from gp.benchmark_search import PreparedSearch
from gp.config import SearchConfig
from gp.evolution.individual import worth
from gp.problem import SearchProblem
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark

BEST = (10, 30, 100)
SHARES = (0.001, 0.003, 0.01)


def rankings(benchmark: Benchmark, workshop: Workshop, seed: int) -> dict[str, np.ndarray]:
    """(N,) ranks of all architectures by each rule's choice, and by committees."""
    config, split = SearchConfig(seed=seed), split_groups(benchmark.groups, 50, seed)
    problem = SearchProblem.open(benchmark, split.search, workshop, config)
    found = PreparedSearch.of(problem, config).evolve().state.population
    members = sorted((m for m in found if np.isfinite(worth(m))), key=lambda m: (-worth(m), m.canonical.text))
    scores = branch_table(benchmark.architectures, workshop).scores([m.canonical for m in members])
    finite = np.isfinite(scores).all(-1)
    members, scores = [m for m, ok in zip(members, finite, strict=True) if ok], scores[finite]
    seen = list(split.search)
    truth = np.broadcast_to(benchmark.quality[seen], (len(scores), len(seen)))
    ranks = stats.rankdata(np.sign(row_by_row(scores[:, seen], truth))[:, None] * scores, axis=-1)
    fitness, complexity = np.array([worth(m) for m in members]), np.array([m.canonical.complexity for m in members])
    chosen = {"fitness": 0}
    for best in BEST:
        for name, places in (("all", slice(None)), ("split", seen)):
            part = ranks[:best, places]
            mean = np.broadcast_to(part.mean(0), part.shape)
            chosen[f"medoid of {best}, {name}"] = int(np.argmax(row_by_row(part, mean)))
    rng = np.random.default_rng(0)
    halves = [rng.choice(seen, len(seen) // 2, replace=False) for _ in range(200)]
    rows = [row_by_row(ranks[:, half], np.broadcast_to(benchmark.quality[half], (len(ranks), len(half))))
            for half in halves]  # fmt: skip
    chosen |= {"halves, mean": int(np.argmax(np.mean(rows, 0))), "halves, worst": int(np.argmax(np.min(rows, 0)))}
    chosen |= {"halves, worst tenth": int(np.argmax(np.quantile(rows, 0.1, axis=0)))}
    chosen |= {f"parsimony {share}": int(np.argmax(fitness - share * complexity)) for share in SHARES}
    return {name: ranks[place] for name, place in chosen.items()} | {
        f"committee of {best}": ranks[:best].mean(0) for best in BEST
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", nargs="+", default=["gpt2-mini", "gpt2-wt103"])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(100, 116)))
    parser.add_argument("--bank", type=Path, default=Path(".cache/bank"))
    o = parser.parse_args()
    for name in o.benchmark:
        benchmark = load_benchmark(name)
        workshop = Workshop.open(benchmark.space, bank=o.bank)
        figures: dict[str, list[tuple[float, float]]] = {}
        for seed in o.seeds:
            held = list(split_groups(benchmark.groups, 50, seed).holdout)
            quality = benchmark.quality[held]
            for rule, ranks in rankings(benchmark, workshop, seed).items():
                figures.setdefault(rule, []).append((spearman(ranks[held], quality), kendall(ranks[held], quality)))
        print(f"\n{name}: held-out rho and tau-b, means of {len(o.seeds)} seeds; difference of tau")
        base = np.array(figures["fitness"])
        for rule, pairs in figures.items():
            rho, tau = np.mean(pairs, 0)
            gain = np.array(pairs)[:, 1] - base[:, 1]
            error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else float("nan")
            print(f"  {rule:22} {rho:.4f} {tau:.4f}  {gain.mean():+.4f} +- {error:.4f}", flush=True)


if __name__ == "__main__":
    main()
