"""Regret of selection: the regret of their first architectures under budgets, and architectures that nobody measured,
chosen and trained.

    python -m bench.science.selection [--benchmark gpt2-wt103 gpt2-mini flexibert-glue] [--seeds 42 43 44 45 46]
    python -m bench.science.selection --propose chosen.jsonl [--networks 1000]
    python cli.py benchmarks train gpt2-mini --configs chosen.jsonl --seeds 3 --out trained.jsonl
    python -m bench.science.selection --compare trained.jsonl

Regret is how much worse the best of the first 1 or 10 of a scorer is than the best held-out architecture in the budget,
in standard deviations of the quality there. Budgets are the terciles of #params. All scorers know the same 50 labels.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bench.science.halls import KeptHalls
from bench.science.predictors import BENCHMARKS, Judged, fitted, judged
from fitness.costs import Costs, costs_of
from fitness.features.workshop import Workshop
from fitness.predictors.rivals import rival_scores
from fitness.ranking import kendall
from fitness.regret import FIRST, budgets, regrets
from fitness.replay import mean_ranks
from fitness.zoo.naive import NAIVE, naive_scores
from gp.selection import SelectionConfig, select
from models.architecture import Architecture
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark
from models.spaces import SPACES
from models.spaces.variation import region_of
from primitives.grammar import parse

LPZERO = {
    "gpt2": "mean[ sum( l1_norm(pow2(W)), pow2(softmax(G)) ) ]",
    "flexibert": "mean[ sum( pow2(revert(Q)), logsoftmax(frobenius_norm(A)) ) ]",
}
SEED, CHOSEN, LENGTH = 42, 5, 64
Score = Callable[[Sequence[Architecture]], np.ndarray]


def best_count(benchmark: Benchmark, seen: Sequence[int]) -> str:
    """The naive baseline that ranks the seen architectures best."""
    quality = benchmark.quality[list(seen)]
    taus = {name: kendall(naive_scores(name, benchmark.architectures)[list(seen)], quality) for name in NAIVE}
    return max(taus, key=lambda name: taus[name] if np.isfinite(taus[name]) else -1.0)


def scorers(found: Judged, kept: KeptHalls, seed: int) -> dict[str, np.ndarray]:
    """Scores (N,) of every architecture of the benchmark by who gives them, larger is better."""
    benchmark = kept.benchmark
    signed = found.scores * [[entry.formula.sign] for entry in found.hall.proxies]
    predictor = fitted(found, benchmark, None)
    predicted = predictor.predict(benchmark.architectures, found.scores[: len(predictor.formulas)]).positions
    lpzero = kept.workshop.exact_scores([parse(LPZERO[benchmark.space])], benchmark.architectures)[0]
    seen = list(found.split.search)
    sign = 1.0 if kendall(lpzero[seen], benchmark.quality[seen]) >= 0 else -1.0
    return {
        "champion": signed[0], "committee": mean_ranks(signed), "predictor": predicted,
        "Gaussian process": rival_scores(benchmark, found.split)["Gaussian process"],
        "best count": naive_scores(best_count(benchmark, seen), benchmark.architectures),
        "LPZero's formula": sign * lpzero, "random": np.random.default_rng(seed).random(len(benchmark)),
    }  # fmt: skip


def tabular(benchmark: Benchmark, seeds: Sequence[int], bank: Path) -> None:
    """Medians and ranges over seeds, by scorer, budget and how many are taken."""
    kept = KeptHalls(benchmark, Workshop.open(benchmark.space, bank=bank))
    halls = judged(kept, seeds, [50])
    rows: dict[str, dict[tuple[str, int], list[float]]] = {}
    for seed in seeds:
        held = halls[50, seed].split.holdout
        for name, scores in scorers(halls[50, seed], kept, seed).items():
            for budget, found in regrets(scores, benchmark, held).items():
                for first in FIRST:
                    rows.setdefault(name, {}).setdefault((budget, first), []).append(found[f"first {first}"])
    print(f"\n{benchmark.name}: regret of the first 1 and of the best of the first 10, median (range) of {len(seeds)}")
    print("| | " + " | ".join(f"{b}, {f}" for b in budgets(benchmark) for f in FIRST) + " |\n|---|" + "---|" * 6)
    for name, cells in rows.items():
        shown = (f"{np.median(v):.2f} ({min(v):.2f}-{max(v):.2f})" for v in cells.values())
        print(f"| {name} | {' | '.join(shown)} |", flush=True)


def unmeasured(found: Judged, benchmark: Benchmark, workshop: Workshop) -> dict[str, Score]:
    """Scores by each scorer of architectures that are not in the benchmark."""
    entries, seen = list(found.hall.proxies), list(found.split.search)
    predictor, count = fitted(found, benchmark, None), best_count(benchmark, seen)

    def exact(some: Sequence[Architecture]) -> np.ndarray:
        return workshop.exact_scores([entry.proxy for entry in entries], some)

    def predicted(some: Sequence[Architecture]) -> np.ndarray:
        return predictor.predict(some, exact(some)[: len(predictor.formulas)]).positions

    return {
        "champion": lambda some: entries[0].formula.sign * exact(some)[0], "predictor": predicted,
        f"best count ({count})": lambda some: naive_scores(count, some),
    }  # fmt: skip


def propose(path: Path, networks: int, bank: Path) -> None:
    """Write the first CHOSEN of every scorer's front under every budget, one JSON object a line."""
    benchmark = load_benchmark("gpt2-mini")
    kept = KeptHalls(benchmark, Workshop.open(benchmark.space, bank=bank, devices="cpu,cpu"))
    found, fields = judged(kept, [SEED], [50])[50, SEED], SPACES[benchmark.space].fields
    if fields is None:
        raise SystemExit(f"{benchmark.space}: nothing to search")
    region = region_of(benchmark.architectures, fields)
    measured = {architecture.digest for architecture in benchmark.architectures}
    lines = [json.dumps({"schema": 1, "space": benchmark.space})]
    with kept.workshop.staffed() as workshop:
        for name, score in unmeasured(found, benchmark, workshop).items():
            for budget, limit in budgets(benchmark).items():

                def allowed(architecture: Architecture, costs: Costs, limit: float = limit) -> bool:
                    return costs.params <= limit and architecture.digest not in measured

                def scored(some: Sequence[Architecture], score: Score = score) -> list[tuple[float | None, str]]:
                    return [(float(v), "") if np.isfinite(v) else (None, "overflows") for v in score(some)]

                chosen = select(
                    benchmark.space, region, SelectionConfig(networks), allowed=allowed, score=scored,
                    count=lambda architecture: costs_of(architecture, LENGTH, None),
                ).front[:CHOSEN]  # fmt: skip
                for place, candidate in enumerate(chosen, start=1):
                    id = f"{name} / {budget} / {place}"
                    lines.append(json.dumps({"id": id, "config": dict(candidate.architecture.config)}))
                print(f"{name}, {budget}: {len(chosen)} of {networks} networks", flush=True)
    path.write_text("\n".join(lines) + "\n")


