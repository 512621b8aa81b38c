"""Rankings of architectures of one size: by counts, and by the shape-aware scaling law fitted to a few labels.

    python -m bench.science.one_size [--benchmark NAME ...] [--labels 50] [--seed 100 --seed 101 ...]

Per benchmark: tau-b on all rows within each training budget, and Kendall's tau over pairs of one size and one budget
(within a tenth; ties count 0) with the standard error of a jackknife over architectures. The law is fitted to a search
split (at most two fifths of the rows) and tested on what is held out: medians over the seeds. Nothing is visited.
Where a table has curves, the losses after 10, 20 and 30% of the training stand beside the counts: each costs that share
of a training of every architecture, where the other rows cost nothing or the labels.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from commands.output import emit
from commands.tables import Row
from fitness.evaluation import split_groups
from fitness.predictors.shape_law import fitted_law, law_inputs, losses_of
from fitness.protocol import near_pairs, within_budgets
from fitness.zoo.naive import naive_scores
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import ORIGINS, find, load_benchmark, locate

EARLY = (10, 20, 30)  # percent of the training
COUNTS = ("attention x FFN", "decoder params", "attention params", "FLOPs", "depth", "width")


def rows_of(benchmark: Benchmark, labels: int, seeds: list[int]) -> list[Row]:
    """A line per ranking."""
    rows: list[Row] = []
    for name in COUNTS:
        scores = naive_scores(name, benchmark.architectures)
        found, near = within_budgets(scores, benchmark, intervals=False), near_pairs(scores, benchmark)
        row: Row = {"benchmark": benchmark.name, "ranked by": name, "n": len(benchmark), "tau-b": found["kendall"]}
        rows.append(row | {"one size": near["kendall"], "se": near.get("error"), "pairs": near["pairs"]})
    for share, losses in losses_on_the_way(benchmark).items():
        found, near = within_budgets(-losses, benchmark, intervals=False), near_pairs(-losses, benchmark)
        row = {"benchmark": benchmark.name, "ranked by": f"loss after {share}% of the training", "n": len(benchmark)}
        row |= {"tau-b": found["kendall"], "one size": near["kendall"], "se": near.get("error")}
        rows.append(row | {"pairs": near["pairs"]})
    every = [law(benchmark, min(labels, 2 * len(benchmark) // 5), seed) for seed in seeds]
    medians = {key: float(np.median([each[key] for each in every])) for key in every[0]}
    rows.append({"benchmark": benchmark.name, "ranked by": "shape law, labels", **medians})
    return rows


def losses_on_the_way(benchmark: Benchmark) -> dict[int, np.ndarray]:
    """By percent of the training, the losses (N,) where a table has curves."""
    if benchmark.name not in ORIGINS:
        return {}
    records = [json.loads(line) for line in find(benchmark.name).read_text().splitlines()[1:]]
    if not all("curve" in record for record in records):
        return {}
    curves = [record["curve"] for record in records]
    return {share: np.array([curve[len(curve) * share // 100 - 1] for curve in curves]) for share in EARLY}


def law(benchmark: Benchmark, labels: int, seed: int) -> dict[str, float]:
    """The law of one split on what is held out."""
    split = split_groups(benchmark.groups, labels, seed)
    inputs, seen, held = law_inputs(benchmark.architectures), list(split.search), list(split.holdout)
    scores = -fitted_law(inputs[seen], losses_of(benchmark, seen), inputs)
    near = near_pairs(scores, benchmark, held)
    tau = within_budgets(scores, benchmark, held, intervals=False)["kendall"]
    return {"n": len(held), "tau-b": tau or 0.0, "one size": near["kendall"] or 0.0, "pairs": near["pairs"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmark", action="append", help="default: all that are on this machine")
    parser.add_argument("--labels", type=int, default=50)
    parser.add_argument("--seed", action="append", type=int, help="default: 100, 101, 102")
    asked = parser.parse_args()
    rows: list[Row] = []
    for name in asked.benchmark or [name for name in ORIGINS if locate(name)]:
        rows += rows_of(load_benchmark(name), asked.labels, asked.seed or [100, 101, 102])
    emit(rows, "table", "pairs of one size and one training budget")


if __name__ == "__main__":
    main()
