"""The search against general symbolic regression on the same branch table, labels and seconds of one core.

    pip install -r bench/requirements-peers.txt
    python -m bench.science.peers --benchmark gpt2-mini [--seeds 42 43 44 45 46] [--teacher none auto] [--screen 0 500]

Every seed draws its own search split. The libraries get what sweeps compare, every single branch of the space as a
standardised column, and as many seconds as our search took on the same columns. Features are ready before the clock
starts; those of a pool have a price of their own. Where cross-validation chooses the
teacher, the libraries get the columns of the pool and the teacher's target as well. Every champion is chosen by sketch
scores on the split and judged by exact scores of its formula, or of the branches of its tree, on held-out networks.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from bench.science.symbolic import SEARCHERS, Setting, Task, missing, screened, standardised
from fitness.evaluation import Split, split_groups
from fitness.features.workshop import Workshop
from fitness.ranking import kendall
from fitness.tables.table_file import branch_table
from gp.benchmark_search import PreparedSearch
from gp.config import SearchConfig
from gp.problem import SearchProblem
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark
from primitives.proxy import Proxy

SETTINGS: dict[str, Any] = {}  # of the search, beside seed and teacher
OURS = "this search"


@dataclass(frozen=True, eq=False)
class Champion:
    """The best formula of a search: the formulas that it reads, its score (N,) from theirs (P, N), the formulas that
    were compared, and the seconds of one core for the search and for the features of a pool."""

    row: str
    teacher: str
    seed: int
    split: Split
    parts: tuple[Proxy, ...]
    score: Callable[[np.ndarray], np.ndarray]
    compared: int
    seconds: float
    features: float
    text: str


@dataclass(frozen=True, eq=False)
class Ready:
    """A prepared search, and the seconds that preparing and the features of a pool took."""

    prepared: PreparedSearch
    seconds: float
    features: float

    @classmethod
    def of(cls, problem: SearchProblem, config: SearchConfig) -> Ready:
        """The search of the kind of formula that cross-validation chooses."""
        start, features = time.process_time(), 0.0

        def distilled(problem: SearchProblem) -> SearchProblem:
            nonlocal features
            before = time.process_time()
            if problem.lesson:
                problem.lesson.sound()
            features = time.process_time() - before
            return problem.distilled()

        prepared = PreparedSearch.of(problem, config, distilled=distilled)
        return cls(prepared, time.process_time() - start - features, features)


def searched(ready: Ready, config: SearchConfig, split: Split) -> Champion:
    """The champion of our search."""
    start = time.process_time()
    state = ready.prepared.evolve().state
    best, seconds = state.hall.best, ready.seconds + time.process_time() - start
    if best is None:
        raise SystemExit(f"seed {config.seed}: no valid formula")
    return Champion(
        OURS, config.teacher, config.seed, split, (best.proxy,), lambda rows: best.sign * rows[0],
        state.evaluations, seconds, ready.features, f"{best.sign:+d} {best.proxy}",
    )  # fmt: skip


def regressed(prepared: PreparedSearch, library: str, setting: Setting, ours: Champion) -> Champion:
    """The champion of a library on what our search searched, in the seconds of `ours`."""
    problem, sweeper = prepared.problem, prepared.sweeper
    if sweeper is None:
        raise SystemExit("wanted a search that sweeps branches")
    places = screened(sweeper.singles.values, problem.target.values, setting.screen)
    values = sweeper.singles.values[places]
    ranks = stats.rankdata(problem.target.values)
    target = (ranks - ranks.mean()) / ranks.std()
    tree = SEARCHERS[library](Task(standardised(values, values).T, target, ours.seconds, ours.seed), setting)
    used = np.array(tree.places, dtype=int)

    def score(rows: np.ndarray) -> np.ndarray:
        columns = np.zeros((rows.shape[-1], len(values)))
        columns[:, used] = standardised(rows, values[used]).T
        return tree.predict(columns)

    parts = tuple(sweeper.singles.proxies[place] for place in places[used])
    names = "; ".join(f"X{place + 1} = {part}" for place, part in zip(used, parts, strict=True))
    return Champion(
        named(library, setting), ours.teacher, ours.seed, ours.split, parts, score, tree.trees, tree.seconds,
        ours.features, f"{tree.text} with {names}",
    )  # fmt: skip


def champions_of(benchmark: Benchmark, workshop: Workshop, o: argparse.Namespace, seed: int) -> list[Champion]:
    """The champions of one seed by each search, with and without a teacher; the same ones where none is chosen."""
    split, found = split_groups(benchmark.groups, o.labels, seed), list[Champion]()
    for teacher in sorted(o.teacher, key="none".__ne__):
        config = SearchConfig(seed=seed, teacher=teacher, **SETTINGS)
        ready = Ready.of(SearchProblem.open(benchmark, split.search, workshop, config), config)
        plain = [c for c in found if c.teacher == "none"]
        if plain and not ready.prepared.problem.distils:
            found += [replace(c, teacher=teacher) for c in plain]
            continue
        ours = searched(ready, config, split)
        found.append(ours)
        for library, setting in asked(o):
            given = replace(ours, seconds=ours.seconds if o.seconds is None else o.seconds)
            found.append(regressed(ready.prepared, library, setting, given))
            print(f"  {benchmark.name} {seed} {teacher}: {found[-1].row}", file=sys.stderr, flush=True)
    return found


def asked(o: argparse.Namespace) -> list[tuple[str, Setting]]:
    """Every library with every setting that it reads."""
    settings = [Setting(s, length, steps, o.parsimony) for s in o.screen for length in o.length for steps in o.steps]
    plain = [Setting(s, parsimony=o.parsimony) for s in o.screen]
    return [(name, each) for name in o.libraries for each in (settings if name == "operon" else plain)]


def named(library: str, setting: Setting) -> str:
    """The name of a row."""
    columns = f"{setting.screen} columns" if setting.screen else "all columns"
    if library == "gplearn":
        return f"gplearn, {columns}"
    return f"Operon, {setting.length} nodes{f', {setting.steps} steps' if setting.steps else ''}, {columns}"


def judged(found: Sequence[Champion], benchmark: Benchmark, workshop: Workshop, sketch: bool) -> list[dict[str, Any]]:
    """A record of each champion, with tau-b on the split and on held-out architectures."""
    parts = list(dict.fromkeys(part for champion in found for part in champion.parts))
    architectures = benchmark.architectures
    table = branch_table(architectures, workshop).scores(parts) if sketch else None
    scores = workshop.exact_scores(parts, architectures) if table is None else table
    place = {part: at for at, part in enumerate(parts)}
    records = []
    for c in found:
        worth = c.score(scores[[place[part] for part in c.parts]])
        records.append(
            {
                "benchmark": benchmark.name, "row": c.row, "teacher": c.teacher, "seed": c.seed, "text": c.text,
                "formulas_per_second": c.compared / c.seconds, "seconds": c.seconds, "pool_seconds": c.features,
                "split": tau(worth, benchmark.quality, c.split.search),
                "held": tau(worth, benchmark.quality, c.split.holdout), "held_out": len(c.split.holdout),
            }
        )  # fmt: skip
    return records


def tau(worth: np.ndarray, quality: np.ndarray, places: Sequence[int]) -> float:
    """Tau-b at these places; 0 for scores that are constant or not finite there."""
    own = worth[list(places)]
    return kendall(own, quality[list(places)]) if np.isfinite(own).all() and np.ptp(own) > 0 else 0.0


def show(records: Sequence[dict[str, Any]]) -> None:
    """Medians over seeds, and what our search has more than each library on the same seeds."""
    for teacher in dict.fromkeys(r["teacher"] for r in records):
        own = [r for r in records if r["teacher"] == teacher]
        best = np.array([r["held"] for r in own if r["row"] == OURS])
        print(f"{own[0]['benchmark']}, {own[0]['held_out']} held out, {len(best)} seeds, teacher {teacher}")
        for row in dict.fromkeys(r["row"] for r in own):
            rows = [r for r in own if r["row"] == row]
            middle = {key: float(np.median([r[key] for r in rows])) for key in NUMBERS}
            held = np.array([r["held"] for r in rows])
            more = best - held
            wins = f"  ours - it {np.median(more):+.3f}, higher on {int((more > 0).sum())}" if row != OURS else ""
            print(
                f"  {row:32}{middle['formulas_per_second']:11,.0f} a second {middle['seconds']:6.1f} s (pool "
                f"{middle['pool_seconds']:.1f})  split {middle['split']:.3f}  held-out {middle['held']:.3f} "
                f"({held.min():.3f} to {held.max():.3f}){wins}",
                flush=True,
            )


NUMBERS = ("formulas_per_second", "seconds", "pool_seconds", "split", "held")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", nargs="+", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44, 45, 46])
    parser.add_argument("--labels", type=int, default=50)
    parser.add_argument("--libraries", choices=list(SEARCHERS), nargs="+", default=list(SEARCHERS))
    parser.add_argument("--teacher", choices=("none", "auto", "always"), nargs="+", default=["none", "auto"])
    parser.add_argument("--screen", type=int, nargs="+", default=[0], help="columns that are left; 0: all")
    parser.add_argument("--length", type=int, nargs="+", default=[9], help="nodes of an Operon tree")
    parser.add_argument("--steps", type=int, nargs="+", default=[0], help="of Operon's local search of constants")
    parser.add_argument("--parsimony", type=float, default=0.001, help="gplearn's price of a node")
    parser.add_argument("--seconds", type=float, help="of each library; as many as our search by default")
    parser.add_argument("--sketch", action="store_true", help="judge by sketch scores, to be quick")
    parser.add_argument("--bank", type=Path, default=Path(".cache/bank"))
    parser.add_argument("--json", type=Path, help="write every row there as well")
    o = parser.parse_args()
    if absent := missing(o.libraries):
        return print(absent)
    everything = []
    for name in o.benchmark:
        benchmark = load_benchmark(name)
        workshop = Workshop.open(benchmark.space, bank=o.bank)
        found = [champion for seed in o.seeds for champion in champions_of(benchmark, workshop, o, seed)]
        records = judged(found, benchmark, workshop, o.sketch)
        show(records)
        everything += records
    if o.json:
        o.json.write_text(json.dumps(everything, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
