"""Formulas that read the training budget T, on a benchmark of several budgets.

    python -m bench.science.budgets [--benchmark llama-budgets] [--labels 40] [--seeds 42,43,44,45,46] [--bank DIR]

First, what the benchmark itself says: per budget, tau of depth and of width over pairs of one size. Then, per ranking
and budget, tau over held-out pairs of one size, medians over the seeds, each with its own labels (rows, all budgets of
an architecture on one side of the split): the search with T and without, and the shape law fitted to the same labels;
the law of shape and budget fitted to the other benchmarks, and counts, which need none of these. The last column is tau
of depth within the ranking itself: what it foretells of the turn.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.science.equal_size import PULL, SIZE
from bench.science.law import BENCHMARKS
from bench.science.law_fit import Rows, fitted
from commands.output import emit
from commands.tables import Row
from fitness.evaluation import Split, split_groups
from fitness.features.workshop import Workshop
from fitness.predictors.shape_law import fitted_law, law_inputs, losses_of
from fitness.protocol import near_pairs
from fitness.tables.table_file import branch_table
from fitness.zoo.naive import naive_scores
from gp.benchmark_search import search
from gp.case import Case
from gp.config import SearchConfig
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark, locate
from primitives.operators import USUAL_AGGREGATIONS, turned

COUNTS = ("decoder params", "attention x FFN", "FLOPs", "depth", "width")
WITHOUT, WITH = USUAL_AGGREGATIONS, (*USUAL_AGGREGATIONS, *map(turned, USUAL_AGGREGATIONS))

Ranking = Callable[[Split, int], np.ndarray]
"""Scores (N,) of a benchmark's rows, given a split and its seed."""


def rankings(benchmark: Benchmark, workshop: Workshop, objective: str) -> dict[str, Ranking]:
    """The rankings by name; the law of shape and budget is fitted to the other benchmarks that are here."""
    table = branch_table(benchmark.architectures, workshop)

    def searched(aggregates: tuple[str, ...]) -> Ranking:
        def scores(split: Split, seed: int) -> np.ndarray:
            config = SearchConfig(seed=seed, aggregates=aggregates, objective=objective, hall_size=1)
            champion = search([Case(benchmark, workshop, split)], config).hall.champions[0]
            print(f"seed {seed}: {champion.sign:+d} {champion.proxy}", flush=True)
            return champion.sign * table.scores([champion.proxy])[0]

        return scores

    def law(split: Split, seed: int) -> np.ndarray:
        inputs, seen = law_inputs(benchmark.architectures), list(split.search)
        return -fitted_law(inputs[seen], losses_of(benchmark, seen), inputs)

    bank = workshop.bank.folder
    others = [Rows.of(load_benchmark(name), bank) for name in BENCHMARKS if name != benchmark.name and locate(name)]
    terms = Rows.of(benchmark, bank).terms

    def of_others(split: Split, seed: int) -> np.ndarray:
        return terms @ fitted(others, seed, SIZE, PULL, np.ones(5))

    found: dict[str, Ranking] = {"formula with T": searched(WITH), "formula without T": searched(WITHOUT)}
    counts = {name: naive_scores(name, benchmark.architectures).astype(float) for name in COUNTS}
    found |= {"shape law": law, "law of the others": of_others}
    return found | {name: lambda split, seed, row=row: row for name, row in counts.items()}


def rows_of(benchmark: Benchmark, ranked: dict[str, Ranking], labels: int, seeds: Sequence[int]) -> list[Row]:
    """A line per ranking and budget."""
    depth, rows = naive_scores("depth", benchmark.architectures).astype(float), list[Row]()
    for name, ranking in ranked.items():
        found: dict[int, list[list[float | None]]] = {}
        for seed in seeds:
            split = split_groups(benchmark.groups, labels, seed)
            scores = ranking(split, seed)
            for places in benchmark.of_budgets(split.holdout):
                told = replace(benchmark, ground_truth=scores, higher_is_better=True)
                pair = [near_pairs(*each, places)["kendall"] for each in ((scores, benchmark), (depth, told))]
                found.setdefault(benchmark.budgets[places[0]], []).append(
                    [np.nan if tau is None else tau for tau in pair]
                )
        for budget, pairs in sorted(found.items()):
            taus = np.array(pairs, dtype=float)  # nan where there was no pair
            (middle, turn), worst, best = np.nanmedian(taus, axis=0), np.nanmin(taus[:, 0]), np.nanmax(taus[:, 0])
            row: Row = {"ranked by": name, "budget": int(budget), "one size": middle, "from": worst, "to": best}
            rows.append(row | {"depth in it": turn})
    return rows


def truth_of(benchmark: Benchmark) -> list[Row]:
    """A line per budget: what depth and width are worth at one size."""
    rows: list[Row] = []
    for places in benchmark.of_budgets():
        tokens = [t for i in places if (t := benchmark.architectures[i].tokens) is not None]
        row: Row = {"budget": int(benchmark.budgets[places[0]]), "rows": len(places)}
        row |= {"tokens": float(np.median(tokens))} if tokens else {}
        for name in ("depth", "width"):
            found = near_pairs(naive_scores(name, benchmark.architectures).astype(float), benchmark, places)
            row |= {name: found["kendall"], f"{name} se": found.get("error")}
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmark", default="llama-budgets")
    parser.add_argument("--labels", type=int, default=40)
    parser.add_argument("--seeds", default="42,43,44,45,46")
    parser.add_argument("--objective", default="both")
    parser.add_argument("--bank", type=Path, default=Path(".cache/bank"))
    asked = parser.parse_args()
    benchmark = load_benchmark(asked.benchmark)
    emit(truth_of(benchmark), "table", f"{benchmark.name}: pairs of one size by training budget")
    ranked = rankings(benchmark, Workshop.open(benchmark.space, bank=asked.bank), asked.objective)
    seeds = [int(seed) for seed in asked.seeds.split(",")]
    emit(rows_of(benchmark, ranked, asked.labels, seeds), "table", f"{asked.labels} labels, held-out pairs of one size")


if __name__ == "__main__":
    main()
