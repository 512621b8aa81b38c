"""The protocol: what is reported of a score vector on search split, held-out and all architectures, and beside it
the naive baselines of the same run. Correlations are signed; the sign was fixed on the search split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fitness.evaluation import Split
from fitness.ranking import bootstrap_interval, kendall, spearman
from fitness.zoo.naive import NAIVE, naive_scores
from models.benchmarks.benchmark import Benchmark
from models.spaces import SPACES
from storage.errors import ZcpError

__all__ = [
    "Unrankable", "baselines", "check_rankable", "correlation", "inside_groups", "interval_note", "near_pairs",
    "report",
]  # fmt: skip

FEWEST = 3  # architectures that a correlation needs
FEW = 30  # architectures below which an interval is wide


class Unrankable(ZcpError, ValueError):
    """Architectures that nothing can be ranked on; the message says what would do."""


def check_rankable(benchmark: Benchmark, split: Split, least: int = 0) -> None:
    """Refuse, before any network is built, too few different architectures or equal labels on either side of the
    split; the benchmark itself was checked when it was read. A size of the split that would do is named if it leaves
    `least` architectures on both sides."""
    sizes = np.sort(np.unique(benchmark.groups, return_counts=True)[1])
    enough = max(int(sizes[-FEWEST:].sum()), least)  # of any groups, this many architectures hold three
    common = int(np.unique(benchmark.quality, return_counts=True)[1].max())
    most = len(benchmark) - enough
    for what, bad, would_do in (
        (f"fewer than {FEWEST} different architectures to search on", _kinds(benchmark, split.search) < FEWEST, enough),
        (f"fewer than {FEWEST} different architectures held out", _kinds(benchmark, split.holdout) < FEWEST, most),
        (f"the same {benchmark.metric} everywhere", len(set(benchmark.quality[list(split.search)])) < 2,
         max(common + int(sizes[-1]), enough)),
    ):  # fmt: skip
        if bad:
            hint = f"--search-size {would_do} would do" if enough <= would_do <= most else "add more different ones"
            raise Unrankable(f"{benchmark.name}: the search split has {what}; {hint}")


def _kinds(benchmark: Benchmark, chosen: Sequence[int]) -> int:
    return len(set(benchmark.groups[list(chosen)]))


def interval_note(count: int) -> str | None:
    """A sentence on the intervals of so few architectures; None where they are enough."""
    if count >= FEW:
        return None
    return f"the 95% intervals are wide: {count} architectures are held out, fewer than {FEW}"


def correlation(scores: np.ndarray, quality: np.ndarray, intervals: bool = True) -> dict[str, Any]:
    """{n, spearman, kendall (tau-b), kendall_a, ci95_...}; None where there is no ranking (too few architectures, or
    all equal); `invalid` counts the scores that are left out."""
    finite = np.isfinite(scores)
    x, y = scores[finite], quality[finite]
    empty: dict[str, Any] = {"n": len(x), "invalid": int((~finite).sum())}
    empty |= dict.fromkeys(("spearman", "kendall", "kendall_a"))
    if len(x) < 3 or x.max() == x.min() or y.max() == y.min():
        return empty
    measured = {"spearman": spearman(x, y), "kendall": kendall(x, y), "kendall_a": kendall(x, y, "a")}
    result = {**empty, **{name: _rounded(value) for name, value in measured.items()}}
    if intervals:
        for name in ("spearman", "kendall"):
            result[f"ci95_{name}"] = [_rounded(v) for v in bootstrap_interval(x, y, name, 400)]
    return result


def _rounded(value: float) -> float:
    return round(float(value), 6)


def report(scores: np.ndarray, benchmark: Benchmark, split: Split | None) -> dict[str, Any]:
    """The correlations of signed scores (N,) with quality: search, holdout (if there is a split) and all."""
    quality = benchmark.quality
    result = {"all": correlation(scores, quality)}
    if split is not None:
        for name in ("search", "holdout"):
            chosen = list(getattr(split, name))
            result[name] = correlation(scores[chosen], quality[chosen])
    return result


def baselines(
    benchmark: Benchmark, split: Split | None, build: str | None = None, detail: bool = False
) -> list[dict[str, Any]]:
    """One record per naive baseline, with the same correlations as a champion's; `detail` adds those inside groups."""
    records = []
    for name in NAIVE:
        scores = naive_scores(name, benchmark.architectures, build)
        record = {"name": name, **report(scores, benchmark, split)}
        if detail:
            record |= {"inside": inside_groups(scores, benchmark), "near_pairs": near_pairs(scores, benchmark)}
        records.append(record)
    return records


def inside_groups(scores: np.ndarray, benchmark: Benchmark) -> dict[str, dict[str, Any]]:
    """Correlations inside each depth and each width that has at least 10 architectures."""
    shapes = np.array([SPACES[a.space].shape(a) for a in benchmark.architectures])
    result = {}
    for place, name in enumerate(("depth", "width")):
        for value in np.unique(shapes[:, place]):
            chosen = shapes[:, place] == value
            if 10 <= chosen.sum() < len(chosen):
                result[f"{name} {value}"] = correlation(scores[chosen], benchmark.quality[chosen], intervals=False)
    return result


def near_pairs(
    scores: np.ndarray, benchmark: Benchmark, chosen: Sequence[int] | None = None, share: float = 0.1
) -> dict[str, Any]:
    """Kendall's tau (ties count 0) over pairs whose #params differ by at most `share` of the larger."""
    indices = np.arange(len(scores)) if chosen is None else np.array(chosen)
    sizes = naive_scores("#params", [benchmark.architectures[i] for i in indices])
    x, y = scores[indices], benchmark.quality[indices]
    i, j = np.triu_indices(len(indices), 1)
    near = np.abs(sizes[i] - sizes[j]) <= share * np.maximum(sizes[i], sizes[j])
    near &= (y[i] != y[j]) & np.isfinite(x[i]) & np.isfinite(x[j])
    if not near.any():
        return {"pairs": 0, "kendall": None}
    agreement = np.sign(x[i] - x[j])[near] * np.sign(y[i] - y[j])[near]
    return {"pairs": int(near.sum()), "kendall": _rounded(agreement.mean())}
