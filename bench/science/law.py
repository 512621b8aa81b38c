"""A law of shape and training budget (bench/science/law_fit.py) on benchmarks that it has not seen.

    python -m bench.science.law [--benchmark NAME ...] [--seeds 42,43,44,45,46] [--size 100] [--pull 5] [--bank DIR]
        [--published] [--out HALL.json]

Each benchmark is left out in turn: tau-b on all of it within each budget / tau over its pairs of one size, medians over
the seeds (which draw `size` architectures of each of the others, at most two fifths), beside the best of random laws,
beside counts, and with --published beside LPZero's formulas, whose features are extracted. The last line is the law of
all benchmarks as a formula, fitted to the split of the first seed. --out writes it and the other laws as a hall of fame
with their figures on all of them: proxies/universal.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from bench.science.law_fit import BRANCHES, GUESSES, LAWS, PRIOR, Rows, fitted, guessed, text_of
from fitness.across import AcrossTarget
from fitness.evaluation import split_groups
from fitness.features.workshop import Workshop
from fitness.objectives import evaluate_scores
from fitness.tables.table_file import branch_table
from fitness.zoo import ZOO
from fitness.zoo.naive import naive_scores
from gp.benchmark_search import Found
from gp.case import Case
from gp.config import SearchConfig
from gp.evolution.evolve import SearchResult, Stop
from gp.evolution.state import SearchState
from gp.figures import measure
from gp.hall_file import HallDocument, save_hall
from gp.hall_of_fame import HallOfFame
from gp.reporter import Reporter
from gp.runs.settings import RunSettings
from gp.studies.transfer import LPZERO
from models.benchmarks.origins import load_benchmark
from primitives.grammar import parse
from primitives.inputs import COUNTS as COUNTED
from primitives.proxy import MAX_BRANCHES

COUNTS = ("attention x FFN", "decoder params", "FLOPs", "depth", "width")
BENCHMARKS = ("gpt2-wt103", "gpt2-mini", "flexibert-glue", "openlm-grid", "llama-mini", "llama-elastic",
              "llama-budgets", "gpt2-budgets", "gpt2-lm1b-pareto", "transxl-lm1b-pareto",
              "depth-at-constant-size")  # fmt: skip

Way = Callable[[Sequence[Rows], int], np.ndarray]
"""Constants of a law from benchmarks and a seed."""


def hall_of(texts: Sequence[str], every: Sequence[Rows], seed: int, asked: argparse.Namespace) -> HallDocument:
    """The laws as a hall of fame, led by the first one, with the splits of a seed."""
    cases, proxies = list[Case](), [parse(text) for text in texts]
    for rows in every:
        own = rows.benchmark
        split = split_groups(own.groups, min(asked.size, 2 * len(own) // 5), seed)
        cases.append(Case(own, Workshop.open(own.space, bank=asked.bank), split, own.name))
    parts = [part for case in cases for part in case.by_budget]
    scores = np.hstack([part.exact_scores(proxies) for part in parts])
    target = AcrossTarget(tuple(part.target for part in parts))
    config = SearchConfig(
        seed=seed, iterations=0, algorithm="random", inputs=tuple(COUNTED), branches=MAX_BRANCHES, folds=0,
        aggregates=tuple(dict.fromkeys(name for name, _ in BRANCHES)), operators=("sum", "difference"), constants=True,
        hall_size=len(texts), teacher="none",
    )  # fmt: skip
    laws, hall = evaluate_scores(proxies, scores, target, config.objective), HallOfFame(len(texts))
    for law in laws:
        hall.offer(law, 1)
    first = next(law for law in hall.champions if law.proxy == proxies[0].canonical())
    result = SearchResult(SearchState.start(config), Stop.FINISHED)
    found = Found(config, hall.led_by(first), result, tuple(cases), len(texts), {})
    made = RunSettings((), config, asked.size, options=None).recorded()
    return measure(found, made | {"command": "python -m bench.science.law --out proxies/universal.json"}, Reporter())


def _fit(rows: Sequence[Rows], seed: int, asked: argparse.Namespace, free: np.ndarray) -> np.ndarray:
    return fitted(rows, seed, asked.size, asked.pull, free)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmark", nargs="+", default=BENCHMARKS)
    parser.add_argument("--seeds", default="42,43,44,45,46")
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--pull", type=float, default=5.0)
    parser.add_argument("--bank", type=Path, default=Path(".cache/bank"))
    parser.add_argument("--published", action="store_true")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    every = [Rows.of(load_benchmark(name), asked.bank) for name in asked.benchmark]
    seeds = [int(seed) for seed in asked.seeds.split(",")]
    found = tested(every, seeds, asked)
    show(found, every)
    texts = [text_of(_fit(every, seeds[0], asked, np.array(own, float))) for own in LAWS.values()]
    print(texts[0])
    if asked.out:
        save_hall(asked.out, hall_of([*texts, text_of(PRIOR)], every, seeds[0], asked))


def tested(every: Sequence[Rows], seeds: Sequence[int], asked: argparse.Namespace) -> dict[str, np.ndarray]:
    """By ranking, (benchmarks, seeds, 2): tau-b and tau over pairs of one size on each benchmark left out."""
    found: dict[str, np.ndarray] = {}
    ways: dict[str, Way] = {
        name: partial(_fit, asked=asked, free=np.array(free, dtype=float)) for name, free in LAWS.items()
    }
    ways[f"best of {GUESSES:,} random laws"] = lambda others, seed: guessed(others, seed, asked.size)
    for name, way in ways.items():
        laws = [[way([r for r in every if r is not left], seed) for seed in seeds] for left in every]
        found[name] = np.array(
            [[left.tested(left.terms @ law) for law in own] for left, own in zip(every, laws, strict=True)]
        )
    for name in COUNTS:
        one = [left.tested(naive_scores(name, left.benchmark.architectures).astype(float)) for left in every]
        found[name] = np.repeat(np.array(one)[:, None], len(seeds), 1)
    if asked.published:
        rows = np.array([[left.tested(row) for row in published(left, asked.bank)] for left in every])
        found |= {name: np.repeat(rows[:, [place]], len(seeds), 1) for place, name in enumerate(LPZERO)}
    return found


def published(rows: Rows, bank: Path) -> np.ndarray:
    """(formulas, N): sketch scores of LPZero's formulas."""
    own = rows.benchmark
    table = branch_table(own.architectures, Workshop.open(own.space, bank=bank))
    return table.scores([parse(str(ZOO[name].text)) for name in LPZERO])


def show(found: dict[str, np.ndarray], every: Sequence[Rows]) -> None:
    """The table, and the law's paired differences: their standard errors are over benchmarks."""
    print("| left out | " + " | ".join(r.benchmark.name for r in every) + " | mean | worst |")
    print("|---" * (len(every) + 3) + "|")
    for name, values in found.items():
        medians = np.median(values, axis=1)
        cells = [*medians, medians.mean(0), medians.min(0)]
        print(f"| {name} | " + " | ".join(f"{tau:.3f} / {near:.3f}" for tau, near in cells) + " |")
    mine = found["law with T"].mean(1)
    for name, values in list(found.items())[1:]:
        gap = mine - values.mean(1)
        error = gap.std(0, ddof=1) / np.sqrt(len(gap))
        print(f"law with T less {name}: tau-b {gap[:, 0].mean():+.3f} +- {error[0]:.3f}, "
              f"pairs of one size {gap[:, 1].mean():+.3f} +- {error[1]:.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
