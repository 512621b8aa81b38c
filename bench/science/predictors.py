"""Predictors, regressions and formulas on the same labels: held-out figures over seeds, and curves over label counts.

    python -m bench.science.predictors [--benchmark NAME ...] [--seeds 42 43 44 45 46] [--sketch]
    python -m bench.science.predictors --labels 20 30 50 100 --sketch --out docs

Every seed draws its own search split; its hall is searched once and kept (`bench.science.halls`). `numbers` is
the predictor without formulas, the ablation; `wins` counts the seeds on which the predictor has the larger tau. One
figure per benchmark is drawn where several label counts are asked for.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.science.halls import KeptHalls
from fitness.evaluation import Split
from fitness.features.workshop import Workshop
from fitness.predictors.figures import predictor_record
from fitness.predictors.predictor import Predictor, Provenance
from fitness.predictors.rivals import RIVALS, rival_scores
from fitness.protocol import correlation
from fitness.replay import mean_ranks
from fitness.tables.table_file import branch_table
from gp.hall_file import HallDocument
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark
from report.style import SERIES, SeriesStyle, blank, legend_below, save_figure, style

BENCHMARKS = ("gpt2-wt103", "gpt2-mini", "flexibert-glue")
LAST = SeriesStyle("#c08a00", "-", "X", "")


@dataclass(frozen=True, eq=False)
class Judged:
    """A hall with the scores (F, N) of its formulas, without their sign."""

    hall: HallDocument
    split: Split
    scores: np.ndarray


def judged(kept: KeptHalls, seeds: Sequence[int], sizes: Sequence[int]) -> dict[tuple[int, int], Judged]:
    """By labels and seed; all formulas are scored in one visit per network."""
    halls = {(size, seed): kept.hall(seed, size) for size in sizes for seed in seeds}
    proxies = list(dict.fromkeys(entry.proxy for hall in halls.values() for entry in hall.proxies))
    architectures = kept.benchmark.architectures
    if kept.sketch:
        rows = branch_table(architectures, kept.workshop).scores(proxies)
    else:
        rows = kept.workshop.exact_scores(proxies, architectures)
    known = dict(zip(proxies, rows, strict=True))
    result = {}
    for key, hall in halls.items():
        split = hall.seen.split(kept.benchmark)
        if split is not None:
            result[key] = Judged(hall, split, np.stack([known[entry.proxy] for entry in hall.proxies]))
    return result


def measured(found: Judged, benchmark: Benchmark) -> dict[str, dict[str, Any]]:
    """Held-out rho and tau by who ranks; of predictors the coverage as well."""
    held, formulas = list(found.split.holdout), [entry.formula for entry in found.hall.proxies]
    signed = found.scores * [[formula.sign] for formula in formulas]
    ranked = {"champion": signed[0], "committee": mean_ranks(signed), **rival_scores(benchmark, found.split)}
    rows = {name: correlation(values[held], benchmark.quality[held], False) for name, values in ranked.items()}
    for name, kind in (("predictor", None), ("numbers", "numbers")):
        predictor = fitted(found, benchmark, kind)
        record = predictor_record(predictor, benchmark, found.split, found.scores[: len(predictor.formulas)])
        rows[name] = {**record["holdout"], "coverage": record["coverage"], "kind": record["kind"]}
    return rows


def fitted(found: Judged, benchmark: Benchmark, kind: str | None) -> Predictor:
    seen = list(found.split.search)
    provenance = Provenance(
        benchmark.space, None, benchmark.name, benchmark.digest, benchmark.metric, benchmark.higher_is_better, "", {}
    )
    formulas = [entry.formula for entry in found.hall.proxies]
    return Predictor.fit(benchmark, seen, provenance, formulas, found.scores[:, seen], kind)


def show(name: str, size: int, rows: Sequence[dict[str, dict[str, Any]]]) -> None:
    """Medians and ranges over seeds."""
    kinds = sorted({row["predictor"]["kind"] for row in rows})
    print(f"\n{name}, {size} labels, {len(rows)} seeds; the predictor is: {', '.join(kinds)}")
    for who in ("predictor", "numbers", *RIVALS, "champion", "committee"):
        rho, tau = (np.array([row[who][s] or 0.0 for row in rows]) for s in ("spearman", "kendall"))
        ours = np.array([row["predictor"]["kendall"] for row in rows])
        wins = "" if who == "predictor" else f"  wins {int((ours > tau).sum())} of {len(rows)}"
        covered = [row[who]["coverage"] for row in rows if "coverage" in row[who]]
        cover = f"  coverage {np.median(covered):.3f} ({min(covered):.2f} to {max(covered):.2f})" if covered else ""
        print(
            f"  {who:17} rho {np.median(rho):.4f} ({rho.min():.3f} to {rho.max():.3f})"
            f"  tau {np.median(tau):.4f} ({tau.min():.3f} to {tau.max():.3f}){wins}{cover}",
            flush=True,
        )


def draw(name: str, curves: dict[int, list[dict[str, dict[str, Any]]]], path: Path) -> None:
    """Median held-out tau over the number of labels."""
    who = ("predictor", "numbers", "Gaussian process", "ridge", "random forest", "committee", "champion")
    with style():
        figure = blank(4.0)
        axis = figure.subplots()
        for place, (line, ink) in enumerate(zip(who, (*SERIES, LAST), strict=True)):
            taus = [np.median([row[line]["kendall"] or 0.0 for row in curves[size]]) for size in curves]
            axis.plot(list(curves), taus, color=ink.color, linestyle=ink.line, marker=ink.marker,
                      markerfacecolor=ink.face, linewidth=2.2 if place == 0 else 1.2, markersize=5,
                      label="predictor without formulas" if line == "numbers" else line)  # fmt: skip
        axis.set_xscale("log")
        axis.set_xticks(list(curves), [str(size) for size in curves])
        axis.minorticks_off()
        axis.set_xlabel("labels")
        axis.set_ylabel("held-out tau-b, median of 5 seeds")
        axis.set_title(name, loc="left")
        axis.grid(color="0.93")
        legend_below(figure, [axis], 4)
        save_figure(figure, path)


@dataclass(frozen=True)
class Asked:
    """Settings of the measurement and the folder of its figures."""

    benchmarks: Sequence[str]
    seeds: Sequence[int]
    labels: Sequence[int]
    sketch: bool
    bank: Path
    figures: Path | None = None
    json: Path | None = None


def run(o: Asked) -> None:
    """Every table, and the figures where there are several label counts."""
    everything = {}
    for name in o.benchmarks:
        benchmark = load_benchmark(name)
        kept = KeptHalls(benchmark, Workshop.open(benchmark.space, bank=o.bank), sketch=o.sketch)
        found = judged(kept, o.seeds, o.labels)
        curves = {size: [measured(found[size, seed], benchmark) for seed in o.seeds] for size in o.labels}
        for size, rows in curves.items():
            show(name, size, rows)
        everything[name] = curves
        if o.figures and len(o.labels) > 1:
            draw(name, curves, o.figures / f"labels-{name}.png")
    if o.json:
        o.json.write_text(json.dumps(everything, indent=1, allow_nan=False) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", nargs="+", default=list(BENCHMARKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44, 45, 46])
    parser.add_argument("--labels", type=int, nargs="+", default=[50])
    parser.add_argument("--sketch", action="store_true", help="sketch scores instead of exact ones, to be quick")
    parser.add_argument("--bank", type=Path, default=Path(".cache/bank"))
    parser.add_argument("--out", type=Path, help="folder of the figures, where there are several label counts")
    parser.add_argument("--json", type=Path, help="write every figure there as well")
    o = parser.parse_args()
    run(Asked(o.benchmark, o.seeds, o.labels, o.sketch, o.bank, o.out, o.json))


if __name__ == "__main__":
    main()
