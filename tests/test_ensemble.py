"""The ensemble of regressions: its members, their weights, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from fitness.predictors import ensemble as ensembles
from fitness.predictors.ensemble import Ensemble, fit_ensemble
from fitness.predictors.members import GaussianMember, RidgeMember, rank_targets, standardised
from fitness.predictors.numbers import COUNTS, OPTIONAL, NumberTable
from fitness.predictors.tuning import FAMILIES, calm, columns_of_family, folds, left_out, tuned


def test_a_process_predicts_what_scikit_learn_predicts() -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    rng = np.random.default_rng(0)
    seen, asked, y = rng.normal(size=(20, 3)), rng.normal(size=(7, 3)), rng.normal(size=20)
    kernel = ConstantKernel(2.0) * Matern((1.0, 2.0, 3.0), nu=2.5) + WhiteKernel(0.1)
    mean, deviation = GaussianProcessRegressor(kernel, optimizer=None).fit(seen, y).predict(asked, return_std=True)
    ours = GaussianMember(2.0, (1.0, 2.0, 3.0), 0.1).predict(seen, y, asked)
    assert np.allclose(ours[0], mean, atol=1e-6) and np.allclose(ours[1], deviation, atol=1e-6)


def test_a_ridge_predicts_what_scikit_learn_predicts() -> None:
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(1)
    seen, asked = standardised(rng.normal(size=(20, 3)), rng.normal(size=(7, 3)))
    y = seen @ [1.0, -2.0, 0.5] + rng.normal(size=20) + 4
    assert np.allclose(RidgeMember(0.7).predict(seen, y, asked)[0], Ridge(0.7).fit(seen, y).predict(asked))


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_left_out_is_not_seen(family: str) -> None:
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(25, len(COUNTS)))
    targets = rank_targets(inputs @ rng.normal(size=len(COUNTS)))
    part = folds(inputs, 0)[0]
    before, _ = left_out(family, inputs, targets, 0)
    changed = targets.copy()
    changed[part[0]] = 50.0
    after, _ = left_out(family, inputs, changed, 0)
    assert after[part[0]] == before[part[0]] and (after != before).any()
    assert tuned(family, inputs, targets) == tuned(family, inputs, targets)


def test_members_that_miss_left_out_labels_count_little() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(size=(40, len(COUNTS) + 3))
    table = NumberTable((*COUNTS, "a", "b", "c"), values)
    ensemble, out = fit_ensemble(table, rank_targets(values[:, -1] + 0.5 * values[:, -2]))
    weights = {(type(m).__name__, m.counts): w for m, w in ensemble.members}
    assert sum(weights.values()) > 0.5 and weights[("GaussianMember", True)] < 0.1 and out.mean.shape == (2, 40)


QUICK = ("ridge", "process on counts")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ensemble of two members, because what is checked depends on no member."""
    monkeypatch.setattr(ensembles, "ENSEMBLE", QUICK)


@pytest.mark.usefixtures("quick")
def test_an_ensemble_weighs_members_by_the_square_of_their_inverse_error() -> None:
    rng = np.random.default_rng(6)
    values = rng.normal(size=(16, len(COUNTS) + 1))
    table = NumberTable((*COUNTS, "a"), values)
    targets = rank_targets(values @ rng.normal(size=values.shape[1]) + rng.normal(size=16))
    ensemble, out = fit_ensemble(table, targets)
    # (member, repeat) -> (mean, deviation), each (n,)
    with calm():
        parts = [[left_out(n, columns_of_family(n, table), targets, seed) for seed in (0, 1)] for n in QUICK]
    worth = [np.mean([(mean - targets) ** 2 for mean, _ in part]) ** -2 for part in parts]
    weights = [one / sum(worth) for one in worth]
    assert [weight for _, weight in ensemble.members] == pytest.approx(weights, abs=1e-6)
    for repeat in (0, 1):
        mean = sum(w * part[repeat][0] for w, part in zip(weights, parts, strict=True))
        variance = sum(w * part[repeat][1] ** 2 for w, part in zip(weights, parts, strict=True))
        assert out.mean[repeat] == pytest.approx(mean, abs=1e-4)
        assert out.deviation[repeat] == pytest.approx(np.sqrt(variance), abs=1e-4)


def test_an_ensemble_predicts_weighted_means_and_the_root_of_weighted_variances() -> None:
    rng = np.random.default_rng(7)
    seen, asked, y = rng.normal(size=(9, 1)), rng.normal(size=(4, 1)), rng.normal(size=9)
    members = GaussianMember(1.0, (1.0,), 0.5), GaussianMember(4.0, (3.0,), 0.1)
    tables = NumberTable(("x",), seen), NumberTable(("x",), asked)
    mean, deviation = Ensemble(tuple(zip(members, (0.25, 0.75), strict=True))).predict(tables[0], y, tables[1])
    (m1, d1), (m2, d2) = (member.predict(*_two(seen, y, asked)) for member in members)
    assert mean == pytest.approx(0.25 * m1 + 0.75 * m2)
    assert deviation == pytest.approx(np.sqrt(0.25 * d1 * d1 + 0.75 * d2 * d2))


def _two(seen: np.ndarray, y: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Input of a member: both tables in deviations of the seen one."""
    middle, spread = seen.mean(), seen.std()
    return (seen - middle) / spread, y, (asked - middle) / spread


@pytest.mark.parametrize("tells", [True, False])
def test_optional_numbers_are_left_out_unless_labels_are_foretold_better_with_them(
    tells: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(8)
    values = rng.normal(size=(14, 4))
    table = NumberTable(("a", "b", OPTIONAL[0], "c"), values)
    asked: list[tuple[str, int]] = []

    def foretold(family: str, inputs: np.ndarray, targets: np.ndarray, *more: object) -> tuple[np.ndarray, np.ndarray]:
        asked.append((family, inputs.shape[1]))
        some = np.array([0.8, 0.8, 0.8]) if tells and len(asked) == 2 else np.array([0.0, 0.0, 1.6])
        return targets + some, targets

    monkeypatch.setattr(ensembles, "left_out", foretold)
    found = ensembles.useful(table, np.array([3.0, -1.0, 2.0]))
    assert asked == [("process", 3), ("process", 4)]
    assert found.names == (table.names if tells else ("a", "b", "c"))
    assert (found.values == (values if tells else values[:, [0, 1, 3]])).all()
    plain = NumberTable(("a", "b"), values[:, :2])
    assert ensembles.useful(plain, np.zeros(3)) is plain and len(asked) == 2


@pytest.mark.parametrize("noise", [None, 7.0])
def test_the_noise_of_a_label_is_in_its_deviation(noise: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    class Sure:
        def predict(
            self, near: np.ndarray, targets: np.ndarray, asked: np.ndarray, known: object
        ) -> tuple[float, float]:
            assert (known is None) == (noise is None)
            return 0.5, 3.0

    monkeypatch.setattr("fitness.predictors.tuning.tuned", lambda *given: Sure())
    known = None if noise is None else np.full(12, noise)
    mean, deviation = left_out(next(iter(FAMILIES)), np.arange(24.0).reshape(12, 2), np.arange(12.0), 0, known)
    assert (mean == 0.5).all() and (deviation == (3.0 if noise is None else 4.0)).all()
