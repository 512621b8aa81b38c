"""What 50 labels can say at all: a regression that is told which properties of a FlexiBERT architecture matter.

    python -m bench.label_limit [--seeds 100 ... 119] [--search-size 50]

For every seed the search split's ranks of GLUE are fitted by ridge regression on properties that were picked with all
500 labels in view, which no search may do, and the others are ranked by it. Where even this does not reach a figure,
a formula chosen by the same labels among millions cannot be expected to.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import rankdata

from fitness.evaluation import split_groups
from fitness.ranking import kendall, spearman
from models.benchmarks.origins import load_benchmark

NONE = 2.0  # the stack of a block that is not there: between 1 and 3


def properties(config: Mapping[str, Any]) -> dict[str, float]:
    """Numbers that describe one architecture."""
    depth, stacks = len(config["operation"]), config["ffn_stack"]
    found = {"depth": depth, "width": config["hidden_size"]}
    found |= {f"stack {i}": stacks[i] if i < depth else NONE for i in range(4)}
    found |= {f"stack {i} x depth": (found[f"stack {i}"] - NONE) * (depth - 3) for i in range(4)}
    found |= {"FFN width": np.mean(np.log2(config["ffn_dim"])), "heads": np.mean(np.log2(config["heads"]))}
    found |= {name: np.mean([o == name for o in config["operation"]]) for name in ("DFT", "DCT", "SDP", "WMA", "DSC5")}
    return {name: float(value) for name, value in found.items()}


def sets(names: list[str]) -> dict[str, list[str]]:
    """What the regressions are told, from little to everything."""
    first = ["depth", "width"]
    stacks = [name for name in names if name.startswith("stack")]
    return {
        "depth, width": first,
        "and the first block's stack": [*first, "stack 0"],
        "and every block's stack": first + [s for s in stacks if "x" not in s],
        "and its interaction with depth": first + stacks,
        "and FFN width, heads, operations": names,
    }


def ranked_by(x: np.ndarray, quality: np.ndarray, seen: np.ndarray, penalty: float) -> np.ndarray:
    """Predictions (N,) of a ridge regression on standardised `x` (N, F) that saw the architectures `seen`."""
    z = (x - x[seen].mean(0)) / np.maximum(x[seen].std(0), 1e-9)
    ranks = rankdata(quality[seen])
    target = (ranks - ranks.mean()) / ranks.std()
    weights = np.linalg.solve(z[seen].T @ z[seen] + penalty * np.eye(z.shape[1]), z[seen].T @ target)
    return z @ weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(100, 120)))
    parser.add_argument("--search-size", type=int, default=50)
    parser.add_argument("--penalty", type=float, default=1.0)
    o = parser.parse_args()
    benchmark = load_benchmark("flexibert-glue")
    rows = [properties(architecture.config) for architecture in benchmark.architectures]
    table = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    splits = [split_groups(benchmark.groups, o.search_size, seed) for seed in o.seeds]
    print(f"held-out, median of {len(splits)} splits with {o.search_size} labels; share of splits that reach the bar")
    print(f"{'told':34s} {'rho':>6s} {'tau-b':>6s} {'rho >= .935':>12s} {'tau-b >= .80':>13s} {'both':>5s}")
    for label, names in sets(list(table)).items():
        x, found = np.stack([table[name] for name in names], axis=1), []
        for split in splits:
            scores = ranked_by(x, benchmark.quality, np.array(split.search), o.penalty)[list(split.holdout)]
            quality = benchmark.quality[list(split.holdout)]
            found.append((spearman(scores, quality), kendall(scores, quality)))
        rho, tau = np.array(found).T
        shares = [np.mean(reached) for reached in (rho >= 0.935, tau >= 0.80, (rho >= 0.935) & (tau >= 0.80))]
        medians = f"{np.median(rho):6.3f} {np.median(tau):6.3f}"
        print(f"{label:34s} {medians} {shares[0]:12.2f} {shares[1]:13.2f} {shares[2]:5.2f}")


if __name__ == "__main__":
    main()
