"""Several regressions as one: each counts by how near it comes to labels that it was not fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fitness.predictors.members import Member, standardised
from fitness.predictors.numbers import COUNTS, OPTIONAL, NumberTable
from fitness.predictors.tuning import Noise, calm, columns_of_family, left_out, tuned

__all__ = ["ENSEMBLE", "Ensemble", "LeftOut", "fit_ensemble", "useful"]

ENSEMBLE = ("ridge", "process", "process on counts", "process by number")
SHARPNESS = 2  # power of the inverse mean squared error that weighs a member; on seeds from 100 on
REPEATS = 2  # of the cross-validation, each with other folds


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Cross-validated predictions of an ensemble: mean and deviation (REPEATS, n)."""

    mean: np.ndarray
    deviation: np.ndarray


@dataclass(frozen=True)
class Ensemble:
    """Members with the weights that they count by, which sum to 1."""

    members: tuple[tuple[Member, float], ...]

    def predict(
        self, seen: NumberTable, targets: np.ndarray, asked: NumberTable, noise: Noise = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(mean (M,), standard deviation (M,)) in units of `targets` (n,), the labels at `seen` with their `noise`."""
        mean, variance = np.zeros(len(asked.values)), np.zeros(len(asked.values))
        for member, weight in self.members:
            names = COUNTS if member.counts else seen.names
            near, far = standardised(seen.of(names), asked.of(names))
            values, deviations = member.predict(near, targets, far, noise)
            mean += weight * values
            variance += weight * deviations**2
        return mean, np.sqrt(variance)


def useful(numbers: NumberTable, targets: np.ndarray, noise: Noise = None) -> NumberTable:
    """The numbers without the optional ones, if a Gaussian process foretells left-out labels better without these."""
    names = tuple(name for name in numbers.names if name not in OPTIONAL)
    if names == numbers.names:
        return numbers
    fewer = NumberTable(names, numbers.of(names))
    with calm():
        said = [left_out("process", table.values, targets, 0, noise)[0] for table in (fewer, numbers)]
    less, more = (((mean - targets) ** 2).mean() for mean in said)
    return fewer if less <= more else numbers


def fit_ensemble(seen: NumberTable, targets: np.ndarray, noise: Noise = None) -> tuple[Ensemble, LeftOut]:
    """The ensemble of these labels, and what it says of each when that is left out."""
    with calm():
        inputs = {name: columns_of_family(name, seen) for name in ENSEMBLE}
        parts = [[left_out(name, inputs[name], targets, seed, noise) for seed in range(REPEATS)] for name in ENSEMBLE]
        members = [tuned(name, inputs[name], targets, noise) for name in ENSEMBLE]
    found = np.array(parts)  # (members, REPEATS, mean and deviation, n)
    errors = ((found[:, :, 0] - targets) ** 2).mean((1, 2))
    worth = (errors.min() / errors) ** SHARPNESS
    weights = (worth / worth.sum()).round(6)
    mean = np.tensordot(weights, found[:, :, 0], 1)
    deviation = np.sqrt(np.tensordot(weights, found[:, :, 1] ** 2, 1))
    return Ensemble(tuple(zip(members, map(float, weights), strict=True))), LeftOut(mean, deviation)
