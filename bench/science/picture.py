"""The README's picture: what counting and what an evolved formula say of architectures never seen.

python -m bench.science.picture HALL.json OUT.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import rankdata

from fitness.features.workshop import Workshop
from fitness.ranking import kendall, spearman
from fitness.zoo.naive import NAIVE, naive_scores
from gp.hall_file import load_hall
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark


def best_count(benchmark: Benchmark, chosen: list[int]) -> str:
    """The count that agrees best with measured quality on these architectures."""
    some = [benchmark.architectures[i] for i in chosen]
    taus = {name: kendall(naive_scores(name, some), benchmark.quality[chosen]) for name in NAIVE}
    return max(taus, key=lambda name: taus[name])


def main(hall: Path, out: Path) -> None:
    document = load_hall(hall)
    benchmark = load_benchmark(document.cases[0].place)
    split = document.seen.split(benchmark)
    if split is None:
        raise SystemExit(f"{hall}: evolved on another benchmark of this name")
    unseen = [benchmark.architectures[i] for i in split.holdout]
    truth = benchmark.quality[list(split.holdout)]
    champion = document.proxies[0]
    ours = champion.sign * Workshop.open(benchmark.space).exact_scores([champion.proxy], unseen)[0]
    panels: dict[str, np.ndarray] = {
        name: naive_scores(name, unseen) for name in ("#params", best_count(benchmark, list(split.search)))
    }
    panels["the evolved formula"] = ours
    figure, axes = plt.subplots(1, len(panels), figsize=(12, 4.2), layout="constrained", sharey=True)
    for axis, (name, scores) in zip(axes, panels.items(), strict=True):
        axis.scatter(rankdata(scores), rankdata(truth), s=14, color="0.25")
        axis.set_title(name, fontsize=10)
        axis.set_xlabel(f"rank by score    (rho {spearman(scores, truth):.3f}, tau {kendall(scores, truth):.3f})")
    axes[0].set_ylabel("rank by measured quality")
    title = f"{benchmark.name}: {len(unseen)} architectures the search never saw"
    figure.suptitle(f"{title}\n{champion.proxy}", fontsize=9)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
