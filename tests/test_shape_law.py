"""The shape-aware scaling law: its value, its derivatives, and how it is fitted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fitness.predictors import shape_law
from fitness.predictors.shape_law import fitted_law


def test_the_fitted_law_stays_as_it_is() -> None:
    """Other bounds, starts or weights of outliers would make another rival of every table."""
    rng = np.random.default_rng(4)
    inputs = np.column_stack([rng.uniform(9, 12, 12), rng.uniform(14, 18, 12), rng.uniform(1, 4, 12)])
    losses = (1.5 + 40 / np.exp(0.4 * inputs[:, 0]) + 300 / np.exp(0.5 * inputs[:, 1])) * (
        1 + 0.05 * np.exp(0.5 * inputs[:, 2])
    ) + 0.05 * rng.normal(size=12)
    found = fitted_law(inputs[:9], losses[:9], inputs[9:])
    assert found == pytest.approx([2.450088133609887, 2.266319211339234, 2.9876806815534898], rel=1e-5)
    assert fitted_law(inputs[:9], losses[:9] / 10, inputs[9:]) == pytest.approx(
        [0.24501803981291662, 0.22665056510572484, 0.2987762081720039], rel=1e-6
    )
    assert (shape_law.LOW, shape_law.HIGH) == ((-9, -9, 0.01, -9, 0.01, -12, -2), (9, 20, 1.5, 20, 1.5, 5, 2))
    assert shape_law.STARTS == ((-1.0, 0.3), (1.0, 0.1), (-1.0, -0.3))
    size, tokens, shape = np.array([2.0, 3.0, 1.5])
    p = np.array([0.1, 3.0, 0.3, 2.0, 0.2, -1.0, 0.3])
    wanted = (np.exp(0.1) + np.exp(3 - 0.3 * size) + np.exp(2 - 0.2 * tokens)) * (1 + np.exp(-1 + 0.3 * shape))
    assert shape_law._law(p, np.array([[size, tokens, shape]])) == pytest.approx([wanted])
    without = (np.exp(0.1) + np.exp(3 - 0.3 * size)) * (1 + np.exp(-1 + 0.3 * shape))
    assert shape_law._law(p, np.array([[size, 0.0, shape]])) == pytest.approx([without])


@pytest.mark.parametrize(
    ("losses", "means", "level", "scale", "terms"),
    [
        ([2.0, 3.0], (10.0, 4.0), 0.0, 1.0, (3.0, 1.2)),
        ([5.0, 5.0], (10.0, 4.0), np.log(2.5), 1e-9, (np.log(2.5) + 3, np.log(2.5) + 1.2)),
        ([-1.0, 1.0], (100.0, -50.0), np.log(5e-7), 2.0, (np.log(5e-7) + 30, -9 + 1e-6)),
        ([2.0, 6.0], (100.0, -50.0), 0.0, 4.0, (20 - 1e-6, -9 + 1e-6)),
    ],
)  # fmt: skip
def test_the_law_is_fitted_from_three_starts_within_bounds_and_the_best_fit_counts(
    losses: list[float], means: tuple[float, float], level: float, scale: float, terms: tuple[float, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    inputs = np.array([[means[0] - 1, means[1] + 2, 1.0], [means[0] + 1, means[1] - 2, 3.0]])
    asked: list[tuple[Any, Any, dict[str, Any]]] = []

    def solver(residuals: Any, start: Any, **options: Any) -> Any:
        asked.append((residuals, start, options))
        return SimpleNamespace(cost=(2.0, 1.0, 3.0)[len(asked) - 1], x=np.full(7, float(len(asked))))

    monkeypatch.setattr(shape_law, "least_squares", solver)
    monkeypatch.setattr(shape_law, "_law", lambda p, inputs: p[0] * inputs[:, 2])
    monkeypatch.setattr(shape_law, "_slopes", lambda p, inputs: p[1] * inputs)
    assert fitted_law(inputs, np.array(losses), np.array([[0.0, 0.0, 7.0]])).tolist() == [14.0]
    for (residuals, start, options), shape in zip(asked, ((-1.0, 0.3), (1.0, 0.1), (-1.0, -0.3)), strict=True):
        low = max(level, -9 + 1e-6)
        assert start == pytest.approx([low, terms[0], 0.3, terms[1], 0.3, *shape], rel=1e-12)
        p = np.arange(3.0, 10.0)
        assert residuals(p) == pytest.approx((np.array([3.0, 9.0]) - losses) / scale)
        assert options.pop("jac")(p) == pytest.approx(4 * inputs / scale)
        (least, most) = options.pop("bounds")
        assert (tuple(least), tuple(most)) == (shape_law.LOW, shape_law.HIGH)
        assert options == {"loss": "soft_l1", "f_scale": 0.1, "max_nfev": 200, "ftol": 1e-4}


@pytest.mark.parametrize("place", range(7))
def test_the_derivatives_of_the_law_are_its_differences(place: int) -> None:
    inputs = np.random.default_rng(0).uniform((9, 12, 1), (16, 20, 5), (6, 3))
    inputs[:2, 1] = 0  # rows whose training tokens are not known
    at, step = np.array([0.1, 3.0, 0.3, 2.0, 0.2, -1.0, 0.3]), 1e-6 * np.eye(7)[place]
    wanted = (shape_law._law(at + step, inputs) - shape_law._law(at - step, inputs)) / 2e-6
    assert shape_law._slopes(at, inputs)[:, place] == pytest.approx(wanted, rel=1e-5, abs=1e-9)
