"""How true the sketch is: Spearman's rho between sketch and exact scores of random formulas that PPS accepts.

    python -m bench.science.fidelity --benchmark gpt2-wt103 [--networks 200] [--formulas 200] [--json]

A sketch cannot be truer to a score than the score is to itself, so the exact scores of a second initialisation are
computed too: `reproducible` are the formulas whose exact scores rank two initialisations alike (rho >= 0.99).
Exact scores are cached in the bank, so an interrupted run continues.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np

from fitness.evaluation import split_groups
from fitness.features.workshop import Workshop
from fitness.tables.table_file import branch_table
from gp.config import SearchConfig
from gp.evolution.primitive_set import primitive_set
from gp.evolution.variation import Guard, make_toolbox
from gp.figures import fidelity
from gp.problem import SearchProblem
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark
from primitives.proxy import Proxy


def accepted(benchmark: Benchmark, workshop: Workshop, count: int, inputs: dict[str, Any]) -> list[Proxy]:
    """Random different formulas of the space that pass all rules, the predictive ones on the first split's probes."""
    config = SearchConfig(**inputs)
    pset = primitive_set(config)
    seen = split_groups(benchmark.groups, 50, 42).search
    problem = SearchProblem.open(benchmark, seen, workshop, config)
    guard = Guard(pset, config.tries, problem.predict)
    toolbox, rng = make_toolbox(pset, guard), random.Random("fidelity")
    found: dict[str, Proxy] = {}
    while len(found) < count:
        proxy = toolbox.individual(rng).canonical
        found[proxy.text] = proxy
        guard.pending.add(proxy.text)
    return list(found.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", required=True)
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--formulas", type=int, default=200)
    parser.add_argument("--bank", type=Path, default=Path(".cache/bank"))
    parser.add_argument("--json", action="store_true")
    o = parser.parse_args()
    benchmark = load_benchmark(o.benchmark)
    count = min(o.networks, len(benchmark))
    chosen = [benchmark.architectures[i] for i in sorted(random.Random(1).sample(range(len(benchmark)), count))]
    shops = [Workshop.open(benchmark.space, init_seed=init_seed, bank=o.bank) for init_seed in (0, 1)]
    proxies = accepted(benchmark, shops[0], o.formulas, {})

    def show(done: int, total: int) -> None:
        if done % 20 == 0:
            print(f"networks {done}/{total}", file=sys.stderr, flush=True)

    exact = [shop.exact_scores(proxies, chosen, show) for shop in shops]
    sketched = branch_table(chosen, shops[0]).scores(proxies)
    rows = [
        {"proxy": p.text, "fidelity": fidelity(exact[0][i], sketched[i]), "retest": fidelity(exact[0][i], exact[1][i])}
        for i, p in enumerate(proxies)
    ]
    known = [r for r in rows if r["fidelity"] is not None and r["retest"] is not None]
    true = [r for r in known if r["retest"] >= 0.99]
    all_values, values = (np.array([r["fidelity"] for r in part]) for part in (known, true))
    low = sorted((r for r in true if r["fidelity"] < 0.98), key=lambda r: r["fidelity"])
    found = {
        "benchmark": o.benchmark, "networks": len(chosen), "formulas": len(rows), "measured": len(known),
        "median": float(np.median(all_values)), "reproducible": len(true),
        "reproducible_median": float(np.median(values)), "reproducible_share_098": float(np.mean(values >= 0.98)),
        "below_098": low, "without_score": [r["proxy"] for r in rows if r not in known],
    }  # fmt: skip
    if o.json:
        print(json.dumps(found, indent=2, allow_nan=False))
        return
    print(f"{o.benchmark}: {len(rows)} random formulas, {len(chosen)} networks; {len(known)} have scores everywhere")
    print(f"all: median Spearman of sketch and exact scores {found['median']:.4f}")
    print(f"reproducible ({len(true)}): median {found['reproducible_median']:.4f}, "
          f"{100 * found['reproducible_share_098']:.1f}% reach 0.98")  # fmt: skip
    for row in low:
        print(f"  {row['fidelity']:.3f} (retest {row['retest']:.3f})  {row['proxy']}")
    for text in found["without_score"]:
        print(f"  no ranking  {text}")


if __name__ == "__main__":
    main()
