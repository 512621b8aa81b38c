"""The noise ceiling of a benchmark: what a perfect oracle would score."""

from __future__ import annotations

import numpy as np
import pytest

from models.training.noise import noise_ceiling


def test_noise_ceiling_is_one_without_noise_and_falls_with_it() -> None:
    quiet, low, high = (noise_ceiling(_synthetic(sd)) for sd in (0.0, 0.05, 0.5))
    assert quiet is not None and low is not None and high is not None
    assert quiet.kendall == quiet.spearman == 1.0 and quiet.sd == pytest.approx(0, abs=1e-12)
    assert 1 > low.kendall > high.kendall > 0.3 and 1 > low.spearman > high.spearman > 0.5


def test_noise_ceiling_recovers_the_noise_and_ignores_the_effect_of_a_seed() -> None:
    plain, shifted = noise_ceiling(_synthetic(0.1)), noise_ceiling(_synthetic(0.1, effect=3.0))
    assert plain is not None and shifted is not None
    assert plain.sd_at(0.0) == pytest.approx(0.1, rel=0.25)
    assert shifted.sd == pytest.approx(plain.sd, rel=0.01)


def test_noise_ceiling_sees_noise_that_grows_with_the_loss() -> None:
    ceiling = noise_ceiling(_synthetic(0.05, slope=1.0))
    assert ceiling is not None and ceiling.slope == pytest.approx(1.0, abs=0.4)
    assert ceiling.sd_at(2.0) > 4 * ceiling.sd_at(-1.0)


def test_noise_ceiling_predicts_what_a_perfect_oracle_scores() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(3)
    truth = rng.normal(size=400)
    records = [{"loss": x + 0.4 * rng.normal()} for x in truth]
    for record, x in zip(records[:40], truth, strict=False):
        record["replicates"] = [record["loss"], *(x + 0.4 * rng.normal(size=4))]
    ceiling = noise_ceiling(records)
    assert ceiling is not None
    assert ceiling.spearman == pytest.approx(spearmanr(truth, [r["loss"] for r in records])[0], abs=0.03)


def test_noise_ceiling_is_unknown_without_replicates() -> None:
    assert noise_ceiling([{"loss": 1.0}, {"loss": 2.0}]) is None


def _synthetic(sd: float, effect: float = 0.0, slope: float = 0.0) -> list[dict[str, object]]:
    """200 records with normal losses, 40 of them with 5 replicates of noise sd * exp(slope * loss)."""
    rng = np.random.default_rng(0)
    records: list[dict[str, object]] = []
    for i, truth in enumerate(rng.normal(size=200)):
        noisy = truth + sd * np.exp(slope * truth) * rng.standard_normal(5) + effect * np.arange(5)
        records.append({"loss": float(noisy[0])} | ({"replicates": noisy.tolist()} if i < 40 else {}))
    return records
