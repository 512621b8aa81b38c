"""Folds of the cross-validation: what each leaves out, and how formulas are judged there."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gp.choice import _agreement, _folds, _folds_of_repeats, _worth
from gp.config import SearchConfig

SMALL = SearchConfig(folds=3)


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


def test_an_architecture_in_several_rows_is_left_out_in_all_of_them() -> None:
    digests = list("abcdeabcfg")
    folds = _folds_of_repeats(digests, SMALL)
    assert len(folds) == 3 and (np.sum(folds, axis=0) == 1).all() and {f.dtype for f in folds} == {np.dtype(bool)}
    assert all(len({bool(fold[i]) for i, d in enumerate(digests) if d == own}) == 1 for fold in folds for own in "abc")
    sizes = [len({digests[i] for i in np.flatnonzero(fold)}) for fold in folds]
    assert sizes == [3, 2, 2]
    assert any((a != b).any() for a, b in zip(folds, _folds_of_repeats(digests, replace(SMALL, seed=7)), strict=True))


def folds_of(digests: str, *ends: int) -> list[list[int]]:
    """The places that each fold leaves out, where benchmarks end at `ends` and a pool may follow."""
    starts = (0, *ends)
    target = SimpleNamespace(values=np.zeros(ends[-1]), slices=tuple(map(slice, starts, ends)))
    architectures = [SimpleNamespace(digest=digest) for digest in digests]
    problem: Any = SimpleNamespace(
        table=SimpleNamespace(count=len(digests)), architectures=architectures, target=target
    )
    return [np.flatnonzero(fold).tolist() for fold in _folds(problem, replace(SMALL, folds=2))]


def test_folds_are_random_shares_and_whole_benchmarks() -> None:
    one, two = folds_of("abcdefg", 7)
    assert sorted(one + two) == list(range(7)) and sorted(map(len, (one, two))) == [3, 4] and one != [0, 2, 4, 6]
    *shares, first, second = folds_of("abcdefg", 3, 7)
    assert shares == [one, two] and (first, second) == ([0, 1, 2], [3, 4, 5, 6])
    repeated = folds_of("abab", 4)
    assert sorted(repeated) == [[0, 2], [1, 3]]
    assert sorted(folds_of("abccc", 3)) == sorted(folds_of("abcde", 3))  # only the pool repeats


def test_formulas_are_judged_on_benchmarks_of_which_something_was_left_out() -> None:
    scores = np.array([[1.0, 2.0, 3.0, 3.0, 2.0, 1.0, 1.0, 2.0]])
    target = SimpleNamespace(values=np.arange(8.0), slices=(slice(0, 3), slice(3, 6), slice(6, 8)))
    problem: Any = SimpleNamespace(scores=lambda proxies: scores, target=target)
    found: Any = [SimpleNamespace(proxy="p", sign=-1)]
    left_out = np.array([True, False, False, True, False, False, False, False])
    assert _worth(found, problem, left_out) == 0.0  # -1 on the first, 1 on the second; the third is not asked
    left_out[3] = False
    assert _worth(found, problem, left_out) == -1.0 == _worth([], problem, left_out)
