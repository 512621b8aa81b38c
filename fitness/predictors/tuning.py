"""Hyper-parameters from labels, by scikit-learn: the marginal likelihood of a Gaussian process, the left-out error of a
ridge; and what a regression says of labels that it was not fitted to. The same numbers on every run."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from fitness.predictors.members import GaussianMember, Member, RidgeMember, shares, standardised
from fitness.predictors.numbers import COUNTS, NumberTable

__all__ = ["FAMILIES", "FOLDS", "Family", "Noise", "calm", "columns_of_family", "folds", "left_out", "tuned"]

FOLDS = 5
PENALTIES = np.logspace(-2, 3, 16)

Noise = np.ndarray | None
"""Variance of the noise of each label, (n,), in units of that of the labels; None where it is not known."""

Family = Callable[[np.ndarray, np.ndarray, bool, Noise], Member]
"""(inputs (n, K) standardised, targets (n,), whether they are the counts only, noise (n,)) -> hyper-parameters."""


def _ridge(inputs: np.ndarray, targets: np.ndarray, counts: bool, noise: Noise) -> Member:
    """The penalty with the least left-out error."""
    from sklearn.linear_model import RidgeCV

    share = None if noise is None else shares(noise)
    return RidgeMember(float(RidgeCV(PENALTIES).fit(inputs, targets, share).alpha_), counts)


def _process(each: bool) -> Family:
    """The Gaussian process of the largest marginal likelihood; with one length for all inputs, or one for `each`."""

    def fit(inputs: np.ndarray, targets: np.ndarray, counts: bool, noise: Noise) -> Member:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        count, root = inputs.shape[1], float(np.sqrt(inputs.shape[1]))
        lengths = np.full(count, 3.0) if each else root
        bounds = (0.3, 1e3) if each else (0.3 * root, 100 * root)
        shape = ConstantKernel(1.0, (1e-2, 1e2)) * Matern(lengths, bounds, nu=2.5)
        kernel = shape + WhiteKernel(0.1, (1e-3, 1.0))
        own = 1e-10 + (0.0 if noise is None else noise)
        found = GaussianProcessRegressor(kernel, alpha=own, random_state=0).fit(inputs, targets).kernel_.get_params()
        spread = np.broadcast_to(found["k1__k2__length_scale"], count)
        amplitude, common = found["k1__k1__constant_value"], found["k2__noise_level"]
        return GaussianMember(_short(amplitude), tuple(map(_short, spread)), _short(common), counts)

    return fit


def _short(value: float) -> float:
    """Six digits, so that the last bits of an optimiser are nobody's result."""
    return float(f"{value:.6g}")


FAMILIES: dict[str, tuple[Family, bool]] = {
    "ridge": (_ridge, False),
    "ridge on counts": (_ridge, True),
    "process": (_process(False), False),
    "process on counts": (_process(False), True),
    "process by number": (_process(True), False),
}
"""Name -> (how it is fitted, whether it reads only the counts)."""


@contextmanager
def calm() -> Iterator[None]:
    """Context with one thread for linear algebra, because sums in another order give other numbers, and no warnings
    about optimisers that stop at a bound."""
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def columns_of_family(name: str, table: NumberTable) -> np.ndarray:
    """Input columns of the family, (N, K)."""
    return table.of(COUNTS) if FAMILIES[name][1] else table.values


def tuned(name: str, seen: np.ndarray, targets: np.ndarray, noise: Noise = None) -> Member:
    """The regression of a family, fitted to `targets` (n,) with their `noise` (n,) at `seen` (n, K)."""
    fit, counts = FAMILIES[name]
    return fit(standardised(seen, seen)[0], targets, counts, noise)


def folds(inputs: np.ndarray, seed: int) -> list[np.ndarray]:
    """The rows left out in each fold; equal rows stay together."""
    groups = np.unique(inputs, axis=0, return_inverse=True)[1].ravel()
    order = list(range(int(groups.max()) + 1))
    random.Random(f"left out:{seed}").shuffle(order)
    parts = [np.flatnonzero(np.isin(groups, order[fold::FOLDS])) for fold in range(FOLDS)]
    return [part for part in parts if len(part)]


def left_out(
    name: str, seen: np.ndarray, targets: np.ndarray, seed: int, noise: Noise = None
) -> tuple[np.ndarray, np.ndarray]:
    """(mean (n,), standard deviation (n,)) of each label, its own noise included, by a regression that was tuned and
    fitted without it."""
    mean, deviation = np.empty(len(targets)), np.empty(len(targets))
    for out in folds(seen, seed):
        kept = np.setdiff1d(np.arange(len(targets)), out)
        known = None if noise is None else noise[kept]
        member = tuned(name, seen[kept], targets[kept], known)
        near, asked = standardised(seen[kept], seen[out])
        mean[out], deviation[out] = member.predict(near, targets[kept], asked, known)
    return mean, deviation if noise is None else np.sqrt(deviation**2 + noise)
