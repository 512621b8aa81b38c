"""Permutation test of what untrained networks tell beyond their configuration: branches against residuals.

    python -m bench.science.signal --benchmark gpt2-mini [--permutations 400]

A Gaussian process on numbers of the configuration predicts the rank of every architecture from the labels of the
others (five folds). Every single branch of the space is correlated with what is left, and the largest correlation is
compared with the largest ones under random permutations of the residuals, which no branch can know anything of.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy import stats

from fitness.features.workshop import Workshop
from fitness.predictors.members import rank_targets
from fitness.predictors.numbers import number_table
from fitness.predictors.tuning import calm, left_out
from fitness.ranking import kendall
from fitness.tables.table_file import branch_table
from gp.config import SearchConfig
from gp.sweeps import Singles
from models.benchmarks.origins import load_benchmark

AT_ONCE = 50  # permutations in one matrix product


def largest(units: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """(R,): the largest |rho| of any row of `units` (K, N) with each row of `residuals` (R, N), all of length 1."""
    parts = [residuals[at : at + AT_ONCE] for at in range(0, len(residuals), AT_ONCE)]
    return np.concatenate([np.abs(units @ part.T).max(0) for part in parts])


def unit_ranks(rows: np.ndarray) -> np.ndarray:
    """The ranks of each row of (K, N), centred and of length 1."""
    ranks = stats.rankdata(rows, axis=-1)
    centred = ranks - ranks.mean(-1, keepdims=True)
    return centred / np.linalg.norm(centred, axis=-1, keepdims=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", required=True)
    parser.add_argument("--permutations", type=int, default=400)
    parser.add_argument("--build")
    parser.add_argument("--bank", type=Path, default=Path(".cache/bank"))
    o = parser.parse_args()
    benchmark = load_benchmark(o.benchmark)
    workshop = Workshop.open(benchmark.space, bank=o.bank, build=o.build)
    targets = rank_targets(benchmark.quality)
    numbers = number_table(benchmark.architectures, o.build)
    with calm():
        predicted = left_out("process", numbers.values, targets, 0)[0]
    residuals = unit_ranks((targets - predicted)[None])
    singles = Singles.of(branch_table(benchmark.architectures, workshop), SearchConfig())
    units = unit_ranks(singles.values)
    rng = np.random.default_rng(0)
    null = largest(units, np.stack([rng.permutation(residuals[0]) for _ in range(o.permutations)]))
    rho = np.abs(units @ residuals[0])
    best = int(np.argmax(rho))
    beyond = (1 + int((null >= rho[best]).sum())) / (1 + o.permutations)
    print(f"{benchmark.name}: {len(benchmark)} architectures, {len(units):,} branches")
    print(f"  tau-b of the configuration, out of fold: {kendall(predicted, benchmark.quality):.3f}")
    print(f"  largest |rho| of a branch with the residuals: {rho[best]:.3f}, {singles.proxies[best]}")
    print(f"  95% of {o.permutations} permutations stay below {np.quantile(null, 0.95):.3f}; p = {beyond:.3f}")


if __name__ == "__main__":
    main()
