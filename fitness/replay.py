"""Replay: saved formulas scored on any benchmark, with the naive baselines beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from scipy import stats

from fitness.evaluation import Split
from fitness.features.bank import SketchEntry
from fitness.features.workshop import Progress, Workshop
from fitness.protocol import inside_groups, near_pairs, report
from fitness.tables.branches import BranchTable
from fitness.tables.table_file import load_branches, table_path
from models.architecture import Architecture
from models.benchmarks.benchmark import Benchmark
from primitives.pps import violations
from primitives.proxy import Proxy

__all__ = [
    "Candidate", "ReplayRow", "branch_table", "committee", "mean_ranks", "replay", "sketch_scores", "stream_scores",
]  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """A formula and the sign its scores are multiplied with; `recorded` is what its file says of it."""

    proxy: Proxy
    sign: int = 1
    recorded: Mapping[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class ReplayRow:
    """One candidate on one benchmark: signed `scores` (N,), nan where there is none; correlations by part."""

    candidate: Candidate
    scores: np.ndarray
    correlations: Mapping[str, Any]
    inside: Mapping[str, Any]
    near: Mapping[str, Any]
    rules: tuple[str, ...]
    deviation: float | None  # largest |recorded - replayed| correlation, None if nothing was recorded

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "text": self.candidate.proxy.text,
            "sign": self.candidate.sign,
            **self.correlations,
            "inside": dict(self.inside),
            "near_pairs": dict(self.near),
            "pps": list(self.rules),
            "deviation": self.deviation,
        }


def sketch_scores(
    proxies: Sequence[Proxy],
    architectures: Sequence[Architecture],
    workshop: Workshop,
    progress: Progress | None = None,
) -> np.ndarray:
    """Scores (P, N) from sketches, which are made where they are missing; not finite where there is no score."""
    return branch_table(architectures, workshop, progress).scores(proxies)


def stream_scores(proxy: Proxy, entries: Iterable[SketchEntry], chunk: int = 64) -> Iterator[np.ndarray]:
    """Scores of a stream of sketches, `chunk` at a time: memory does not grow with their number."""
    waiting = iter(entries)
    while part := list(islice(waiting, chunk)):
        yield BranchTable(part).scores([proxy])[0]


def branch_table(
    architectures: Sequence[Architecture], workshop: Workshop, progress: Progress | None = None
) -> BranchTable:
    """The branch table of these architectures, after extracting what the bank lacks; with the branches that an
    earlier table of them has saved."""
    workshop.extract(architectures, progress)
    entries = [workshop.bank.load_sketch(a) for a in architectures]
    table = BranchTable([entry for entry in entries if entry is not None])
    load_branches(table, table_path(workshop.bank, architectures))
    return table


def replay(
    candidates: Sequence[Candidate],
    benchmark: Benchmark,
    workshop: Workshop,
    split: Split | None = None,
    sketch: bool = False,
    progress: Progress | None = None,
) -> list[ReplayRow]:
    """Score every candidate on every architecture and correlate with the measured quality.

    Exact by default; `sketch` uses the accelerator. `split` is given when the benchmark is the one searched on.
    """
    proxies = [candidate.proxy for candidate in candidates]
    scorer = sketch_scores if sketch else _exact_scores
    rows = scorer(proxies, benchmark.architectures, workshop, progress)
    return [
        _row(candidate, candidate.sign * scores, benchmark, split)
        for candidate, scores in zip(candidates, rows, strict=True)
    ]


def committee(rows: Sequence[ReplayRow], size: int, benchmark: Benchmark, split: Split | None = None) -> dict[str, Any]:
    """The first `size` candidates as one scorer: the mean of their ranks over the benchmark's architectures.

    Not a formula but several; an architecture that one of them cannot score has no score. The record is that of a
    naive baseline, by name.
    """
    chosen = rows[:size]
    scores = mean_ranks(np.stack([row.scores for row in chosen]))
    parts = {"inside": inside_groups(scores, benchmark), "near_pairs": near_pairs(scores, benchmark)}
    return {"name": f"committee of {len(chosen)}", **report(scores, benchmark, split), **parts}


def mean_ranks(scores: np.ndarray) -> np.ndarray:
    """What a committee says: the mean over its members, rows of `scores` (P, N), of an architecture's rank; (N,)."""
    return stats.rankdata(scores, axis=-1, nan_policy="omit").mean(0)


def _exact_scores(
    proxies: Sequence[Proxy], architectures: Sequence[Architecture], workshop: Workshop, progress: Progress | None
) -> np.ndarray:
    return workshop.exact_scores(proxies, architectures, progress)


def _row(candidate: Candidate, scores: np.ndarray, benchmark: Benchmark, split: Split | None) -> ReplayRow:
    correlations = report(scores, benchmark, split)
    return ReplayRow(
        candidate,
        scores,
        correlations,
        inside_groups(scores, benchmark),
        near_pairs(scores, benchmark),
        tuple(rule.name for rule in violations(candidate.proxy)),
        _deviation(candidate.recorded, correlations),
    )


def _deviation(recorded: Mapping[str, Any] | None, replayed: Mapping[str, Any]) -> float | None:
    if recorded is None:
        return None
    pairs = [
        ((recorded.get(part) or {}).get(name), replayed[part][name])
        for part in replayed
        for name in ("spearman", "kendall")
    ]
    differences = [abs(a - b) for a, b in pairs if a is not None and b is not None]
    return max(differences) if differences else None
