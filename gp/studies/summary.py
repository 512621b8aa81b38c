"""Statistics of a study: what its trials say together. A mean stands with its 95% interval over seeds (Student's t),
and a difference between settings is taken seed by seed, because a seed's split is the same for all settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

__all__ = ["LEVELS", "levels", "mean_interval", "rejections", "step_curve", "summarise", "transfers", "wins"]

Record = Mapping[str, Any]

COUNT = "best fixed count"
LEVELS = (0.9, 0.95, 0.98, 0.99, 1.0)  # shares of the best fitness that any setting found with the same seed


def mean_interval(values: Sequence[float | None]) -> dict[str, Any]:
    """{n, mean, low, high} of the values that exist; no interval for fewer than two, no mean for none."""
    known = np.array([v for v in values if v is not None], dtype=float)
    mean = float(known.mean()) if len(known) else None
    if mean is None or len(known) < 2:
        return {"n": len(known), "mean": mean, "low": None, "high": None}
    half = float(stats.t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known)))
    return {"n": len(known), "mean": mean, "low": mean - half, "high": mean + half}


def wins(values: Mapping[str, Sequence[float | None]]) -> dict[str, dict[str, float]]:
    """Per label `best`, the share of seeds in which it has the largest value, and `pairs`, the share of comparisons
    with another label on the same seed that it wins. Equals share a win; no value loses against every value."""
    labels = list(values)
    table = np.array([[-np.inf if v is None else v for v in values[label]] for label in labels])  # (labels, seeds)
    leads = table == table.max(0)
    best = (leads / leads.sum(0)).mean(1)
    result = {}
    for place, label in enumerate(labels):
        others = np.delete(table, place, axis=0)
        won = (table[place] > others) + 0.5 * (table[place] == others)
        result[label] = {"best": float(best[place]), "pairs": float(won.mean()) if len(others) else 1.0}
    return result


def step_curve(curve: Sequence[Record], name: str, grid: Sequence[int]) -> np.ndarray:
    """The value `name` of the champion after each number of evaluations in `grid`; nan before there was one."""
    at = np.searchsorted([point["evaluations"] for point in curve], grid, side="right") - 1
    values = np.array([np.nan if point[name] is None else point[name] for point in curve] + [np.nan])
    return values[at]


def summarise(records: Sequence[Record], reference: str) -> list[dict[str, Any]]:
    """One row per setting: `best` (fitness on the search split), held-out `spearman` and `kendall` of the champion,
    seconds, each a mean with interval; wins on both; and the paired difference of best and held-out spearman to the
    setting `reference` (None where it is missing, or is the row itself)."""
    groups = _by_label(records)
    finals = {
        name: {label: [_final(r, name) for r in group] for label, group in groups.items()}
        for name in ("fitness", "holdout_spearman", "holdout_kendall")
    }
    best, held = wins(finals["fitness"]), wins(finals["holdout_spearman"])
    rows = []
    for label, group in groups.items():
        row: dict[str, Any] = {"setting": label, "seeds": len(group)}
        row["best"] = mean_interval(finals["fitness"][label])
        for name in ("spearman", "kendall"):
            row[f"holdout_{name}"] = mean_interval(finals[f"holdout_{name}"][label])
        row |= {"wins_search": best[label], "wins_holdout": held[label]}
        row["evaluations"] = float(np.mean([r["evaluations"] for r in group]))
        row["seconds"] = mean_interval([r["seconds"] for r in group])
        for name, key in (("fitness", "best"), ("holdout_spearman", "holdout_spearman")):
            known = label != reference and reference in finals[name]
            row[f"difference_{key}"] = _difference(finals[name][label], finals[name][reference]) if known else None
        rows.append(row)
    return rows


def levels(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Evaluations and seconds needed to reach a share of the best fitness of any setting with the same seed.

    Per share and setting: how many seeds reached it, and the medians over all seeds of the evaluations and the seconds
    it took; None where half of the seeds or more did not.
    """
    groups = _by_label(records)
    top: dict[int, float] = {}
    for record in records:
        top[record["seed"]] = max(top.get(record["seed"], 0.0), _final(record, "fitness") or 0.0)
    rows = []
    for share in LEVELS:
        for label, group in groups.items():
            reached = [_reach(r["curve"], share * top[r["seed"]]) for r in group]
            row = {"level": share, "setting": label, "seeds": len(group)}
            row["reached"] = sum(point is not None for point in reached)
            for name in ("evaluations", "seconds"):
                middle = float(np.median([np.inf if p is None else p[name] for p in reached]))
                row[name] = middle if np.isfinite(middle) else None
            rows.append(row)
    return rows


def rejections(records: Sequence[Record]) -> dict[str, dict[str, float]]:
    """Mean count of rejections per search by setting and rule, the most frequent rule first."""
    result = {}
    for label, group in _by_label(records).items():
        total: Counter[str] = Counter()
        for record in group:
            total.update(record["rejections"])
        result[label] = {rule: count / len(group) for rule, count in total.most_common()}
    return result


def transfers(records: Sequence[Record]) -> list[dict[str, Any]]:
    """One row per setting and ranking of the study that leaves benchmarks out: tau-b `by` benchmark left out, its
    `mean` and its `worst` over these, and the `difference` of the mean to the best fixed count, each a mean with
    interval over seeds. What has no score counts 0."""
    rows = []
    for label, group in _by_label(records).items():
        names, seeds = (list(dict.fromkeys(r[key] for r in group)) for key in ("left_out", "seed"))
        tables = {
            who: np.array([[_tau(group, who, name, seed) for name in names] for seed in seeds])
            for who in dict.fromkeys(who for r in group for who in r["tau"])
        }
        for who, table in tables.items():
            known = who != COUNT and COUNT in tables
            rows.append(
                {
                    "setting": label,
                    "who": who,
                    "seeds": len(seeds),
                    "by": {name: mean_interval(table[:, place].tolist()) for place, name in enumerate(names)},
                    "mean": mean_interval(table.mean(1).tolist()),
                    "worst": mean_interval(table.min(1).tolist()),
                    "difference": mean_interval((table - tables[COUNT]).mean(1).tolist()) if known else None,
                }
            )
    return rows


def _tau(group: Sequence[Record], who: str, name: str, seed: int) -> float:
    return next((r["tau"].get(who) or 0.0 for r in group if (r["left_out"], r["seed"]) == (name, seed)), 0.0)


def _by_label(records: Sequence[Record]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record["label"], []).append(record)
    return {label: sorted(group, key=lambda r: r["seed"]) for label, group in groups.items()}


def _final(record: Record, name: str) -> float | None:
    return record["curve"][-1][name] if record["curve"] else None


def _difference(values: Sequence[float | None], others: Sequence[float | None]) -> dict[str, Any]:
    pairs = zip(values, others, strict=True)
    return mean_interval([None if a is None or b is None else a - b for a, b in pairs])


def _reach(curve: Sequence[Record], level: float) -> Record | None:
    return next((point for point in curve if point["fitness"] >= level - 1e-12), None)
