"""What an embedded benchmark holds: learning curves as a plot, noise, and how far counting gets on it.

python -m bench.trained [--benchmark gpt2-mini] [--plot docs/gpt2-mini.png]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from fitness.protocol import baselines
from fitness.ranking import kendall, spearman
from models.benchmarks.origins import ORIGINS, load_benchmark

LEVELS = 25  # of size


def read(name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Header and records of an embedded file."""
    path = ORIGINS[name].embedded
    assert path is not None
    header, *records = [json.loads(line) for line in path.read_text().splitlines()]
    return header, records


def facts(header: dict[str, Any], records: list[dict[str, Any]]) -> None:
    losses = np.array([r["loss"] for r in records])
    curves = np.array([r["curve"] for r in records])
    sizes = np.array([r["parameters"]["decoder"] for r in records])
    bins = np.array_split(np.argsort(sizes), LEVELS)
    inside = np.sqrt(np.mean([losses[b].var(ddof=1) for b in bins]))
    print(f"architectures {len(records)}, decoder parameters {sizes.min():,} to {sizes.max():,}")
    print(f"final loss {losses.min():.4f} to {losses.max():.4f} nats per byte, sd {losses.std(ddof=1):.4f}")
    bigram = header["bigram_loss"]
    print(f"bigram model {bigram:.4f}; the worst network is {bigram - losses.max():.4f} below it")
    print(f"sd inside one size ({LEVELS} sizes of {len(records) // LEVELS}) {inside:.4f}")
    print(f"last two checkpoints: rho {spearman(curves[:, -2], curves[:, -1]):.4f}")
    if header["noise_ceiling"]:
        noise(header["noise_ceiling"], np.array([r["replicates"] for r in records if "replicates" in r]))


def noise(ceiling: dict[str, float], replicates: np.ndarray) -> None:
    e = replicates - replicates.mean(1, keepdims=True) - replicates.mean(0) + replicates.mean()
    sd = np.sqrt((e**2).sum() / ((len(e) - 1) * (e.shape[1] - 1)))
    print(f"noise sd {sd:.4f} ({len(replicates)} architectures x {replicates.shape[1]} seeds, seed effects removed)")
    print(f"noise ceiling: rho {ceiling['spearman']:.4f}, tau-b {ceiling['kendall']:.4f}")
    print(f"two seeds of the same {len(replicates)}: tau-b {kendall(replicates[:, 0], replicates[:, 1]):.4f}")


def counting(name: str) -> None:
    print(f"\n{'baseline':20} {'rho':>7} {'tau-b':>7} {'tau on pairs within 10% of #params':>36}")
    for record in baselines(load_benchmark(name), None, detail=True):
        near = record["near_pairs"]
        print(
            f"{record['name']:20} {record['all']['spearman']:7.3f} {record['all']['kendall']:7.3f} "
            f"{near['kendall']:20.3f} ({near['pairs']} pairs)"
        )


def plot(header: dict[str, Any], records: list[dict[str, Any]], path: Path) -> None:
    """Learning curves shaded by size (left) and final loss against size (right); readable in grey."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    sizes = np.array([r["parameters"]["decoder"] for r in records])
    shade = plt.get_cmap("viridis")
    scale = matplotlib.colors.LogNorm(sizes.min(), sizes.max())
    for record, size in zip(records, sizes, strict=True):
        left.plot(header["checkpoint_steps"], record["curve"], color=shade(scale(size)), lw=0.4, alpha=0.6)
    left.axhline(header["bigram_loss"], color="black", ls="--", lw=1)
    left.annotate("bigram model", (header["checkpoint_steps"][-1], header["bigram_loss"]), ha="right", va="bottom")
    left.set(xlabel="training step", ylabel="validation loss (nats per byte)", title=f"{len(records)} learning curves")
    left.set_ylim(None, header["bigram_loss"] + 0.5)
    ticks = {k * 1000: f"{k}k" for k in (25, 50, 100, 200, 400) if sizes.min() * 0.9 <= k * 1000 <= sizes.max() * 1.1}
    bar = figure.colorbar(matplotlib.cm.ScalarMappable(scale, shade), ax=left, label="decoder parameters")
    bar.set_ticks(list(ticks), labels=list(ticks.values()))
    bar.ax.minorticks_off()
    depth = np.array([r["config"]["n_layer"] for r in records])
    dots = right.scatter(sizes, [r["loss"] for r in records], c=depth, cmap="viridis", s=12)
    right.set(xscale="log", xlabel="decoder parameters", ylabel="final validation loss (nats per byte)")
    right.set_xticks(list(ticks), labels=list(ticks.values()))
    right.minorticks_off()
    right.set_title("size alone does not decide")
    figure.colorbar(dots, ax=right, label="number of blocks")
    figure.savefig(path, dpi=110)
    print(f"\nwrote {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", default="gpt2-mini")
    parser.add_argument("--plot", type=Path, help="write the picture here")
    options = parser.parse_args()
    header, records = read(options.benchmark)
    facts(header, records)
    counting(options.benchmark)
    if options.plot:
        plot(header, records, options.plot)


if __name__ == "__main__":
    main()
