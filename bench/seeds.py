"""Several seeds of one search, reported as the protocol demands: the champion of each on architectures it never saw.

    python -m bench.seeds --benchmark flexibert-glue [--settings default published] [--seeds 42 43 44 45 46]

Every seed draws its own search split. The champions are scored exactly, all in one visit per network.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.workshop import open_workshop
from fitness.devices import one_thread
from fitness.evaluation import Split, split_groups
from fitness.extraction import Workshop
from fitness.protocol import correlation
from fitness.zoo.naive import NAIVE, naive_scores
from gp.config import SearchConfig
from gp.evolve import evolve
from gp.hall_of_fame import Champion
from gp.run import prepare
from models.benchmark import Benchmark
from models.origins import load
from primitives.inputs import PAPER

SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "published": {"inputs": PAPER, "aggregates": ("mean",), "joins": ("inside",), "objective": "spearman"},
    "rho": {"objective": "spearman"},
    "tau": {"objective": "kendall"},
    "two": {"aggregates": ("mean", "sum"), "objective": "spearman"},
    "mean": {"inputs": PAPER, "aggregates": ("mean",), "objective": "spearman"},
}


@dataclass(frozen=True)
class Found:
    """The champion of one search."""

    setting: str
    seed: int
    split: Split
    champion: Champion


def search(benchmark: Benchmark, workshop: Workshop, setting: str, seed: int, size: int) -> Found:
    """One search on its own split."""
    config = SearchConfig(seed=seed, **SETTINGS[setting])
    split = split_groups(benchmark.groups, size, seed)
    ground = prepare(benchmark, workshop, split, config)
    with one_thread():
        champion = evolve(config, ground.evaluate, ground.predict).champion
    if champion is None:
        raise SystemExit(f"seed {seed}: no valid formula")
    return Found(setting, seed, split, champion)


def measure(found: Found, scores: np.ndarray, benchmark: Benchmark) -> dict[str, Any]:
    """Held-out figures of one champion, and the best baseline there."""
    held = list(found.split.holdout)
    quality = benchmark.quality[held]
    counts = [naive_scores(name, benchmark.architectures)[held] for name in NAIVE]
    champion = found.champion
    return {
        "setting": found.setting, "seed": found.seed, "text": champion.proxy.text, "sign": champion.sign,
        "search": champion.fitness, **correlation((champion.sign * scores)[held], quality),
        "best_naive_kendall": max(correlation(count, quality, False)["kendall"] for count in counts),
    }  # fmt: skip


def show(rows: list[dict[str, Any]]) -> None:
    for setting in dict.fromkeys(r["setting"] for r in rows):
        own = [r for r in rows if r["setting"] == setting]
        print(f"setting: {setting}")
        for r in own:
            low, high = r["ci95_spearman"]
            print(
                f"  seed {r['seed']}: search {r['search']:.3f}  held-out ({r['n']}) rho {r['spearman']:.3f} "
                f"[{low:.3f}, {high:.3f}]  tau {r['kendall']:.3f}  best naive tau {r['best_naive_kendall']:.3f}  "
                f"{r['sign']:+d} {r['text']}"
            )
        for name in ("spearman", "kendall"):
            values = [r[name] for r in own]
            print(f"  held-out {name}: median {np.median(values):.3f}, range {min(values):.3f} to {max(values):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44, 45, 46])
    parser.add_argument("--settings", choices=list(SETTINGS), nargs="+", default=["default", "published"])
    parser.add_argument("--search-size", type=int, default=50)
    parser.add_argument("--bank", type=Path, default=Path(".cache/bank"))
    parser.add_argument("--json", action="store_true")
    o = parser.parse_args()
    benchmark = load(o.benchmark)
    workshop = open_workshop(benchmark.space, o.bank)
    found = [search(benchmark, workshop, s, seed, o.search_size) for s in o.settings for seed in o.seeds]
    scores = workshop.exact_scores([f.champion.proxy for f in found], benchmark.architectures)
    rows = [measure(f, row, benchmark) for f, row in zip(found, scores, strict=True)]
    if o.json:
        print(json.dumps(rows, indent=2, allow_nan=False))
    else:
        show(rows)


if __name__ == "__main__":
    main()
