"""The shape-aware scaling law, fitted to labels: L = (E + A / N^a + B / D^b) (1 + g (width / depth)^c), after Hoffmann
et al. (2022, arXiv 2203.15556) and its extension by a factor of shape (2025, arXiv 2501.18107).

N are the parameters of the blocks, D the training tokens; the term of D is left out where they are not known or the
same in all rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import least_squares

from models.architecture import Architecture
from models.benchmarks.benchmark import Benchmark
from models.spaces import SPACES

__all__ = ["fitted_law", "law_inputs", "losses_of"]

STARTS = ((-1.0, 0.3), (1.0, 0.1), (-1.0, -0.3))  # log of g, and c
LOW = (-9.0, -9.0, 0.01, -9.0, 0.01, -12.0, -2.0)  # log E, log A, a, log B, b, log g, c
HIGH = (9.0, 20.0, 1.5, 20.0, 1.5, 5.0, 2.0)


def law_inputs(architectures: Sequence[Architecture]) -> np.ndarray:
    """(N, 3): the logarithms of N and D (0 in all rows where D says nothing) and of width over depth."""
    shapes = [SPACES[a.space].shape(a) for a in architectures]
    sizes = np.log([SPACES[a.space].parameters(a).decoder for a in architectures])
    said = len({a.tokens for a in architectures}) > 1 and all(a.tokens for a in architectures)
    tokens = np.log([a.tokens or np.nan for a in architectures]) if said else np.zeros(len(architectures))
    return np.column_stack([sizes, tokens, [np.log(width / depth) for depth, width in shapes]])


def losses_of(benchmark: Benchmark, places: Sequence[int] | np.ndarray) -> np.ndarray:
    """(n,) what was measured of the rows `places`, as losses that the law can have: a perplexity's logarithm, what a
    score lacks of 100; moved up where some would not be positive. Nothing is known of the other rows."""
    truth = benchmark.ground_truth[places]
    if benchmark.higher_is_better:
        losses = np.maximum(100.0 if truth.max() > 1 else 1.0, truth.max()) - truth
    else:
        losses = np.log(truth) if "ppl" in benchmark.metric and truth.min() > 1 else truth
    return losses if losses.min() > 0 else losses - losses.min() + max(float(np.ptp(losses)), 1e-9)


def fitted_law(inputs: np.ndarray, losses: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The losses that the law foretells for the inputs (M, 3) `asked`, fitted to the losses (n,) of `inputs` (n, 3) by
    least squares that outliers do not rule, from a few starts."""
    low, high = np.array(LOW), np.array(HIGH)
    scale = max(float(np.ptp(losses)), 1e-9)
    level = np.log(max(float(losses.min()), 1e-6) / 2)
    fits = []
    for shape in STARTS:
        size, tokens = level + 0.3 * inputs[:, :2].mean(axis=0)
        start = np.array([level, size, 0.3, tokens, 0.3, *shape])
        fit = least_squares(
            lambda p: (_law(p, inputs) - losses) / scale,
            np.clip(start, low + 1e-6, high - 1e-6),
            jac=lambda p: _slopes(p, inputs) / scale,
            bounds=(low, high),
            loss="soft_l1",
            f_scale=0.1,
            max_nfev=200,
            ftol=1e-4,
        )
        fits.append(fit)
    return _law(min(fits, key=lambda fit: fit.cost).x, asked)


def _law(p: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    size, tokens, shape = _terms(p, inputs)
    return (np.exp(p[0]) + size + tokens) * (1 + shape)


def _slopes(p: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """(n, 7): derivatives of the law by its parameters."""
    size, tokens, shape = _terms(p, inputs)
    losses, factor = np.exp(p[0]) + size + tokens, 1 + shape
    by_shape = losses * shape
    columns = (
        np.exp(p[0]) * factor,
        size * factor,
        -inputs[:, 0] * size * factor,
        tokens * factor,
        -inputs[:, 1] * tokens * factor,
        by_shape,
        inputs[:, 2] * by_shape,
    )
    return np.column_stack(columns)


def _terms(p: np.ndarray, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The term of size, that of tokens (0 where they are not known), and the excess of the factor of shape over 1."""
    size, tokens, shape = inputs.T
    return np.exp(p[1] - p[2] * size), np.exp(p[3] - p[4] * tokens) * (tokens != 0), np.exp(p[5] + p[6] * shape)
