"""A formula that met other benchmarks only, tested on one that was left out.

    python -m bench.science.transfer --out FILE.jsonl [--benchmark NAME ...] [--seeds 42 ... 46] [--settings NAME ...]
    python -m bench.science.transfer --out FILE.jsonl --table

For every benchmark and seed: evolve on the search splits of the others, test on all architectures of the one left out
(sketch scores; tau-b). Rows beside the formula and the committee: the count and the hand-made proxy that are best on
the same splits by the same criterion, LPZero's two formulas, and the oracle, the count that is best on the benchmark
that was left out. The figures of hand-made proxies are those that a leaderboard left in the bank; a benchmark without
them has no such row. The file is resumed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fitness.features.workshop import Workshop
from gp.case import Case
from gp.config import PRESETS, SearchConfig
from gp.studies.transfer import left_out, seen, unseen
from models.benchmarks.origins import load_benchmark
from primitives.inputs import COUNTS
from primitives.operators import turned

BENCHMARKS = ("gpt2-wt103", "gpt2-mini", "flexibert-glue", "openlm-grid", "llama-mini", "llama-elastic")
UNIVERSAL = PRESETS["universal"]
SHORT = {name: UNIVERSAL[name] for name in ("iterations", "n_unary", "folds", "branches")}
FIGURES = {"tau": "tau-b on the one left out", "near": "tau over pairs of one size"}
PARAMETERS = ("params.attn", "params.ffn", "block")
_LAW = ("mean", "log_depth")
LAW = {
    **UNIVERSAL, "aggregates": (*_LAW, *map(turned, _LAW)), "operators": ("sum", "difference"), "branches": 4,
    "n_unary": 2, "inputs": tuple(COUNTS),
}  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "law": LAW,
    "law of parameters": {**LAW, "inputs": PARAMETERS},
    "law of parameters, pairs": {**LAW, "inputs": PARAMETERS, "objective": "pairs"},
    "law of parameters, one operator": {**LAW, "inputs": PARAMETERS, "n_unary": 1},
    "law of norms": {**LAW, "inputs": ("W.attn", "W.ffn", "block")},
    "universal": UNIVERSAL,
    "universal, retest .5": {**UNIVERSAL, "retest": 0.5},
    "universal, fittest": {**UNIVERSAL, "champion": "fittest"},
    "universal, any join": {name: value for name, value in UNIVERSAL.items() if name != "operators"},
    "universal, not held to growth": {**UNIVERSAL, "nested": False},
    "universal, three branches": {**UNIVERSAL, "branches": 3},
    "universal, two operators a branch": {**UNIVERSAL, "n_unary": 2},
    "universal, worst": {**UNIVERSAL, "across": "worst"},
    "universal, random formulas": {**UNIVERSAL, "algorithm": "random"},
    "short": SHORT,
    "defaults": {},
    "constants": {"constants": True},
}  # fmt: skip


def one_left_out(known: dict[str, Case], name: str, seed: int, setting: str, size: int) -> dict[str, Any]:
    """Every row of one benchmark left out and one seed."""
    others = [seen(known[other], seed, size) for other in known if other != name]
    found = left_out(known[name], others, SearchConfig(seed=seed, **SETTINGS[setting]))
    return {"benchmark": name, "seed": seed, "setting": setting, **found}


def table(rows: Sequence[dict[str, Any]]) -> None:
    """Medians over seeds by benchmark, mean and worst over benchmarks; and how far the others are from the formula:
    tau-b on all rows, then tau over pairs of one size."""
    for figure, title in FIGURES.items():
        for setting in dict.fromkeys(row["setting"] for row in rows if figure in row):
            show([row for row in rows if row["setting"] == setting], figure, f"{title}, {setting}")


def show(rows: Sequence[dict[str, Any]], figure: str, title: str) -> None:
    """The table of one figure, and the paired differences below it."""
    names = sorted({row["benchmark"] for row in rows}, key=lambda n: (n not in BENCHMARKS, [*BENCHMARKS, n].index(n)))
    print(f"\n| {title} | {' | '.join(names)} | mean | worst |")
    print("|---" * (len(names) + 3) + "|")
    ranked = list(dict.fromkeys(who for row in rows for who in row[figure]))
    for who in ranked:
        medians = [np.median(list(taus(rows, figure, name, who).values()) or [np.nan]) for name in names]
        cells = " | ".join("" if np.isnan(m) else f"{m:.3f}" for m in (*medians, np.mean(medians), min(medians)))
        print(f"| {who} | {cells} |")
    for who in ranked:
        if who not in ("formula", "committee", "oracle count"):
            compare(rows, figure, names, who)


def taus(rows: Sequence[dict[str, Any]], figure: str, name: str, who: str) -> dict[int, float]:
    """The figure by seed; 0 without a score."""
    return {r["seed"]: r[figure][who] or 0.0 for r in rows if r["benchmark"] == name and who in r[figure]}


def compare(rows: Sequence[dict[str, Any]], figure: str, names: Sequence[str], rival: str) -> None:
    """Paired differences to a rival: of the mean over benchmarks, with its standard error over seeds and over
    benchmarks; of the worst benchmark; and of the benchmark where the formula is furthest behind."""
    for who in ("formula", "committee"):
        pairs = [(taus(rows, figure, name, who), taus(rows, figure, name, rival)) for name in names]
        seeds = sorted(set.intersection(*(set(ours) & set(theirs) for ours, theirs in pairs)))
        if not seeds:
            continue
        ours, theirs = (np.array([[pair[side][seed] for seed in seeds] for pair in pairs]) for side in (0, 1))
        gap, by = (ours - theirs).mean(0), (ours - theirs).mean(1)
        errors = [own.std(ddof=1) / np.sqrt(len(own)) if len(own) > 1 else np.nan for own in (gap, by)]
        worst, behind = ours.min(0) - theirs.min(0), np.median(ours - theirs, axis=1)
        print(
            f"{who} less {rival}: mean {gap.mean():+.3f} +- {errors[0]:.3f} (over benchmarks {errors[1]:.3f}), worst "
            f"benchmark {np.median(worst):+.3f}, above in {(ours > theirs).sum()} of {ours.size}, furthest behind "
            f"{behind.min():+.3f} ({names[int(behind.argmin())]})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--benchmark", nargs="+", default=list(BENCHMARKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44, 45, 46])
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=["universal"])
    parser.add_argument("--size", type=int, default=50, help="architectures of each benchmark that a search sees")
    parser.add_argument("--bank", type=Path, default=Path(".cache/bank"))
    parser.add_argument("--table", action="store_true")
    o = parser.parse_args()
    rows = [json.loads(line) for line in o.out.read_text().splitlines()] if o.out.exists() else []
    if o.table:
        return table(rows)
    done = {(row["benchmark"], row["seed"], row["setting"]) for row in rows}
    loaded = [load_benchmark(name) for name in o.benchmark]
    known = {b.name: unseen(b, Workshop.open(b.space, bank=o.bank)) for b in loaded}
    for seed in o.seeds:
        for setting in o.settings:
            for name in known:
                if (name, seed, setting) not in done:
                    line = json.dumps(one_left_out(known, name, seed, setting, o.size))
                    with o.out.open("a") as file:
                        file.write(line + "\n")


if __name__ == "__main__":
    main()
