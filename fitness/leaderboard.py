"""The leaderboard: hand-made, naive, fitted and evolved proxies in one table, on the same networks with the same
statistics.

The sign of a proxy is fixed on the search split; every proxy that fails is a row with its reason. A proxy that has no
value on one architecture has no rank there, so it has no figures.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fitness.evaluation import Evaluation, Split
from fitness.features.figures import Figure, formula_costs, formula_scores
from fitness.features.workshop import Progress, Workshop
from fitness.predictors.rivals import RIVALS, rival_scores
from fitness.protocol import inside_groups, near_pairs, report
from fitness.ranking import kendall, paired_p_value, spearman
from fitness.regret import regrets
from fitness.zoo import ZOO
from fitness.zoo.measuring import hand_made_figures
from fitness.zoo.naive import NAIVE, naive_scores
from models.benchmarks.benchmark import Benchmark
from primitives.invalid import Invalid

__all__ = ["Champion", "Contender", "contenders", "leaderboard", "rival_contenders"]

Champion = tuple[str, Evaluation, Split | None]
"""A formula of a hall of fame by name, with the split it was evolved on if that is known here."""


@dataclass(frozen=True, eq=False)
class Contender:
    """Scores (N,), nan where there are none with the first `reason`; `seconds` per architecture. `sign` and `split`
    are None where the table decides them."""

    name: str
    kind: str  # "hand-made", "naive", "fitted" or "evolved"
    formula: str
    scores: np.ndarray
    reason: str
    seconds: float
    source: str = ""
    sign: int | None = None
    split: Split | None = None


def contenders(
    benchmark: Benchmark, workshop: Workshop, evolved: Sequence[Champion] = (), progress: Progress | None = None
) -> list[Contender]:
    """Every hand-made proxy, every naive baseline and the given champions, measured in one visit per network."""
    texts = [formula.proxy.text for _, formula, _ in evolved]
    wanted = hand_made_figures(tuple(ZOO)), formula_scores(texts), formula_costs(texts)
    workshop.visit(wanted, benchmark.architectures, progress)
    hand_made, scores, costs = ([w.needed(workshop.bank, a) for a in benchmark.architectures] for w in wanted)
    result = [
        Contender(p.name, "hand-made", p.formula, *_column(hand_made, p.name), _seconds(hand_made, p.name), p.source)
        for p in ZOO.values()
    ]
    for name, (what, _) in NAIVE.items():
        start = time.perf_counter()
        counts = naive_scores(name, benchmark.architectures, workshop.bank.key.build)
        spent = (time.perf_counter() - start) / len(benchmark)
        result.append(Contender(name, "naive", what, counts, "", spent))
    for name, formula, split in evolved:
        column, seconds = _column(scores, formula.proxy.text), _seconds(costs, formula.proxy.text)
        result.append(Contender(name, "evolved", formula.proxy.text, *column, seconds, sign=formula.sign, split=split))
    return result


def rival_contenders(benchmark: Benchmark, split: Split, build: str | None) -> list[Contender]:
    """Rows of the regressions fitted to the labels of the search split; the time is that of fitting all of them."""
    start = time.perf_counter()
    found = rival_scores(benchmark, split, build)
    spent = (time.perf_counter() - start) / len(benchmark)
    return [Contender(name, "fitted", RIVALS[name][0], scores, "", spent, sign=1) for name, scores in found.items()]


def _column(measured: Sequence[Mapping[str, Figure]], name: str) -> tuple[np.ndarray, str]:
    """(scores (N,), why some have no value)."""
    column = [figures[name] for figures in measured]
    missing = [figure.reason for figure in column if figure.value is None]
    reason = f"no value on {len(missing)} of {len(column)} architectures: {missing[0]}" if missing else ""
    return np.array([np.nan if figure.value is None else figure.value for figure in column]), reason


def _seconds(measured: Sequence[Mapping[str, Figure]], name: str) -> float:
    return float(np.mean([figures[name].seconds or 0.0 for figures in measured]))


@dataclass(frozen=True, eq=False)
class _Ranked:
    """A contender on one split: its sign, and its scores (N,) multiplied with it; or the reason why it has none."""

    entry: Contender
    split: Split
    sign: int
    scores: np.ndarray
    reason: str

    @classmethod
    def create(cls, entry: Contender, benchmark: Benchmark, split: Split) -> _Ranked:
        seen = entry.scores[list(split.search)]
        reason = entry.reason
        if not reason and entry.scores.min() == entry.scores.max():
            reason = Invalid.CONSTANT.value
        if not reason and entry.sign is None and seen.min() == seen.max():
            reason = "the same score on the whole search split, so it has no sign"
        sign = entry.sign or 1
        if not reason and entry.sign is None:
            sign = 1 if spearman(seen, benchmark.quality[list(split.search)]) >= 0 else -1
        return cls(entry, split, sign, sign * entry.scores, reason)

    def holdout(self, benchmark: Benchmark) -> tuple[np.ndarray, np.ndarray]:
        """(scores, quality) of the held-out architectures."""
        chosen = list(self.split.holdout)
        return self.scores[chosen], benchmark.quality[chosen]


def leaderboard(entries: Sequence[Contender], benchmark: Benchmark, split: Split) -> list[dict[str, Any]]:
    """One row per contender, best held-out tau first, those without figures last.

    `p_value`: share of paired resamples of the held-out architectures in which the row does not rank better (tau-b)
    than the naive baseline that is best there, the `rival`; None for that baseline itself. A contender with a split
    of its own is measured on that one, against the baseline that is best on it.
    """
    rivals: dict[Split, _Ranked | None] = {}
    rows = []
    for entry in entries:
        ranked = _Ranked.create(entry, benchmark, entry.split or split)
        if ranked.split not in rivals:
            rivals[ranked.split] = _best_naive(entries, benchmark, ranked.split)
        rows.append(_row(ranked, rivals[ranked.split], benchmark, ranked.split == split))
    return sorted(rows, key=_order)


def _best_naive(entries: Sequence[Contender], benchmark: Benchmark, split: Split) -> _Ranked | None:
    naive = [_Ranked.create(entry, benchmark, split) for entry in entries if entry.kind == "naive"]
    return max((r for r in naive if not r.reason), key=lambda r: kendall(*r.holdout(benchmark)), default=None)


def _row(ranked: _Ranked, rival: _Ranked | None, benchmark: Benchmark, shared_split: bool) -> dict[str, Any]:
    entry, reason = ranked.entry, ranked.reason
    row: dict[str, Any] = {
        "name": entry.name,
        "kind": entry.kind,
        "formula": entry.formula,
        "source": entry.source,
        "sign": None if reason else ranked.sign,
        "seconds": round(entry.seconds, 6),
        "reason": reason or None,
        "shared_split": shared_split,
        "scores": None if reason else [float(x) for x in entry.scores],
        "split": None if shared_split else vars(ranked.split),
        "rival": None,
        "p_value": None,
    }
    if reason:
        return row
    inside = {k: v for k, v in inside_groups(ranked.scores, benchmark).items() if k.startswith("depth")}
    row |= report(ranked.scores, benchmark, ranked.split)
    row |= {"regret": regrets(ranked.scores, benchmark, ranked.split.holdout)}
    row |= {"inside": inside, "inside_depth": _inside_depth(inside), "near_pairs": near_pairs(ranked.scores, benchmark)}
    if rival is not None and rival.entry.name != entry.name:
        (x, y), (theirs, _) = ranked.holdout(benchmark), rival.holdout(benchmark)
        row |= {"rival": rival.entry.name, "p_value": paired_p_value(x, theirs, y, "kendall")}
    return row


def _inside_depth(inside: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Mean tau-b inside one depth, weighed by the size of the groups; a group that gets one score counts as 0."""
    sizes = [group["n"] for group in inside.values()]
    if not sizes:
        return None
    return round(float(np.average([group["kendall"] or 0.0 for group in inside.values()], weights=sizes)), 6)


def _order(row: Mapping[str, Any]) -> tuple[bool, float, str]:
    tau = (row.get("holdout") or {}).get("kendall")
    return tau is None, -(tau or 0.0), row["name"]
