"""What llama-elastic holds: how far apart its subnets are, which blocks matter, the noise, and what counting reaches.

python -m bench.elastic
"""

from __future__ import annotations

import numpy as np

from fitness.ranking import kendall, spearman
from models.benchmarks.origins import load_benchmark
from models.training.elastic import WIDTHS

NAME, ANCHORS = "llama-elastic", 3


def main() -> None:
    benchmark = load_benchmark(NAME)
    loss = benchmark.ground_truth
    widths = np.array([a.config["d_ffn"] for a in benchmark.architectures]) / WIDTHS[0]
    full, middle, smallest = loss[:ANCHORS]
    print(f"anchors: full {full:.4f}, middle {middle:.4f}, smallest {smallest:.4f} nats per byte")
    print(f"{len(loss) - ANCHORS} subnets: {loss[ANCHORS:].min():.4f} to {loss[ANCHORS:].max():.4f}, "
          f"sd {loss[ANCHORS:].std(ddof=1):.5f}")  # fmt: skip
    total = widths.sum(1)
    inside = [loss[ANCHORS:][total[ANCHORS:] == level].var(ddof=1) for level in np.unique(total[ANCHORS:])]
    print(f"sd inside one total width ({len(inside)} of 25 subnets) {np.sqrt(np.mean(inside)):.5f}")
    ceiling = benchmark.header["noise_ceiling"]
    print(f"noise sd {ceiling['sd']:.5f} (5 disjoint parts of the text, one training)")
    print(f"noise ceiling: rho {ceiling['spearman']:.3f}, tau-b {ceiling['kendall']:.3f}")
    gains = -np.linalg.lstsq(np.c_[np.ones(len(loss)), widths], loss, rcond=None)[0][1:]
    print("loss saved by the full width, block by block: " + ", ".join(f"{gain:.4f}" for gain in gains))
    falling = widths @ np.arange(1, widths.shape[1] + 1)
    for name, score in (
        ("total FFN width", total),
        ("width weighed by block", falling),
        ("the line above", widths @ gains),
    ):
        print(f"{name}: rho {spearman(score, -loss):.3f}, tau-b {kendall(score, -loss):.3f}")


if __name__ == "__main__":
    main()
