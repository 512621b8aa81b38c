"""The protocol: what is reported of a score vector on search split, held-out and all architectures, and beside it
the naive baselines of the same run. Correlations are signed; the sign was fixed on the search split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fitness.evaluation import Split
from fitness.near_pairs import pairs_of_one_size
from fitness.ranking import bootstrap_interval, kendall, spearman
from fitness.zoo.naive import NAIVE, naive_scores
from models.benchmarks.benchmark import Benchmark
from models.spaces import SPACES
from storage.errors import CannotCompute

__all__ = [
    "ENOUGH",
    "Unrankable",
    "baselines",
    "check_rankable",
    "correlation",
    "inside_groups",
    "interval_note",
    "near_pairs",
    "report",
    "sizes_of",
    "within_budgets",
]

ENOUGH = 40  # labels of a search split, below which many formulas fit them alike
FEWEST = 3  # architectures that a correlation needs
FEW = 30  # architectures below which an interval is wide


class Unrankable(CannotCompute, ValueError):
    """Architectures that nothing can be ranked on; the message says what would do."""


def check_rankable(benchmark: Benchmark, split: Split, least: int = FEWEST) -> None:
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
        (
            f"the same {benchmark.metric} everywhere",
            len(set(benchmark.quality[list(split.search)])) < 2,
            max(common + int(sizes[-1]), enough),
        ),
    ):
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


def within_budgets(
    scores: np.ndarray, benchmark: Benchmark, places: Sequence[int] | None = None, intervals: bool = True
) -> dict[str, Any]:
    """Figures of the rows `places` of a benchmark (default: all), within each training budget and then averaged; with
    the number of `budgets` where there are several. Rows of one architecture are not independent, so an interval is the
    mean of those of the budgets and no narrower."""
    found = [correlation(scores[own], benchmark.quality[own], intervals) for own in benchmark.of_budgets(places)]
    if len(found) < 2:
        return found[0] if found else correlation(scores[:0], scores[:0], intervals)
    ranked = [each for each in found if each["kendall"] is not None]
    mean: dict[str, Any] = {"n": sum(each["n"] for each in found), "invalid": sum(each["invalid"] for each in found)}
    mean |= dict.fromkeys(("spearman", "kendall", "kendall_a")) | {"budgets": len(ranked)}
    for name in ranked[0] if ranked else ():
        if name not in ("n", "invalid"):
            value = np.mean([each[name] for each in ranked], axis=0)
            mean[name] = [_rounded(end) for end in value] if value.ndim else _rounded(value)
    return mean


def report(scores: np.ndarray, benchmark: Benchmark, split: Split | None) -> dict[str, Any]:
    """The correlations of signed scores (N,) with quality: search, holdout (if there is a split) and all."""
    result = {"all": within_budgets(scores, benchmark)}
    if split is not None:
        for name in ("search", "holdout"):
            result[name] = within_budgets(scores, benchmark, list(getattr(split, name)))
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
                places = np.flatnonzero(chosen).tolist()
                result[f"{name} {value}"] = within_budgets(scores, benchmark, places, intervals=False)
    return result


def near_pairs(
    scores: np.ndarray, benchmark: Benchmark, chosen: Sequence[int] | None = None, share: float = 0.1
) -> dict[str, Any]:
    """Kendall's tau (ties count 0) over pairs of one training budget whose sizes differ by at most `share` of the
    larger, and its standard error by a jackknife over architectures."""
    indices = np.arange(len(scores)) if chosen is None else np.array(chosen)
    indices = indices[np.isfinite(scores[indices])]
    found = pairs_of_one_size(
        scores[indices],
        benchmark.quality[indices],
        sizes_of(benchmark)[indices],
        benchmark.budgets[indices],
        benchmark.groups[indices],
        share,
    )
    if not found.count:
        return {"pairs": 0, "kendall": None}
    return {"pairs": found.count, "kendall": _rounded(found.tau), "error": _rounded_or_none(found.error)}


def sizes_of(benchmark: Benchmark) -> np.ndarray:
    """(N,) float64: what makes architectures of a benchmark one size: #params, or what its header says."""
    name = benchmark.header.get("size", "#params")
    return naive_scores(name if name in NAIVE else "#params", benchmark.architectures).astype(float)


def _rounded_or_none(value: float) -> float | None:
    return _rounded(value) if np.isfinite(value) else None
