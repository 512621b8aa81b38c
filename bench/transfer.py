"""A formula that met other benchmarks only, tested on one that was left out.

    python -m bench.transfer --out FILE.jsonl [--benchmark NAME ...] [--seeds 42 ... 46] [--settings NAME ...]
    python -m bench.transfer --out FILE.jsonl --table

For every benchmark and seed: evolve on the search splits of the others, test on all architectures of the one left out
(sketch scores; tau-b). Rows beside the formula and the committee: the count and the hand-made proxy that are best on
the same splits by the same criterion, LPZero's two formulas, and the oracle, the count that is best on the benchmark
that was left out. The figures of hand-made proxies are those that a leaderboard left in the bank; a benchmark without
them has no such row. The file is resumed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from fitness.across import AcrossTarget
from fitness.evaluation import split_groups
from fitness.features.workshop import Workshop
from fitness.objectives import agreement
from fitness.ranking import kendall
from fitness.tables.table_file import branch_table
from fitness.zoo import ZOO
from fitness.zoo.measuring import hand_made_figures
from fitness.zoo.naive import NAIVE, naive_scores
from gp.benchmark_search import PreparedSearch
from gp.case import Case
from gp.config import SearchConfig
from gp.problem import SearchProblem
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark
from primitives.grammar import parse

BENCHMARKS = ("gpt2-wt103", "gpt2-mini", "flexibert-glue", "openlm-grid", "llama-mini", "llama-elastic")
SETTINGS: dict[str, dict[str, Any]] = {
    "mean": {}, "worst": {"across": "worst"}, "two branches": {"branches": 2}, "constants": {"constants": True},
    "worst, two branches": {"across": "worst", "branches": 2},
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Known:
    """A benchmark with what every ranking of it needs."""

    benchmark: Benchmark
    workshop: Workshop

    def case(self, seed: int, size: int) -> Case:
        """Its split; at most two fifths where there are few architectures."""
        most = min(size, 2 * len(self.benchmark) // 5)
        return Case(self.benchmark, self.workshop, split_groups(self.benchmark.groups, most, seed))

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """(P, N) sketch scores of formulas."""
        return branch_table(self.benchmark.architectures, self.workshop).scores([parse(text) for text in texts])

    def counts(self) -> dict[str, np.ndarray]:
        """(N,) by name."""
        return {name: naive_scores(name, self.benchmark.architectures) for name in NAIVE}

    def hand_made(self) -> dict[str, np.ndarray]:
        """(N,) by name, of those that the bank knows on every architecture."""
        wanted = hand_made_figures(tuple(ZOO))
        rows = [wanted.load(self.workshop.bank, a) for a in self.benchmark.architectures]
        found = {}
        for name in ZOO:
            figures = [row.get(name) for row in rows]
            if all(figure is not None and figure.value is not None for figure in figures):
                found[name] = np.array([figure.value for figure in figures if figure is not None])
        return found


def best_fixed(pools: Sequence[dict[str, np.ndarray]], cases: Sequence[Case], how: str) -> tuple[str, int] | None:
    """The name and the sign that are best on the splits of the cases, among those that all of them know."""
    names = sorted(set.intersection(*(set(pool) for pool in pools)))
    if not names:
        return None
    target = AcrossTarget(tuple(case.target("both") for case in cases), how)
    rows = np.array([np.hstack([p[n][list(c.split.search)] for p, c in zip(pools, cases, strict=True)]) for n in names])
    found = agreement("both", target, rows)
    best = int(np.argmax(np.abs(found)))
    return names[best], 1 if found[best] >= 0 else -1


def tested(scores: np.ndarray, quality: np.ndarray) -> float | None:
    """tau-b, 0 where everything is tied, None where something has no score."""
    if not np.isfinite(scores).all():
        return None
    return 0.0 if np.ptp(scores) == 0 else kendall(scores, quality)


def left_out(known: dict[str, Known], name: str, seed: int, setting: str, size: int) -> dict[str, Any]:
    """Every row of one benchmark left out and one seed."""
    config = SearchConfig(seed=seed, **SETTINGS[setting])
    others = [known[other] for other in known if other != name]
    cases = [other.case(seed, size) for other in others]
    start = time.process_time()
    problem = SearchProblem.of(cases, config)
    hall = PreparedSearch.of(problem, config).evolve().hall.champions[: config.hall_size]
    spent = time.process_time() - start
    mine, quality = known[name], known[name].benchmark.quality
    signed = mine.scores([e.proxy.text for e in hall]) * [[e.sign] for e in hall]
    finite = signed[np.isfinite(signed).all(-1)]
    taus = {"formula": tested(signed[0], quality)}
    taus["committee"] = tested(stats.rankdata(finite, axis=-1).mean(0), quality) if len(finite) else None
    pools: dict[str, Callable[[Known], dict[str, np.ndarray]]] = {"count": Known.counts, "hand-made": Known.hand_made}
    chosen = {}
    for kind, pool in pools.items():
        best = best_fixed([pool(other) for other in others], cases, config.across)
        if best is not None and best[0] in pool(mine):
            taus[f"best fixed {kind}"] = tested(best[1] * pool(mine)[best[0]], quality)
            chosen[kind] = best
    for proxy in ("LPZero GPT-2", "LPZero FlexiBERT"):
        taus[proxy] = tested(mine.scores([str(ZOO[proxy].text)])[0], quality)
    taus["oracle count"] = max(abs(tested(row, quality) or 0.0) for row in mine.counts().values())
    return {"benchmark": name, "seed": seed, "setting": setting, "seconds": round(spent, 1), "tau": taus,
            "fitness": hall[0].fitness, "text": hall[0].proxy.text, "sign": hall[0].sign, "chosen": chosen}  # fmt: skip


def table(rows: Sequence[dict[str, Any]]) -> None:
    """Medians over seeds by benchmark; mean and worst over benchmarks."""
    for setting in dict.fromkeys(row["setting"] for row in rows):
        own = [row for row in rows if row["setting"] == setting]
        names = [name for name in BENCHMARKS if any(row["benchmark"] == name for row in own)]
        print(f"\n| tau-b on the one left out, {setting} | {' | '.join(names)} | mean | worst |")
        print("|---" * (len(names) + 3) + "|")
        for who in dict.fromkeys(who for row in own for who in row["tau"]):
            medians = [
                np.median([row["tau"][who] or 0.0 for row in own if row["benchmark"] == name and who in row["tau"]])
                for name in names
            ]
            cells = " | ".join("" if np.isnan(m) else f"{m:.3f}" for m in (*medians, np.mean(medians), min(medians)))
            print(f"| {who} | {cells} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--benchmark", nargs="+", default=list(BENCHMARKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44, 45, 46])
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=["mean"])
    parser.add_argument("--size", type=int, default=50, help="architectures of each benchmark that a search sees")
    parser.add_argument("--bank", type=Path, default=Path(".cache/bank"))
    parser.add_argument("--table", action="store_true")
    o = parser.parse_args()
    rows = [json.loads(line) for line in o.out.read_text().splitlines()] if o.out.exists() else []
    if o.table:
        return table(rows)
    done = {(row["benchmark"], row["seed"], row["setting"]) for row in rows}
    loaded = [load_benchmark(name) for name in o.benchmark]
    known = {b.name: Known(b, Workshop.open(b.space, bank=o.bank)) for b in loaded}
    for seed in o.seeds:
        for setting in o.settings:
            for name in known:
                if (name, seed, setting) not in done:
                    line = json.dumps(left_out(known, name, seed, setting, o.size))
                    with o.out.open("a") as file:
                        file.write(line + "\n")


if __name__ == "__main__":
    main()
