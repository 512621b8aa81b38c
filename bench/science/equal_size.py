"""At equal size, who picks the better model, and for how many labels?

    python -m bench.science.equal_size [--benchmark NAME ...] [--law NAME ...] [--labels 10,20,50] [--seeds 42,43,44]
        [--bank DIR] [--rows FILE.jsonl] [--out FIGURE.png]

Rows of one training budget whose sizes differ by at most a tenth are a class. A ranking picks the first of those of a
class that are held out; its regret is the quality of the best of them less that of its pick, in the metric's unit,
averaged over classes: the price of choosing by it. Medians over the seeds, each with its own split. Without labels:
counts, and the law of shape and budget that was fitted to the other benchmarks (bench/science/law.py). With labels: the
same law pulled towards the labels, the shape-aware scaling law, a Gaussian process on the configuration, and a search
with default settings (sketch scores). "chance" is the mean of the class, the gray band one standard deviation of the
noise of a label. --rows keeps the rows of finished benchmarks; the same command goes on from there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.science.law import BENCHMARKS
from bench.science.law_fit import Rows, fitted
from commands.output import emit, say
from commands.tables import Row
from fitness.evaluation import Split, split_groups
from fitness.features.workshop import Workshop
from fitness.near_pairs import NEAR
from fitness.predictors.rivals import rival_scores
from fitness.protocol import sizes_of
from fitness.tables.table_file import branch_table
from fitness.zoo.naive import naive_scores
from gp.benchmark_search import PreparedSearch
from gp.case import Case
from gp.config import SearchConfig
from gp.problem import SearchProblem
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import ORIGINS, find, load_benchmark

COUNTS = ("decoder params", "attention x FFN", "depth", "width")
FITTED = ("Gaussian process", "shape law")
LAW, ADAPTED, EVOLVED = "law of the others", "law, with labels", "evolved"
PULL, SIZE = 5.0, 100
PANELS = ("gpt2-mini", "llama-mini", "gpt2-budgets", "llama-budgets", "flexibert-glue", "gpt2-wt103",
          "gpt2-lm1b-pareto", "depth-at-constant-size")  # fmt: skip
FEWEST = 3  # held-out rows of a class


def classes(benchmark: Benchmark, places: Sequence[int]) -> list[np.ndarray]:
    """Disjoint classes of rows of one budget and one size, smallest first, each with FEWEST rows of unlike quality."""
    sizes, found = sizes_of(benchmark), list[np.ndarray]()
    for own in benchmark.of_budgets(places):
        left = np.array(own)[np.argsort(sizes[own], kind="stable")]
        while len(left):
            near = sizes[left] * (1 - NEAR) <= sizes[left[0]]
            found.append(left[near])
            left = left[~near]
    return [own for own in found if len(own) >= FEWEST and np.ptp(benchmark.quality[own]) > 0]


def regret(scores: np.ndarray, benchmark: Benchmark, chosen: Sequence[np.ndarray]) -> float:
    """Mean over the classes of what the first by scores (N,) lacks of the best; of several first ones the mean."""
    lost = []
    for own in chosen:
        mine, quality = np.nan_to_num(scores[own], nan=-np.inf), benchmark.quality[own]
        lost.append(quality.max() - quality[mine == mine.max()].mean())
    return float(np.mean(lost))


def without_labels(rows: Rows, others: Sequence[Rows], seed: int) -> dict[str, np.ndarray]:
    """(N,) by name."""
    found = {name: naive_scores(name, rows.benchmark.architectures).astype(float) for name in COUNTS}
    law = fitted(others, seed, SIZE, PULL, np.ones(5))
    return found | {LAW: rows.terms @ law, "chance": np.zeros(len(rows.benchmark))}


def with_labels(
    rows: Rows, others: Sequence[Rows], split: Split, seed: int, workshop: Workshop
) -> dict[str, np.ndarray]:
    """(N,) by name."""
    benchmark = rows.benchmark
    kept = {name: row for name, row in rival_scores(benchmark, split).items() if name in FITTED}
    own = replace(rows, split=split)
    law = fitted(others, seed, SIZE, PULL, np.ones(5))
    kept[ADAPTED] = rows.terms @ fitted([own], seed, SIZE, PULL, np.ones(5), law)
    config = SearchConfig(seed=seed)
    prepared = PreparedSearch.of(SearchProblem.of([Case(benchmark, workshop, split)], config), config)
    best = prepared.evolve().hall.champions[0]
    table = branch_table(benchmark.architectures, workshop)
    return kept | {EVOLVED: best.sign * table.scores([best.proxy])[0]}


def rows_of(rows: Rows, others: Sequence[Rows], labels: Sequence[int], seeds: Sequence[int], bank: Path) -> list[Row]:
    """A line per ranking and number of labels."""
    benchmark, found = rows.benchmark, dict[tuple[str, int], list[float]]()
    workshop = Workshop.open(benchmark.space, bank=bank)
    for seed in seeds:
        for count in (0, *(n for n in labels if n <= 2 * len(benchmark) // 5)):
            split = split_groups(benchmark.groups, count or max(labels[0], FEWEST), seed)
            held = classes(benchmark, split.holdout)
            ranked = with_labels(rows, others, split, seed, workshop) if count else without_labels(rows, others, seed)
            for name, scores in ranked.items():
                found.setdefault((name, count), []).append(regret(scores, benchmark, held))
            say(f"{benchmark.name}, seed {seed}, {count} labels: {len(held)} classes")
    return [
        {"benchmark": benchmark.name, "ranked by": name, "labels": count, "regret": float(np.median(values)),
         "from": min(values), "to": max(values)}
        for (name, count), values in sorted(found.items(), key=lambda item: (item[0][1], item[0][0]))
    ]  # fmt: skip


def draw(rows: Sequence[Row], noise: Mapping[str, float], out: Path) -> None:
    """A panel per benchmark: regret against labels; rankings without labels are dashed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(str(row["benchmark"]) for row in rows))
    columns = min(4, len(names))
    lines = -(-len(names) // columns)
    size = (3.3 * columns, 2.9 * lines)
    figure, axes = plt.subplots(lines, columns, figsize=size, layout="constrained", squeeze=False)
    kinds = list(dict.fromkeys(str(row["ranked by"]) for row in rows))
    colour = {name: f"C{place}" for place, name in enumerate(kinds)}
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, names, strict=False):
        most = max(int(str(row["labels"])) for row in rows)
        for kind in kinds:
            own = [row for row in rows if row["benchmark"] == name and row["ranked by"] == kind]
            x, y = [float(str(row["labels"])) for row in own], [float(str(row["regret"])) for row in own]
            if own and not any(x):
                axis.axhline(y[0], color=colour[kind], linestyle="--", linewidth=1, label=kind)
            elif own:
                axis.plot(x, y, color=colour[kind], marker="o", markersize=3, label=kind)
        if noise.get(name):
            axis.axhspan(0, noise[name], color="0.9")
        axis.set(title=name, xlabel="labels", xlim=(0, most + 2), ylim=(0, None))
        axis.title.set_fontsize(9)
    handles = {label: h for axis in axes.flat for h, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5, fontsize=8)
    figure.supylabel("regret among networks of one size", fontsize=9)
    figure.savefig(out, dpi=110)


