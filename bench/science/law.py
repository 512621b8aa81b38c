"""A law of shape and training budget, and what it is worth on benchmarks that it has not seen.

    python -m bench.science.law [--benchmark NAME ...] [--seeds 42,43,44,45,46] [--size 100] [--pull 5] [--bank DIR]
        [--published] [--out HALL.json]

The law is a sum of five terms: the logarithms of the entries P of an attention matrix and of a feed-forward matrix,
ln L of the depth L, ln L times T, and less the square of ln P / 2 - 2 ln L - BEST, which is 0 at the best depth for a
width. Its constants are fitted by a logistic regression of which of two networks is better, on pairs of one training
budget (half of the weight for pairs of one size), every benchmark counting alike; they are pulled towards attention
times FFN (1, 1, 2, 0, 0). Each benchmark is left out in turn: tau-b on all of it within each budget / tau over its
pairs of one size, medians over the seeds (which draw `size` architectures of each of the others, at most two fifths),
beside counts, and with --published beside LPZero's formulas, whose features are extracted. The last line is the law of
all benchmarks as a formula, fitted to the split of the first seed. --out writes it and the other laws as a hall of fame
with their figures on all of them: proxies/universal.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from fitness.across import AcrossTarget
from fitness.budgets import budgets_of
from fitness.evaluation import split_groups
from fitness.features.workshop import Workshop
from fitness.near_pairs import NEAR
from fitness.objectives import evaluate_scores
from fitness.protocol import near_pairs, sizes_of, within_budgets
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
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark
from primitives.budget import USUAL_T
from primitives.grammar import parse
from primitives.inputs import COUNTS as COUNTED
from primitives.operators import fixed, times, turns
from primitives.proxy import MAX_BRANCHES

BRANCHES = (("mean", "log(params.attn)"), ("mean", "log(params.ffn)"), ("log_depth", "block"),
            ("mean", "pow2(log(params.attn))"), ("log_depth", "log(params.attn)"), ("squared_log_depth", "block"),
            ("T*log_depth", "block"))  # fmt: skip
PRIOR = np.array([1.0, 1.0, 2.0, 0.0, 0.0])
BEST = 1.7  # the square alone is 0 at L = sqrt(d / 5.5), if matrices of attention have d^2 entries
GAPS = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.16, 0.2, 0.24)  # a quarter, twice and four times it have two digits
LAWS = {"law with T": (1, 1, 1, 1, 1), "law without T": (1, 1, 1, 0, 1), "law without a best depth": (1, 1, 1, 1, 0)}
SLOPE = 4.0  # of the logistic curve, for a unit of the law
GUESSES = 1000
COUNTS = ("attention x FFN", "decoder params", "FLOPs", "depth", "width")
BENCHMARKS = ("gpt2-wt103", "gpt2-mini", "flexibert-glue", "openlm-grid", "llama-mini", "llama-elastic",
              "llama-budgets", "gpt2-lm1b-pareto", "transxl-lm1b-pareto", "depth-at-constant-size")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Rows:
    """A benchmark and the values (N, 5) of the law's terms on it; T counts from 20 tokens a parameter on."""

    benchmark: Benchmark
    terms: np.ndarray

    @classmethod
    def of(cls, benchmark: Benchmark, bank: Path) -> Rows:
        formulas = [parse(f"{aggregate}[ {branch} ]") for aggregate, branch in BRANCHES[:-1]]
        found = Workshop.open(benchmark.space, bank=bank).exact_scores(formulas, benchmark.architectures)
        attention, ffn, depth, *squares = found
        turn = (budgets_of(benchmark.architectures) - USUAL_T) * depth
        gap = squares[0] / 4 - 2 * squares[1] + 4 * squares[2] - BEST * (attention - 4 * depth)
        return cls(benchmark, np.column_stack([attention, ffn, depth, turn, -gap]))

    def pairs(self, seed: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Differences (P, 5) of pairs of one budget, which is better (P,), and whether they are of one size (P,)."""
        split = split_groups(self.benchmark.groups, min(size, 2 * len(self.benchmark) // 5), seed)
        own = np.array(split.search)
        quality, sizes = self.benchmark.quality[own], sizes_of(self.benchmark)[own]
        one, other = np.triu_indices(len(own), 1)
        budgets = self.benchmark.budgets[own]
        kept = (budgets[one] == budgets[other]) & (quality[one] != quality[other])
        one, other = one[kept], other[kept]
        near = np.abs(sizes[one] - sizes[other]) <= NEAR * np.maximum(sizes[one], sizes[other])
        return self.terms[own][one] - self.terms[own][other], np.sign(quality[one] - quality[other]), near

    def tested(self, scores: np.ndarray) -> tuple[float, float]:
        """tau-b within each budget, and tau over pairs of one size; 0 where all scores are alike."""
        found = within_budgets(scores, self.benchmark, intervals=False)["kendall"]
        return found or 0.0, near_pairs(scores, self.benchmark)["kendall"] or 0.0


def fitted(rows: Sequence[Rows], seed: int, size: int, pull: float, free: np.ndarray) -> np.ndarray:
    """The law's constants (5,), the last one not below 0; those that are not `free` (5,) stay at PRIOR."""
    unlike = _unlike(rows, seed, size)

    def loss(constants: np.ndarray) -> tuple[float, np.ndarray]:
        gap = (constants - PRIOR) * free
        total, slope = unlike(constants)
        return total + pull * float(gap @ gap), (slope + 2 * pull * gap) * free

    return minimize(loss, PRIOR, jac=True, method="L-BFGS-B", bounds=[(None, None)] * 4 + [(0, None)]).x


def guessed(rows: Sequence[Rows], seed: int, size: int) -> np.ndarray:
    """The best of GUESSES laws with random constants (5,), by the same loss: what the choice alone is worth."""
    draws = np.random.default_rng(seed).normal(0.0, 2.0, (GUESSES, len(PRIOR)))
    draws[:, -1] = np.abs(draws[:, -1])
    unlike = _unlike(rows, seed, size)
    return min(draws, key=lambda constants: unlike(constants)[0])


def _unlike(rows: Sequence[Rows], seed: int, size: int) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """The loss of constants (5,) on the benchmarks' pairs, and its gradient."""
    groups = []
    for own in rows:
        differences, better, near = own.pairs(seed, size)
        groups += [(differences[part], better[part]) for part in (near, ~near) if part.sum() > 2]

    def loss(constants: np.ndarray) -> tuple[float, np.ndarray]:
        total, slope = 0.0, np.zeros(len(constants))
        for differences, better in groups:
            margin = SLOPE * better * (differences @ constants)
            total += 0.5 * float(np.logaddexp(0, -margin).mean())
            slope -= 0.5 * SLOPE * (differences * (better * expit(-margin))[:, None]).mean(0)
        return total, slope

    return loss


def text_of(constants: np.ndarray) -> str:
    """The law as a formula: T counts from 0 on in it, the first branch has no constant, and that of the best depth is
    one of GAPS, so that two digits spell all three of its branches."""
    first = constants[0] + BEST * constants[4]
    _, ffn, depth, turn, gap = constants / first
    gap = min(GAPS, key=lambda each: abs(each - gap))
    squares = (-gap / 4, 2 * gap, -4 * gap)
    factors = (1.0, ffn, depth - turn * USUAL_T - 4 * BEST * gap, *squares, turn)
    text = ""
    for x, (aggregate, branch) in zip(factors, BRANCHES, strict=True):
        if x:
            part = f"{times(abs(x), fixed(aggregate))}[ {branch} ]"
            part = f"product( T, {part} )" if turns(aggregate) else part
            text = f"{'sum' if x > 0 else 'difference'}( {text}, {part} )" if text else part
    return str(parse(text))


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
    found: dict[str, np.ndarray] = {}  # (benchmarks, seeds, 2)
    ways: dict[str, Callable[[Sequence[Rows], int], np.ndarray]] = {
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
        formulas = [parse(str(ZOO[name].text)) for name in LPZERO]
        for left in every:
            here = Workshop.open(left.benchmark.space, bank=asked.bank)
            scores = branch_table(left.benchmark.architectures, here).scores(formulas)
            for name, row in zip(LPZERO, scores, strict=True):
                own = [*found.get(name, ()), np.repeat([left.tested(row)], len(seeds), 0)]
                found[name] = np.array(own)
    show(found, every)
    texts = [text_of(_fit(every, seeds[0], asked, np.array(own, float))) for own in LAWS.values()]
    print(texts[0])
    if asked.out:
        save_hall(asked.out, hall_of([*texts, text_of(PRIOR)], every, seeds[0], asked))


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
