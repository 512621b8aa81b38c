"""The README's picture: what counting parameters and what an evolved formula say of architectures never seen.

python -m bench.picture HALL.json OUT.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from scipy.stats import rankdata

from fitness.features.workshop import Workshop
from fitness.ranking import kendall, spearman
from fitness.zoo.naive import naive_scores
from gp.hall_file import load_hall
from models.benchmarks.origins import load


def main(hall: Path, out: Path) -> None:
    document = load_hall(hall)
    benchmark = load(document.benchmark.name)
    unseen = [a for a in benchmark.architectures if a.id in set(document.split.holdout)]
    truth = benchmark.quality[[a.id in set(document.split.holdout) for a in benchmark.architectures]]
    workshop = Workshop.open(benchmark.space)
    champion = document.proxies[0]
    ours = champion.sign * workshop.exact_scores([champion.proxy], unseen)[0]
    panels = {"#params": naive_scores("#params", unseen), "the evolved formula": ours}
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained", sharey=True)
    for axis, (name, scores) in zip(axes, panels.items(), strict=True):
        axis.scatter(rankdata(scores), rankdata(truth), s=14, color="0.25")
        axis.set_title(name, fontsize=9)
        axis.set_xlabel(f"rank by score    (rho {spearman(scores, truth):.3f}, tau {kendall(scores, truth):.3f})")
    axes[0].set_ylabel("rank by measured quality")
    title = f"{benchmark.name}: {len(unseen)} architectures the search never saw"
    figure.suptitle(f"{title}\n{champion.proxy}", fontsize=9)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