def noise_of(name: str) -> float:
    """Standard deviation of a label between training seeds, in the metric's unit; 0 where nothing was trained twice."""
    if name not in ORIGINS:
        return 0.0
    records = [json.loads(line) for line in find(name).read_text().splitlines()[1:]] if ORIGINS[name].embedded else []
    repeated = [record["replicates"] for record in records if len(record.get("replicates", ())) > 1]
    return float(np.sqrt(np.mean([np.var(values, ddof=1) for values in repeated]))) if repeated else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmark", nargs="+", default=PANELS)
    parser.add_argument("--law", nargs="+", default=BENCHMARKS, help="benchmarks that the law is fitted to")
    parser.add_argument("--labels", default="10,20,50")
    parser.add_argument("--seeds", default="42,43,44")
    parser.add_argument("--bank", type=Path, default=Path(".cache/bank"))
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    every = {name: Rows.of(load_benchmark(name), asked.bank) for name in {*asked.benchmark, *asked.law}}
    labels, seeds = ([int(text) for text in texts.split(",")] for texts in (asked.labels, asked.seeds))
    kept = asked.rows.read_text().splitlines() if asked.rows and asked.rows.exists() else []
    found: list[Row] = [json.loads(line) for line in kept]
    done = {row["benchmark"] for row in found}
    for name in [name for name in asked.benchmark if every[name].benchmark.name not in done]:
        others = [every[other] for other in asked.law if other != name]
        new = rows_of(every[name], others, labels, seeds, asked.bank)
        found += new
        if asked.rows:
            with asked.rows.open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row in new)
    if asked.out:
        draw(found, {name: noise_of(name) for name in asked.benchmark}, asked.out)
    emit(found, "table", "regret among held-out networks of one size, in the unit of the metric")


if __name__ == "__main__":
    main()
