"""Figure of a hall of fame: measured quality against the champion's rank (LPZero, figure 5), and fitness over time."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import rankdata

from fitness.evaluation import Split
from fitness.features.workshop import Progress, Workshop
from fitness.ranking import kendall, spearman
from gp.hall_file import HallDocument
from models.benchmarks.benchmark import Benchmark
from report.style import SERIES, blank, legend_below, style

__all__ = ["Landscape", "draw_hall", "landscape_of"]


@dataclass(frozen=True, eq=False)
class Landscape:
    """A formula's signed scores (N,) on a benchmark, nan where there are none; `split` is None for a benchmark of
    which its search saw nothing. `generations` are the lines of generations.jsonl, if they are at hand."""

    text: str
    sign: int
    scores: np.ndarray
    benchmark: Benchmark
    split: Split | None = None
    generations: Sequence[Mapping[str, Any]] = ()


def landscape_of(
    hall: HallDocument, benchmark: Benchmark, workshop: Workshop, journal: Path, progress: Progress | None = None
) -> Landscape:
    """Score the champion exactly on a benchmark of its own, with the fitness curve of `journal`, or on another one."""
    champion = hall.proxies[0]
    scores = champion.sign * workshop.exact_scores([champion.proxy], benchmark.architectures, progress)[0]
    generations = _generations(journal) if hall.case_of(benchmark) else ()
    return Landscape(champion.proxy.text, champion.sign, scores, benchmark, hall.seen.parted(benchmark), generations)


def _generations(path: Path) -> list[dict[str, Any]]:
    """Lines of a run's journal up to the first damaged one; empty if there is no journal."""
    lines: list[dict[str, Any]] = []
    if not path.is_file():
        return lines
    with suppress(ValueError, KeyError, TypeError, OSError, RecursionError), path.open(encoding="utf-8") as file:
        for text in file:
            line = json.loads(text)
            figures = {key: line[key] for key in ("best_fitness", "mean_fitness")}
            known = {key: None if value is None else float(value) for key, value in figures.items()}
            lines.append({"evaluations": int(line["evaluations"]), **known})
    return lines


def draw_hall(landscape: Landscape) -> Figure:
    """Draw measured quality against the rank by score, and the fitness curve beside it."""
    with style():
        figure = blank(4.2)
        panels = figure.subplots(1, 2 if landscape.generations else 1, squeeze=False)[0]
        _scatter(panels[0], landscape)
        if landscape.generations:
            _evolution(panels[1], landscape.generations)
        formula = "\n".join(textwrap.wrap(f"{landscape.sign:+d}  {landscape.text}", 96))
        figure.suptitle(f"{landscape.benchmark.name}: {formula}", fontsize=9.5)
        legend_below(figure, panels, 4)
    return figure


def _scatter(axis: Any, landscape: Landscape) -> None:
    benchmark, scores = landscape.benchmark, landscape.scores
    known = np.isfinite(scores)
    ranks = np.full(len(scores), np.nan)
    ranks[known] = rankdata(scores[known])
    parts = (
        {"all architectures": range(len(scores))}
        if landscape.split is None
        else {"held-out architectures": landscape.split.holdout, "search split": landscape.split.search}
    )
    looks = (
        {"marker": "o", "s": 16, "facecolor": "none", "edgecolor": "0.45", "linewidth": 0.8},
        {"marker": "^", "s": 26, "facecolor": "black", "edgecolor": "white", "linewidth": 0.5, "zorder": 3},
    )
    for (name, part), look in zip(parts.items(), looks, strict=False):
        chosen = np.array(part, dtype=int)
        axis.scatter(ranks[chosen], benchmark.ground_truth[chosen], label=name, **look)
    judged = np.array(parts.get("held-out architectures", range(len(scores))), dtype=int)
    judged = judged[known[judged]]
    figures = ""
    if len(judged) > 2 and np.ptp(scores[judged]) > 0:
        x, y = scores[judged], benchmark.quality[judged]
        what = "held-out: " if landscape.split else ""
        figures = f"\n{what}rho {spearman(x, y):.3f}, tau-b {kendall(x, y):.3f}, n = {len(judged)}"
    axis.set_xlabel(f"rank by the formula's score (1 = worst of {int(known.sum())})")
    better = "higher" if benchmark.higher_is_better else "lower"
    axis.set_ylabel(f"measured {benchmark.metric} ({better} is better)")
    axis.set_title(f"ranking{figures}", loc="left")
    axis.grid(color="0.93")


def _evolution(axis: Any, generations: Sequence[Mapping[str, Any]]) -> None:
    evaluations = [line["evaluations"] for line in generations]
    for name, label, ink in (
        ("best_fitness", "best so far", SERIES[0]),
        ("mean_fitness", "mean of the population", SERIES[1]),
    ):
        values = np.array([np.nan if line[name] is None else line[name] for line in generations], dtype=float)
        places = slice(0 if ink is SERIES[0] else len(values) // 16, None, max(1, len(values) // 8))
        axis.plot(
            evaluations,
            values,
            color=ink.color,
            linestyle=ink.line,
            marker=ink.marker,
            markevery=places,
            markersize=5,
            markerfacecolor=ink.face,
            linewidth=1.4,
            label=label,
        )
    axis.set_xlabel("evaluations (formulas)")
    axis.set_ylabel("fitness: correlation on the search split")
    axis.set_title("evolution\n", loc="left")
    axis.grid(color="0.93")
