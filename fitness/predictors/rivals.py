"""Rivals: what a regression makes of the search split's labels, from numbers that need no network. A user with 50
labels would try one first, so every table that shows formulas shows them.

Each chooses its hyper-parameters by cross-validation inside the search split, predicts the ranks of the labels, and is
fitted to them only. Its scores of the search split are those of regressions fitted without the architecture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fitness.evaluation import Split
from fitness.predictors.members import rank_targets, standardised
from fitness.predictors.numbers import NumberTable, number_table
from fitness.predictors.shape_law import fitted_law, law_inputs, losses_of
from fitness.predictors.tuning import Noise, calm, columns_of_family, left_out, tuned
from fitness.protocol import inside_groups, near_pairs, report
from models.benchmarks.benchmark import Benchmark

__all__ = ["RIVALS", "rival_scores", "rivals"]

TREES = 200
LAW_FOLDS = 5
MOST = 300  # labels that a regression is fitted to; the price of a process goes with their third power


@dataclass(frozen=True, eq=False)
class Labels:
    """Data that a rival is fitted to: the numbers of all architectures, and the `targets` of those `seen` (n,), ranks
    of their quality; the benchmark for rivals that read it themselves."""

    benchmark: Benchmark
    table: NumberTable
    seen: np.ndarray
    targets: np.ndarray

    @property
    def noise(self) -> Noise:
        return self.benchmark.noise(self.seen)


Fitted = tuple[np.ndarray, np.ndarray]
"""(scores of all architectures (N,), scores of the seen ones by regressions without them (n,))."""


def _best_of(*names: str) -> Callable[[Labels], Fitted]:
    """The regression that is nearest to left-out labels, of these families."""

    def fit(labels: Labels) -> Fitted:
        table, seen, targets = labels.table, labels.seen, labels.targets
        found = []
        for name in names:
            inputs = columns_of_family(name, table)
            mean, _ = left_out(name, inputs[seen], targets, 0, labels.noise)
            found.append((float(((mean - targets) ** 2).mean()), name, mean))
        _, name, mean = min(found, key=lambda entry: entry[0])
        inputs = columns_of_family(name, table)
        near, asked = standardised(inputs[seen], inputs)
        best = tuned(name, inputs[seen], targets, labels.noise)
        return best.predict(near, targets, asked, labels.noise)[0], mean

    return fit


def _forest(labels: Labels) -> Fitted:
    """Random forest (Breiman 2001); how many inputs a split looks at is chosen by the trees that left a row out."""
    from sklearn.ensemble import RandomForestRegressor

    table, seen, targets = labels.table, labels.seen, labels.targets

    forests = [
        RandomForestRegressor(TREES, max_features=share, oob_score=True, random_state=0) for share in (0.33, 1.0)
    ]
    best = max((f.fit(table.values[seen], targets) for f in forests), key=lambda f: f.oob_score_)
    return best.predict(table.values), best.oob_prediction_


def _shape_law(labels: Labels) -> Fitted:
    """The scaling law, for the seen ones fitted without their fold."""
    seen, without = labels.seen, np.empty(len(labels.seen))
    inputs, losses = law_inputs(labels.benchmark.architectures), losses_of(labels.benchmark, seen)
    places = np.unique(labels.benchmark.groups[seen], return_inverse=True)[1].ravel() % LAW_FOLDS
    for fold in np.unique(places):
        own = places == fold
        kept = ~own if not own.all() else own
        without[own] = -fitted_law(inputs[seen[kept]], losses[kept], inputs[seen[own]])
    return -fitted_law(inputs[seen], losses, inputs), without


RIVALS: dict[str, tuple[str, Callable[[Labels], Fitted]]] = {
    "ridge": ("ridge regression on numbers of the configuration", _best_of("ridge", "ridge on counts")),
    "Gaussian process": (
        "Gaussian process on numbers of the configuration",
        _best_of("process", "process on counts", "process by number"),
    ),
    "random forest": ("random forest on numbers of the configuration", _forest),
    "shape law": ("scaling law of size, training tokens and width over depth", _shape_law),
}
"""Name -> (what it is, how it is fitted)."""


def rival_scores(benchmark: Benchmark, split: Split, build: str | None = None) -> dict[str, np.ndarray]:
    """(N,) scores by rival, larger is expected to be better; rounded, so that no last bit decides a tie."""
    table, seen = number_table(benchmark.architectures, build), _some(np.array(split.search))
    targets = rank_targets(benchmark.quality[seen])
    scores = {}
    with calm():
        for name, (_, fit) in RIVALS.items():
            values, without = fit(Labels(benchmark, table, seen, targets))
            values[seen] = without
            scores[name] = values.round(9)
    return scores


def _some(seen: np.ndarray) -> np.ndarray:
    """All of the search split, or MOST of it at even steps."""
    return seen if len(seen) <= MOST else seen[np.linspace(0, len(seen) - 1, MOST).astype(int)]


def rivals(
    benchmark: Benchmark, split: Split | None, build: str | None = None, detail: bool = False
) -> list[dict[str, Any]]:
    """One record per rival like those of `protocol.baselines`; none without a split, whose labels they need."""
    if split is None or not split.search:
        return []
    records = []
    for name, scores in rival_scores(benchmark, split, build).items():
        record = {"name": name, **report(scores, benchmark, split)}
        if detail:
            record |= {"inside": inside_groups(scores, benchmark), "near_pairs": near_pairs(scores, benchmark)}
        records.append(record)
    return records
