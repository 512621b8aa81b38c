"""Rank statistics: Spearman's rho and Kendall's tau-b, one pair by scipy, many at once by matrix products.

Everything is signed; nothing here takes an absolute value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from fitness.near_pairs import NEAR

__all__ = [
    "RankTarget",
    "bootstrap_interval",
    "kendall",
    "narrowest",
    "paired_p_value",
    "rarest",
    "row_by_row",
    "spearman",
]


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rho of two finite, non-constant vectors (N,)."""
    return float(stats.spearmanr(x, y).statistic)


def kendall(x: np.ndarray, y: np.ndarray, variant: str = "b") -> float:
    """Kendall's tau-b (ties corrected); variant "a" counts ties as neither, over all pairs."""
    if variant == "b":
        return float(stats.kendalltau(x, y).statistic)
    i, j = np.triu_indices(len(x), 1)
    return float(np.mean(np.sign(x[i] - x[j]) * np.sign(y[i] - y[j])))


@dataclass(frozen=True, eq=False)
class RankTarget:
    """A ground truth (N,) that has been ranked once, to be compared with many score vectors; `sizes` (N,) of the
    architectures, where pairs of one size count."""

    values: np.ndarray
    _unit_ranks: np.ndarray
    _pairs: tuple[np.ndarray, np.ndarray]
    _pair_signs: np.ndarray
    sizes: np.ndarray | None = None

    @classmethod
    def create(cls, values: np.ndarray, sizes: np.ndarray | None = None) -> RankTarget:
        """Rank `values`; they must be finite and not all equal."""
        i, j = np.triu_indices(len(values), 1)
        signs = np.sign(values[i] - values[j]).astype(np.float32)
        return cls(values, _unit(stats.rankdata(values)), (i, j), signs, sizes)

    def only(self, places: np.ndarray) -> RankTarget:
        """The ground truth of some of the architectures."""
        sizes = None if self.sizes is None else self.sizes[places]
        return RankTarget.create(self.values[places], sizes)

    @property
    def slices(self) -> tuple[slice, ...]:
        """Slices of the architectures by benchmark; one slice for a single benchmark."""
        return (slice(0, len(self.values)),)

    def enough(self, places: np.ndarray) -> np.ndarray:
        """The places that `only` takes: all of them."""
        return places

    def agreement(self, measure: Callable[[RankTarget, np.ndarray], np.ndarray], scores: np.ndarray) -> np.ndarray:
        """(P,) signed: `measure` of the scores (P, N)."""
        return measure(self, scores)

    def within(self, scores: np.ndarray) -> np.ndarray:
        """(P, N): numbers in the order of the scores inside each benchmark: the scores themselves."""
        return scores

    def spearman(self, scores: np.ndarray) -> np.ndarray:
        """rho of each row of `scores` (P, N) -> (P,), equal to scipy's; a constant row gives nan.

        The scores must be finite. Sorting suffices where a row has no ties; ties need average ranks.
        """
        order, tied = _order(scores)
        result = self._unit_ranks[order] @ _unit(np.arange(scores.shape[-1], dtype=float))
        if tied.any():
            result[tied] = _unit(stats.rankdata(scores[tied], axis=-1)) @ self._unit_ranks
        return result

    def kendall(self, scores: np.ndarray) -> np.ndarray:
        """tau-b of each row of `scores` (P, N) -> (P,), equal to scipy's; a constant row gives nan.

        Columns in the order of the values are compared with those `step` places before them, for every step.
        """
        order = np.argsort(self.values, kind="stable")
        values, rows = self.values[order], np.ascontiguousarray(scores[:, order].T)
        agreeing, untied = np.zeros(len(scores)), np.zeros(len(scores))
        for step in range(1, len(values)):
            above, below = rows[step:] > rows[:-step], rows[step:] < rows[:-step]
            untied += above.sum(0) + below.sum(0)
            apart = values[step:] > values[:-step]
            if not apart.all():
                above, below = above[apart], below[apart]
            agreeing += above.sum(0) - below.sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return agreeing / np.sqrt(untied * np.abs(self._pair_signs).sum(dtype=np.float64))

    def pairs_of_one_size(self, scores: np.ndarray) -> np.ndarray:
        """Kendall's tau over the pairs of one size whose values differ, ties of the score counting 0, of each row of
        `scores` (P, N) -> (P,); 0 without such pairs. Without sizes all pairs are of one."""
        near = self._near
        i, j = (ends[near] for ends in self._pairs)
        if not len(i):
            return np.zeros(len(scores))
        chunk = max(1, _AT_ONCE // len(i))
        rows = (scores[at : at + chunk] for at in range(0, len(scores), chunk))
        found = [np.sign(part[:, i] - part[:, j]).astype(np.float32) @ self._pair_signs[near] / len(i) for part in rows]
        return np.concatenate(found).astype(float)

    @cached_property
    def _near(self) -> np.ndarray:
        """The places among all pairs of those of one size whose values differ."""
        i, j = self._pairs
        differ = self._pair_signs != 0
        if self.sizes is not None:
            differ &= np.abs(self.sizes[i] - self.sizes[j]) <= NEAR * np.maximum(self.sizes[i], self.sizes[j])
        return np.flatnonzero(differ)

    def mean_of_both(self, scores: np.ndarray) -> np.ndarray:
        """The mean of rho and tau-b of each row of `scores` (P, N) -> (P,)."""
        return (self.spearman(scores) + self.kendall(scores)) / 2


_AT_ONCE = 1 << 24  # comparisons of two scores
_SPARE = 10  # binary digits below a score's resolution, enough to hold a place
_PLACES = (1 << _SPARE) - 1


def _order(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorting permutation of each row of finite `scores` (P, N), and which rows have ties.

    Scores are rounded, so the last digits are free to carry the place of each, and one sort of whole numbers does what
    takes an argsort twice the time. Values that are not rounded are sorted the other way.
    """
    bits = (scores + 0.0).view(np.int64)  # -0 is 0
    if scores.shape[-1] > _PLACES or (bits & _PLACES).any():
        order = np.argsort(scores, axis=-1)
        ordered = np.take_along_axis(scores, order, axis=-1)
        return order, (ordered[:, 1:] == ordered[:, :-1]).any(-1)
    bits ^= (bits >> 63) & np.int64(2**63 - 1 - _PLACES)  # whole numbers in the order of the values
    bits |= np.arange(scores.shape[-1])
    bits.sort(axis=-1)
    levels = bits >> _SPARE
    return bits & _PLACES, (levels[:, 1:] == levels[:, :-1]).any(-1)


def row_by_row(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """rho of each row of `x` (P, N) with the same row of `y`, neither constant; (P,), free of rounding."""
    return (_unit(stats.rankdata(x, axis=-1)) * _unit(stats.rankdata(y, axis=-1))).sum(-1).round(12)


def rarest(scores: np.ndarray) -> np.ndarray:
    """Number of columns of each row of `scores` (P, N) that share the row's rarest value, (P,)."""
    ordered = np.sort(scores, axis=-1)
    new = np.ones(ordered.shape, dtype=bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    sizes, levels = np.diff(np.flatnonzero(new), append=new.size), new.sum(-1)  # of the levels, row after row
    return np.minimum.reduceat(sizes, np.cumsum(levels) - levels) if len(scores) else levels


def narrowest(scores: np.ndarray) -> np.ndarray:
    """The smallest step between neighbouring values of each row of finite `scores` (P, N), as a share of the larger
    of the two (in size); infinite for a constant row; (P,)."""
    ordered = np.sort(scores, axis=-1)
    low, high = ordered[:, :-1], ordered[:, 1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        steps = (high - low) / np.maximum(np.abs(low), np.abs(high))
    return np.where(high > low, steps, np.inf).min(-1, initial=np.inf)


def _unit(ranks: np.ndarray) -> np.ndarray:
    """Centred and scaled to length 1 along the last axis, so that correlation is a dot product."""
    centred = ranks - ranks.mean(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return centred / np.sqrt((centred * centred).sum(-1, keepdims=True))


def bootstrap_interval(
    x: np.ndarray, y: np.ndarray, statistic: str = "spearman", resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """95% percentile interval over resampled architectures."""
    values = _resampled(np.stack([x]), y, statistic, resamples, seed)[0]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def paired_p_value(
    x: np.ndarray, rival: np.ndarray, y: np.ndarray, statistic: str = "spearman", resamples: int = 2000, seed: int = 0
) -> float:
    """Share of paired resamples in which `x` does not rank better than `rival` (one-sided, never below 1/R)."""
    ours, theirs = _resampled(np.stack([x, rival]), y, statistic, resamples, seed)
    return float(max(np.mean(ours <= theirs), 1.0 / resamples))


def _resampled(rows: np.ndarray, y: np.ndarray, statistic: str, resamples: int, seed: int) -> np.ndarray:
    """The statistic of each row on the same resamples, (rows, resamples); nan where a resample is constant."""
    chosen = np.random.default_rng(seed).integers(0, len(y), (resamples, len(y)))
    places = chosen + len(y) * np.arange(resamples)[:, None]
    times = np.bincount(places.ravel(), minlength=chosen.size).reshape(chosen.shape).astype(np.float64)
    if statistic == "spearman":
        truth = _resampled_ranks(y, times)
        return np.stack([_resampled_spearman(_resampled_ranks(row, times), truth, times) for row in rows])
    return np.stack([_resampled_kendall(row, y, times) for row in rows])


def _resampled_ranks(x: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(R, N): average ranks of `x` (N,) in each resample, in which architecture n is drawn `times` (R, N), less their
    mean; halves of whole numbers, so that sums over them are exact."""
    order = np.argsort(x, kind="stable")
    new = np.append(True, np.diff(x[order]) > 0)
    drawn = np.add.reduceat(times[:, order], np.flatnonzero(new), axis=1)  # of each value
    ranks = np.cumsum(drawn, axis=1) - (drawn + len(x)) / 2
    level = np.empty(len(x), dtype=np.int64)
    level[order] = np.cumsum(new) - 1
    return ranks[:, level]


def _resampled_spearman(x: np.ndarray, y: np.ndarray, times: np.ndarray) -> np.ndarray:
    """rho of each resample (R,), from the centred ranks of both (R, N)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return (times * x * y).sum(-1) / np.sqrt((times * x * x).sum(-1) * (times * y * y).sum(-1))


def _resampled_kendall(x: np.ndarray, y: np.ndarray, times: np.ndarray) -> np.ndarray:
    """tau-b of each resample (R,): an architecture drawn c times weighs c in the sums over pairs of sign products."""
    signs_x, signs_y = np.sign(x[:, None] - x), np.sign(y[:, None] - y)  # (N, N)

    def over_pairs(matrix: np.ndarray) -> np.ndarray:
        return ((times @ matrix) * times).sum(-1)

    with np.errstate(invalid="ignore", divide="ignore"):
        untied = over_pairs(np.abs(signs_x)) * over_pairs(np.abs(signs_y))
        return over_pairs(signs_x * signs_y) / np.sqrt(untied)
