"""Quality of a teacher fitted to few labels: on left-out labels, as `evolve --teacher auto` sees it, and on held-out
architectures.

    python -m bench.science.lessons --benchmark gpt2-mini llama-mini [--seeds 100 119] [--labels 50]

For each seed a split is drawn. *Left out* is tau-b over the labels of the split, each predicted without it, which the
choice of the kind of formula compares with formulas; *held out* is tau-b of the teacher of all labels of the split on
the others; *count* is that of the best naive count, chosen by the labels of the split. No network is built.

With `--noise 1.5` instead: half of the labels get noise of 1.5 times their deviation, the others .1 times, and a
predictor without formulas is compared with one that knows these `sd`, on the held-out values without noise.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fitness.evaluation import split_groups
from fitness.predictors.members import rank_targets
from fitness.predictors.numbers import NumberTable, number_table
from fitness.predictors.predictor import Predictor, Provenance
from fitness.predictors.teacher import taught
from fitness.predictors.tuning import folds
from fitness.ranking import kendall
from fitness.zoo.naive import NAIVE, naive_scores
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark


def lesson(
    benchmark: Benchmark, numbers: NumberTable, counts: Sequence[np.ndarray], labels: int, seed: int
) -> tuple[float, float, float, float]:
    """Tau-b of the teacher left out and held out, and of the best count on the labels and held out."""
    split, quality = split_groups(benchmark.groups, labels, seed), benchmark.quality
    seen, held = np.array(split.search), np.array(split.holdout)
    left = np.zeros(len(quality))
    for out in folds(numbers.values[seen], seed):
        kept = np.delete(seen, out)
        left[seen[out]] = taught(numbers, kept, rank_targets(quality[kept]))[seen[out]]
    said = taught(numbers, seen, rank_targets(quality[seen]))
    best = max((c for c in counts if np.ptp(c[seen]) > 0), key=lambda c: abs(kendall(c[seen], quality[seen])))
    sign = np.sign(kendall(best[seen], quality[seen]))
    pairs = ((left, seen), (said, held), (sign * best, seen), (sign * best, held))
    known, others, counted, further = (kendall(values[at], quality[at]) for values, at in pairs)
    return known, others, counted, further


def with_noise(benchmark: Benchmark, labels: int, seed: int, noise: float) -> list[float]:
    """Tau-b, share of held-out values in their interval, and its median width in deviations of the values; of a
    predictor that does not know the noise of its labels, and of one that does."""
    split, rng = split_groups(benchmark.groups, labels, seed), np.random.default_rng(seed)
    held, truth = list(split.holdout), benchmark.ground_truth
    sd = truth.std() * np.where(rng.random(len(truth)) < 0.5, 0.1, noise)
    noisy = replace(benchmark, ground_truth=truth + sd * rng.standard_normal(len(truth)))
    ref = benchmark.space, None, benchmark.name, benchmark.digest, benchmark.metric, benchmark.higher_is_better
    where, found = Provenance(*ref, feature_key=""), list[float]()
    for known in (None, sd):
        predictor = Predictor.fit(replace(noisy, sd=known), split.search, where)
        said = predictor.predict([benchmark.architectures[i] for i in held])
        inside = (said.low <= truth[held]) & (truth[held] <= said.high)
        tau = kendall(said.positions, benchmark.quality[held])
        found += [tau, float(inside.mean()), float(np.median(said.high - said.low) / truth.std())]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", nargs="+", required=True)
    parser.add_argument("--seeds", type=int, nargs=2, default=[100, 119], metavar=("FIRST", "LAST"))
    parser.add_argument("--labels", type=int, default=50)
    parser.add_argument("--noise", type=float, help="compare predictors that know the noise of their labels or do not")
    o = parser.parse_args()
    for name in o.benchmark:
        benchmark, seeds = load_benchmark(name), range(o.seeds[0], o.seeds[1] + 1)
        if o.noise is not None:
            rows = np.array([with_noise(benchmark, o.labels, seed, o.noise) for seed in seeds])
            print(f"{name}, {o.labels} labels, {len(rows)} seeds, medians of tau-b, coverage, width of an interval")
            for place, text in enumerate(("noise not known", "noise known")):
                print(f"  {text:16} {'  '.join(f'{value:.3f}' for value in np.median(rows, 0)[3 * place :][:3])}")
            print(f"  higher tau-b with it on {int((rows[:, 3] > rows[:, 0]).sum())} seeds", flush=True)
            continue
        numbers = number_table(benchmark.architectures)
        counts = [naive_scores(name, benchmark.architectures) for name in NAIVE]
        rows = np.array([lesson(benchmark, numbers, counts, o.labels, seed) for seed in seeds])
        known, others, counted, further = np.median(rows, 0)
        print(f"{name}, {o.labels} labels, {len(rows)} seeds, medians of tau-b")
        print(
            f"  teacher: {known:.3f} left out, {others:.3f} held out ({rows[:, 1].min():.3f} to {rows[:, 1].max():.3f})"
        )
        wins = int((rows[:, 0] > rows[:, 2]).sum()), int((rows[:, 1] > rows[:, 3]).sum())
        print(f"  best count: {counted:.3f} on the labels, {further:.3f} held out", flush=True)
        print(
            f"  the teacher is above the count on {wins[0]} splits by the labels, and on {wins[1]} held out", flush=True
        )


if __name__ == "__main__":
    main()
