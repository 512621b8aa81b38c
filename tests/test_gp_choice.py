"""How formulas of a kind are judged on architectures that they were not chosen by."""

from __future__ import annotations

import numpy as np
import pytest

from gp.growth.choice import _agreement


def test_every_pair_with_one_that_was_left_out_counts() -> None:
    scores, quality = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 1.0, 4.0, 3.0])
    left_out = np.array([True, False, False, False])
    # Pairs (0, 1), (0, 2), (0, 3): one disagrees, two agree; the disagreeing (2, 3) was seen and does not count.
    assert _agreement(scores, quality, left_out) == pytest.approx(1 / 3)
    both = np.array([True, False, True, False])  # (2, 3) disagrees as well, (0, 2), (1, 2) and (0, 3) agree
    assert _agreement(scores, quality, both) == pytest.approx((3 - 2) / 5)


def test_ties_count_like_in_tau_b_and_nothing_to_compare_is_0() -> None:
    left_out = np.array([True, True, True])
    assert _agreement(np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0]), left_out) == pytest.approx(2 / np.sqrt(6))
    assert _agreement(np.ones(3), np.arange(3.0), left_out) == 0.0
    assert _agreement(np.arange(3.0), np.ones(3), left_out) == 0.0
    assert _agreement(np.arange(3.0), np.arange(3.0), ~left_out) == 0.0
    assert _agreement(np.array([np.nan, 1.0, 2.0]), np.arange(3.0), left_out) == 0.0