def compare(trained: Path, chosen: Path) -> None:
    """Mean losses of what was chosen, beside the best measured ones in the budget."""
    benchmark = load_benchmark("gpt2-mini")
    losses = {}
    for line in trained.read_text().splitlines()[1:]:
        record = json.loads(line)
        digest = SPACES["gpt2"].architecture("any", record["config"]).digest
        losses[digest] = np.array(record.get("replicates", [record["loss"]]))
    found = KeptHalls(benchmark, Workshop.open(benchmark.space)).hall(SEED).cases[0].split.search
    seen = np.isin([a.id for a in benchmark.architectures], found)
    sizes, truth = naive_scores("#params", benchmark.architectures), -benchmark.quality
    fronts: dict[tuple[str, str], list[np.ndarray]] = {}
    for line in chosen.read_text().splitlines()[1:]:
        record = json.loads(line)
        name, budget, _ = record["id"].split(" / ")
        digest = SPACES["gpt2"].architecture("any", record["config"]).digest
        fronts.setdefault((budget, name), []).append(losses[digest])
    rng = np.random.default_rng(0)
    for budget, limit in budgets(benchmark).items():
        inside = sizes <= limit
        pool = np.flatnonzero(inside)
        draws = [truth[rng.choice(pool, min(50, len(pool)), replace=False)].min() for _ in range(2000)]
        print(f"\n{budget}: at most {limit:,.0f} parameters, {inside.sum()} measured")
        print(f"  (a) best of the 50: {truth[inside & seen].min():.4f}   (b) best of all: {truth[inside].min():.4f}"
              f"   (d) best of 50 random ones: {np.mean(draws):.4f} +- {np.std(draws):.4f}")  # fmt: skip
        for (b, name), runs in fronts.items():
            if b == budget:
                means, error = [run.mean() for run in runs], float(np.mean([run.std(ddof=1) for run in runs]))
                best = int(np.argmin(means))
                print(f"  {name:32} first {means[0]:.4f}, mean of {len(runs)}: {np.mean(means):.4f}, best "
                      f"{means[best]:.4f}; standard error of one {error / np.sqrt(len(runs[0])):.4f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", nargs="+", default=list(BENCHMARKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44, 45, 46])
    parser.add_argument("--networks", type=int, default=1000)
    parser.add_argument("--propose", type=Path)
    parser.add_argument("--compare", type=Path)
    parser.add_argument("--chosen", type=Path, default=Path("chosen.jsonl"))
    parser.add_argument("--bank", type=Path, default=Path(".cache/bank"))
    o = parser.parse_args()
    if o.propose:
        propose(o.propose, o.networks, o.bank)
    elif o.compare:
        compare(o.compare, o.chosen)
    else:
        for name in o.benchmark:
            tabular(load_benchmark(name), o.seeds, o.bank)


if __name__ == "__main__":
    main()
