"""Several seeds of one search, reported as the protocol demands: the champion of each on architectures it never saw.

    python -m bench.science.seeds --benchmark flexibert-glue [--settings default] [--seeds 42 43 44 45 46]
    python -m bench.science.seeds --predictors      all benchmarks, with bench.science.predictors

Every seed draws its own search split. All formulas are scored exactly in one visit per network; the champion is the
best of its hall of fame on the split, the committee the mean rank of the whole hall. p is of a paired bootstrap
against the best naive baseline of the same held-out part, and against the best regression on the same labels.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.science import predictors
from fitness.evaluation import Evaluation, Split, split_groups
from fitness.features.workshop import Workshop
from fitness.predictors.rivals import rival_scores
from fitness.protocol import correlation, inside_groups
from fitness.ranking import paired_p_value
from fitness.replay import mean_ranks
from fitness.tables.table_file import branch_table
from fitness.zoo.naive import NAIVE, naive_scores
from gp.benchmark_search import PreparedSearch, search
from gp.case import Case
from gp.config import PRESETS, SearchConfig
from gp.lesson import Lesson
from gp.problem import SearchProblem
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark
from primitives.inputs import INPUT_SETS, PAPER

OWN = "own configurations"  # the pool is drawn from the benchmark's held-out configurations, not from the space
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "lpzero": PRESETS["lpzero"],
    "published": {
        **PRESETS["lpzero"],
        "inputs": PAPER,
        "aggregates": ("mean",),
        "joins": ("inside",),
        "objective": "spearman",
    },
    "paper": {"inputs": PAPER, "aggregates": ("mean",)},
    "random": {"algorithm": "random", "branches": 3},
    "all inputs": {"inputs": INPUT_SETS["all"]},
    "counts": {"inputs": INPUT_SETS["counts"]},
    "both": {"inputs": INPUT_SETS["both"]},
    "no-teacher": {"teacher": "none"},
    "teacher": {"teacher": "always"},
    OWN: {"teacher": "always"},
    "rho": {"objective": "spearman"},
    "tau": {"objective": "kendall"},
}


@dataclass(frozen=True)
class Found:
    """The hall of fame of one search."""

    setting: str
    seed: int
    split: Split
    champions: tuple[Evaluation, ...]


def found_with(benchmark: Benchmark, workshop: Workshop, setting: str, o: argparse.Namespace, seed: int) -> Found:
    """One search on its own split."""
    config = SearchConfig(seed=seed, hall_size=o.hall_size, **SETTINGS[setting])
    split = split_groups(benchmark.groups, o.search_size, seed)
    if o.sketch:
        problem = SearchProblem.open(benchmark, split.search, workshop, config, jobs=2)
        if setting == OWN:
            pool = random.Random(seed).sample(split.holdout, config.pool)
            lesson = Lesson.on(Case(benchmark, workshop, split), [benchmark.architectures[i] for i in pool])
            problem = replace(problem, lesson=lesson)
        hall = PreparedSearch.of(problem, config).evolve().hall
    else:
        hall = search([Case(benchmark, workshop, split)], config, jobs=2).hall
    if hall.best is None:
        raise SystemExit(f"seed {seed}: no valid formula")
    return Found(setting, seed, split, hall.champions[: o.hall_size])


def measure(found: Found, scores: np.ndarray, benchmark: Benchmark) -> list[dict[str, Any]]:
    """Held-out figures of champion, committee and regressions, and the best baseline there; `scores` (hall, N)."""
    held = list(found.split.holdout)
    quality = benchmark.quality[held]
    fitted = rival_scores(benchmark, found.split)
    fits = {name: correlation(values[held], quality, False)["kendall"] or 0.0 for name, values in fitted.items()}
    best_fit = max(fits, key=lambda name: fits[name])
    counts = [naive_scores(name, benchmark.architectures)[held] for name in NAIVE]
    naive = [correlation(count, quality, False)["kendall"] or 0.0 for count in counts]  # a constant one is None
    rival, signed = counts[int(np.argmax(naive))], scores * [[c.sign] for c in found.champions]
    rows = []
    for scorer, values in (("champion", signed[0]), ("committee", mean_ranks(signed)), *fitted.items()):
        inside = inside_groups(np.where(np.isin(np.arange(len(values)), held), values, np.nan), benchmark)
        rows.append(
            {
                "setting": found.setting, "seed": found.seed, "scorer": scorer, "text": found.champions[0].proxy.text,
                "sign": found.champions[0].sign, "search": found.champions[0].fitness,
                **correlation(values[held], quality), "best_naive_kendall": max(naive),
                "p_against_naive": paired_p_value(values[held], rival, quality, "kendall"),
                "best_fitted_kendall": fits[best_fit], "best_fitted": best_fit,
                "p_against_fitted": paired_p_value(values[held], fitted[best_fit][held], quality, "kendall"),
                "inside": {group: figures["spearman"] for group, figures in inside.items()},
            }
        )  # fmt: skip
    return rows


def show(rows: list[dict[str, Any]], inside: bool = False) -> None:
    for setting, scorer in dict.fromkeys((r["setting"], r["scorer"]) for r in rows):
        own = [r for r in rows if (r["setting"], r["scorer"]) == (setting, scorer)]
        print(f"setting: {setting}, {scorer}")
        for r in own:
            low, high = r["ci95_spearman"]
            formula = f"  {r['sign']:+d} {r['text']}" if scorer == "champion" else ""
            print(
                f"  seed {r['seed']}: search {r['search']:.3f}  held-out ({r['n']}) rho {r['spearman']:.3f} "
                f"[{low:.3f}, {high:.3f}]  tau {r['kendall']:.3f}  best naive tau {r['best_naive_kendall']:.3f} "
                f"(p {r['p_against_naive']:.4f}), {r['best_fitted']} tau {r['best_fitted_kendall']:.3f} "
                f"(p {r['p_against_fitted']:.4f}){formula}"
            )
        for name in ("spearman", "kendall"):
            values = [r[name] for r in own]
            print(f"  held-out {name}: {_spread(values)}")
        for group in own[0]["inside"] if inside else ():
            print(f"  held-out spearman inside {group}: {_spread([r['inside'][group] for r in own])}")


def _spread(values: list[float | None]) -> str:
    """None, where a group is ranked all alike, counts as 0."""
    known = [value or 0.0 for value in values]
    return f"median {np.median(known):.4f}, range {min(known):.4f} to {max(known):.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark")
    parser.add_argument("--predictors", action="store_true", help="predictors and regressions instead; see there")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44, 45, 46])
    parser.add_argument("--settings", choices=list(SETTINGS), nargs="+", default=["default"])
    parser.add_argument("--search-size", type=int, default=50)
    parser.add_argument("--hall-size", type=int, default=10, help="also the size of the committee")
    parser.add_argument("--sketch", action="store_true", help="sketch scores instead of exact ones, to be quick")
    parser.add_argument("--bank", type=Path, default=Path(".cache/bank"))
    parser.add_argument("--inside", action="store_true", help="also inside each depth and each width")
    parser.add_argument("--json", action="store_true")
    o = parser.parse_args()
    if o.predictors:
        names = [o.benchmark] if o.benchmark else predictors.BENCHMARKS
        return predictors.run(predictors.Asked(names, o.seeds, [o.search_size], o.sketch, o.bank))
    if o.benchmark is None:
        parser.error("wanted --benchmark NAME")
    if OWN in o.settings and not o.sketch:
        parser.error(f"--settings: {OWN!r}: wanted --sketch beside it")
    benchmark = load_benchmark(o.benchmark)
    workshop = Workshop.open(benchmark.space, bank=o.bank)
    found = [found_with(benchmark, workshop, setting, o, seed) for setting in o.settings for seed in o.seeds]
    proxies = list(dict.fromkeys(c.proxy for f in found for c in f.champions))
    if o.sketch:
        scores = branch_table(benchmark.architectures, workshop).scores(proxies)
    else:
        scores = workshop.exact_scores(proxies, benchmark.architectures)
    known = dict(zip(proxies, scores, strict=True))
    rows = [row for f in found for row in measure(f, np.stack([known[c.proxy] for c in f.champions]), benchmark)]
    if o.json:
        print(json.dumps(rows, indent=2, allow_nan=False))
    else:
        show(rows, o.inside)


if __name__ == "__main__":
    main()
