"""Variants of the search in the place of the default: an ablation of its parts, and LPZero's figure 6 again.

    python -m bench.variant_study --out FILE.jsonl [--benchmark gpt2-mini ...] [--seeds 42 ... 46] [--only NAME ...]
    python -m bench.variant_study --out FILE.jsonl --table
    python -m bench.variant_study --out FILE.jsonl --plot FILE.png

Sketch scores; every search of a benchmark and seed has the same split and the same choice between fine and coarse
formulas. The file is resumed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from bench.variants import Knowing
from fitness.evaluation import Evaluation, split_groups
from fitness.features.workshop import Workshop
from fitness.predictors.predictor import Predictor, Provenance
from fitness.ranking import kendall, spearman
from fitness.tables.table_file import branch_table
from gp.benchmark_search import PreparedSearch
from gp.config import PRESETS, SearchConfig
from gp.evolution.algorithms import ALGORITHMS
from gp.evolution.algorithms.memetic import Memetic
from gp.evolution.evolve import SearchResult, Step, Stop
from gp.lineage import ancestry, is_crossed
from gp.problem import SearchProblem
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark
from report.style import SERIES, blank, legend_below, save_figure, style

BENCHMARKS = ("gpt2-wt103", "gpt2-mini", "flexibert-glue")


@dataclass(frozen=True)
class Variant:
    """Changes to the settings; `seconds`: the search ends after as long as the default of its seed took; `fitted`: a
    predictor is fitted to the hall, to see what its formulas add to numbers of the configuration."""

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    seconds: bool = False
    fitted: bool = False


LONG = 10_000_000
ALONE = {"crossover": 0.0, "mutation": 1.0, "brood": 1}
RANDOM = {"algorithm": "random", "population": 200}
VARIANTS = [
    Variant("memetic", fitted=True),
    Variant("memetic, 12,000 formulas", {"iterations": 12_000}),
    Variant("random, equal formulas", {**RANDOM, "iterations": 6400}),
    Variant("random, equal seconds", {**RANDOM, "iterations": LONG}, seconds=True),
    Variant("sweeps alone, equal formulas", ALONE),
    Variant("sweeps alone, equal seconds", {**ALONE, "iterations": LONG}, seconds=True),
    Variant("without sweeps, equal formulas", {"sweeps": 0}),
    Variant("without sweeps, equal seconds", {"sweeps": 0, "iterations": LONG, "brood": 600}, seconds=True),
    Variant("without crossover", {"crossover": 0.0, "mutation": 1.0}),
    Variant("without PPS", {"pps": False}),
    Variant("two branches", {"branches": 2}),
    Variant("as published", {**PRESETS["lpzero"], "iterations": 1000}),
    *(
        Variant(name, {"algorithm": name})
        for name in (
            "islands", "lexicase", "age-fitness", "fitness and complexity", "fitness and worst fold", "restarts",
            "adaptive", "seeded", "parsimony", "alike survive",
        )
    ),
    Variant("constants", {"constants": True}, fitted=True),
    Variant("objective partial", {"objective": "partial"}, fitted=True),
    Variant("objective joint", {"objective": "joint"}, fitted=True),
]  # fmt: skip


@dataclass
class Bench:
    """A benchmark and a seed: what the searches on it share is made once."""

    benchmark: Benchmark
    workshop: Workshop
    seed: int
    prepared: dict[str, PreparedSearch] = field(default_factory=dict)

    def prepare(self, config: SearchConfig) -> PreparedSearch:
        """The problem and the choice between fine and coarse formulas, by the default's settings where they decide."""
        key = f"{config.pps} {config.constants} {config.objective} {config.inputs} {config.aggregates}"
        if key not in self.prepared:
            split = split_groups(self.benchmark.groups, 50, self.seed)
            problem = SearchProblem.open(self.benchmark, split.search, self.workshop, config)
            default = SearchConfig(seed=self.seed)
            same = replace(default, pps=config.pps, constants=config.constants, objective=config.objective)
            self.prepared[key] = PreparedSearch.of(problem, same)
        return self.prepared[key]

    def tried(self, variant: Variant, seconds: float) -> dict[str, Any]:
        """One search and its figures; `curve` is (formulas, compared, seconds, best fitness) per generation."""
        changes = {**SearchConfig(seed=self.seed).to_dict(), **variant.changes}
        config = replace(SearchConfig.from_dict({**changes, "algorithm": "memetic"}), algorithm=changes["algorithm"])
        shared = self.prepare(config)
        swept = isinstance(ALGORITHMS[config.algorithm], Memetic)
        prepared = PreparedSearch(shared.problem, shared.sweeper if swept else None, config)
        Knowing.problem = shared.problem
        start, curve = time.process_time(), list[tuple[int, int, float, float]]()

        def note(step: Step) -> None:
            curve.append((step.iteration, step.evaluations, time.process_time() - start, step.best_fitness or 0.0))

        def late(step: Step) -> Stop | None:
            return Stop.TIME if variant.seconds and time.process_time() - start > seconds else None

        found = prepared.evolve(note, should_stop=late)
        spent = round(time.process_time() - start, 2)
        told = {"seconds": spent, "coarse": shared.problem.coarse > 0, "formulas": len(found.state.seen)}
        curve = curve[:: max(1, len(curve) // 40)]
        return told | figures(found, self.benchmark, self.workshop, self.seed, variant.fitted) | {"curve": curve}


def figures(found: SearchResult, benchmark: Benchmark, workshop: Workshop, seed: int, fitted: bool) -> dict[str, Any]:
    """Champion and committee of ten on the held-out architectures, by sketch scores."""
    halls = found.hall.champions[:10]
    split = split_groups(benchmark.groups, 50, seed)
    table = branch_table(benchmark.architectures, workshop)
    scores = table.scores([e.proxy for e in halls]) * np.array([[e.sign] for e in halls])
    held = list(split.holdout)
    quality, best = benchmark.quality[held], scores[0][held]
    committee = stats.rankdata(scores[np.isfinite(scores).all(-1)], axis=-1).mean(0)[held]
    lineage = ancestry(found.state.seen, [halls[0].proxy.without_constants().text])
    known = {"predictor": predicted(halls, scores, benchmark, seed)} if fitted else {}
    return known | {
        "fitness": halls[0].fitness, "rho": spearman(best, quality), "tau": kendall(best, quality),
        "committee rho": spearman(committee, quality), "committee tau": kendall(committee, quality),
        "crossed": is_crossed(lineage), "text": halls[0].proxy.text,
    }  # fmt: skip


def predicted(formulas: Sequence[Evaluation], scores: np.ndarray, benchmark: Benchmark, seed: int) -> dict[str, float]:
    """Held-out tau of the predictor with the formulas and without them; `scores` (F, N) with their sign."""
    split = split_groups(benchmark.groups, 50, seed)
    seen, held, unsigned = list(split.search), list(split.holdout), scores * [[e.sign] for e in formulas]
    metric = benchmark.metric, benchmark.higher_is_better
    provenance = Provenance(benchmark.space, None, benchmark.name, benchmark.digest, *metric, "", {})
    found = {}
    for kind in ("numbers", "numbers and committee"):
        predictor = Predictor.fit(benchmark, seen, provenance, formulas, unsigned[:, seen], kind)
        positions = predictor.predict(benchmark.architectures, unsigned[: len(predictor.formulas)]).positions
        found[kind] = kendall(positions[held], benchmark.quality[held])
    return found


def plot(path: Path, out: Path) -> None:
    """Best fitness over seconds of the searches that have as long as the default: medians and ranges over seeds."""
    rows = read(path)
    panels = [name for name in BENCHMARKS if any(key[0] == name for key in rows)]
    with style():
        figure = blank(3.4)
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, name in zip(axes, panels, strict=True):
            for variant, ink in zip(DRAWN, SERIES, strict=False):
                curves = [row["curve"] for (b, _, v), row in rows.items() if (b, v) == (name, variant)]
                if curves:
                    seconds = np.linspace(0.2, max(curve[-1][2] for curve in curves), 60)
                    levels = np.array([[_best_by(curve, t) for t in seconds] for curve in curves])
                    axis.fill_between(seconds, levels.min(0), levels.max(0), color=ink.color, alpha=0.15, linewidth=0)
                    axis.plot(seconds, np.median(levels, 0), color=ink.color, linestyle=ink.line, label=variant)
            axis.set_title(name)
            axis.set_xlabel("seconds of one core")
        axes[0].set_ylabel("best fitness on the search split")
        legend_below(figure, axes[:1], 2)
    save_figure(figure, out)


DRAWN = ("memetic", "without sweeps, equal seconds", "sweeps alone, equal seconds", "random, equal seconds")


def _best_by(curve: list[list[float]], second: float) -> float:
    """The best fitness until then; nothing before the first population."""
    known = [line[3] for line in curve if line[2] <= second]
    return known[-1] if known else float("nan")


def read(path: Path) -> dict[tuple[str, int, str], dict[str, Any]]:
    """What is done, by benchmark, seed and variant."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {(row["benchmark"], row["seed"], row["variant"]): row for row in map(json.loads, lines)}


def table(path: Path) -> None:
    """Medians over seeds, and paired differences to the default with their standard errors."""
    rows = read(path)
    for name in BENCHMARKS:
        seeds = sorted({seed for benchmark, seed, _ in rows if benchmark == name})
        if not seeds:
            continue
        print(f"\n| {name}, {len(seeds)} seeds | fitness | rho | tau | committee tau | tau against memetic | seconds |")
        print("|---|---|---|---|---|---|---|")
        for variant in VARIANTS:
            both = [(rows[name, s, variant.name], rows[name, s, "memetic"]) for s in seeds
                    if (name, s, variant.name) in rows and (name, s, "memetic") in rows]  # fmt: skip
            if both:
                print(_line(variant.name, both))


def _line(name: str, both: list[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    def middle(key: str) -> str:
        return f"{np.median([row[key] for row, _ in both]):.3f}"

    gain = np.array([row["tau"] - base["tau"] for row, base in both])
    error = gain.std(ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else float("nan")
    cells = [middle(key) for key in ("fitness", "rho", "tau", "committee tau")]
    return f"| {name} | {' | '.join(cells)} | {gain.mean():+.3f} ± {error:.3f} | {float(middle('seconds')):.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--benchmark", nargs="+", default=list(BENCHMARKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44, 45, 46])
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--bank", type=Path, default=Path(".cache/bank"))
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--plot", type=Path)
    o = parser.parse_args()
    if o.table or o.plot:
        return plot(o.out, o.plot) if o.plot else table(o.out)
    done = read(o.out)
    wanted = [v for v in VARIANTS if not o.only or v.name in o.only or v.name == "memetic"]
    for seed in o.seeds:
        for name in o.benchmark:
            benchmark = load_benchmark(name)
            bench = Bench(benchmark, Workshop.open(benchmark.space, bank=o.bank), seed)
            for variant in wanted:
                key = name, seed, variant.name
                if key in done:
                    continue
                base = done.get((name, seed, "memetic"), {}).get("seconds", 0.0)
                done[key] = dict(zip(("benchmark", "seed", "variant"), key, strict=True)) | bench.tried(variant, base)
                with o.out.open("a") as file:
                    file.write(json.dumps(done[key]) + "\n")


if __name__ == "__main__":
    main()
