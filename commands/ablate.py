"""ablate: the same search under several settings and seeds, as a table, a file and a figure."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.feature_options import WHERE, FeatureOptions, feature_options
from commands.live import live
from commands.loading import load_named
from commands.options import BENCHMARK, FORMAT, METRIC, Name, examples
from commands.output import direction, emit, say, say_next
from commands.tables import Interval, Row

if TYPE_CHECKING:
    from gp.benchmark_search import Reporter
    from gp.studies.file import Finished
    from gp.studies.plan import Trial


def _studies() -> Iterable[str]:
    from gp.studies.plan import STUDIES

    return STUDIES


@click.command(epilog=examples("ablate --benchmark gpt2-mini --study pps --seeds 3"))
@BENCHMARK
@click.option("--study", type=Name(table=_studies), required=True, help="What is varied.")
@METRIC
@click.option("--seed", type=click.IntRange(0), default=42, show_default=True, help="The first one.")
@click.option("--seeds", type=click.IntRange(1, 100), default=5, show_default=True, help="How many, one split each.")
@click.option("--iterations", type=click.IntRange(0), help="Of each search (default: the study's own, 1000 or 6000).")
@click.option("--search-size", type=click.IntRange(10), default=50, show_default=True, help="Architectures it may see.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder (default: runs/STUDY-BENCHMARK-TIME).")
@click.option("--jobs", type=click.IntRange(1, 256), default=2, show_default=True, help="Processes.")
@FORMAT
@feature_options
def ablate(
    name: str, study: str, metric: str | None, seed: int, seeds: int, iterations: int | None, search_size: int,
    out: Path | None, jobs: int, form: str, features: FeatureOptions,
) -> None:  # fmt: skip
    """Repeat a search under several settings and seeds, and say what each setting contributes.

    \b
    search      evolution and random search, with and without PPS (LPZero, figure 6)
    pps         what the pruning rules save, in evaluations and seconds
    population  80, 100, 200 (figure 7)
    unary       1 to 5 unary operators in a branch (table 5)
    aggregate   mean, sum, both, all that there are
    inputs      those of the paper, and the extended ones
    objective   rho, tau-b, their mean
    kind        two branches, three, and the choice of coarse formulas
    sample      20 to 150 architectures to search on

    Held-out values are of sketch scores; the protocol with exact scores is that of evolve. An interrupted study goes
    on where it was when it is asked for again with the same --out.
    """
    from gp.studies.file import Finished
    from gp.studies.plan import STUDIES, plan
    from report import draw_study, save_figure, study_document
    from storage.files import dump_json, write_atomic

    benchmark = load_named(name, metric)
    path = _new_file(out, f"{study}-{Path(benchmark.name).stem}")
    workshop = features.open(benchmark.space)
    trials = plan(STUDIES[study], benchmark, workshop, range(seed, seed + seeds), iterations, search_size)
    start = time.monotonic()
    with live(0) as reporter, Finished.open(path.with_suffix(".trials.jsonl"), trials) as finished:
        records = _searched(trials, finished, jobs, path.parent, reporter)
        seconds = time.monotonic() - start
        document = study_document(STUDIES[study], benchmark, workshop, trials, records)
        document |= {"wall_seconds": round(seconds, 1), "jobs": jobs}
        write_atomic(path, dump_json(document, None))
        save_figure(draw_study(document), path.with_suffix(".png"))
        finished.remove()
    _show(document, form, f"{benchmark.name}: correlation with {direction(benchmark)}")
    say(f"{len(trials)} searches in {seconds:.1f} s; held-out values are of sketch scores")
    say(f"written: {path} and {path.with_suffix('.png')}")
    say_next("plot", path, "--out", "FIGURE.svg")


def _new_file(out: Path | None, stem: str) -> Path:
    """Where the document will lie; nothing may lie there yet."""
    path = (out or Path("runs") / f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}") / f"{stem}.json"
    if path.exists():
        raise click.UsageError(f"--out: {path} exists and is never overwritten; choose another folder, or move it away")
    return path


def _searched(
    trials: Sequence[Trial], finished: Finished, jobs: int, folder: Path, reporter: Reporter
) -> Sequence[Mapping[str, Any]]:
    """The records of all trials; what is done when the user interrupts is kept."""
    from gp.studies.trials import run_study

    if finished.records:
        say(f"{len(finished.records)} of {len(trials)} searches were done already")
    tell = _teller(len(trials), finished, reporter.should_stop)
    try:
        return run_study(trials, jobs, reporter.networks, tell, dict(finished.records))
    except KeyboardInterrupt:
        say(f"{len(finished.records)} of {len(trials)} searches are done and kept")
        given = ("name", "study", "metric", "seed", "seeds", "iterations", "search_size", "jobs", "form")
        say_next("ablate", "--out", folder, keep=(*given, *FEATURES, *WHERE))
        raise click.Abort from None


FEATURES = ("build", "batch", "seq_len", "corpus", "init_seed")


def _teller(
    total: int, finished: Finished, should_stop: Callable[[], bool]
) -> Callable[[Trial, Mapping[str, Any]], None]:
    """Keeps each search and says how it ended, and leaves between two of them when asked to."""

    def tell(trial: Trial, record: Mapping[str, Any]) -> None:
        finished.add(trial, record)
        done = len(finished.records)
        last = record["curve"][-1] if record["curve"] else {"fitness": None, "holdout_spearman": None}
        best, held = ("none" if last[k] is None else f"{last[k]:.4f}" for k in ("fitness", "holdout_spearman"))
        say(
            f"{done}/{total} {record['label']}, seed {record['seed']}: best {best}, held-out {held}, "
            f"{record['evaluations']} evaluations, {record['seconds']:.1f} s"
        )
        if should_stop():
            raise KeyboardInterrupt

    return tell


def _show(document: Mapping[str, Any], form: str, title: str) -> None:
    if form == "json":
        print(json.dumps(document, sort_keys=True, allow_nan=False))
        return
    if form == "csv":
        emit([_wide(row) for row in document["summary"]], form, "")
        return
    seeds = document["summary"][0]["seeds"]
    heading = f"{title}; study {document['study']}: {document['title']}; mean and 95% interval over {seeds} seeds"
    emit([_cells(row) for row in document["summary"]], form, heading)
    print(f"difference: to {document['reference']}, seed by seed; wins: share of seeds, pairs: of comparisons")
    if document["study"] in ("search", "pps"):
        print()
        rows = [_level(row) for row in document["levels"]]
        emit(rows, form, "to reach a share of the best fitness that any setting found with the same seed (medians)")
    if document["study"] == "pps":
        print()
        emit(_rules(document["rejections"]), form, "rejections by rule, mean of a search")


def _cells(row: Mapping[str, Any]) -> Row:
    """One line of the table."""
    cells: dict[str, Any] = {"setting": row["setting"]}
    for key, label in (
        ("best", "best fitness"), ("difference_best", "best, difference"), ("holdout_spearman", "held-out rho"),
        ("difference_holdout_spearman", "held-out rho, difference"), ("holdout_kendall", "held-out tau"),
    ):  # fmt: skip
        figures = row[key] or {"mean": None, "low": None}
        cells[label] = figures["mean"]
        cells[f"{label} ci95"] = None if figures["low"] is None else Interval(figures["low"], figures["high"])
    cells |= {"wins best": row["wins_search"]["best"], "wins held-out": row["wins_holdout"]["best"]}
    cells |= {"pairs held-out": row["wins_holdout"]["pairs"], "valid": f"{row['holdout_spearman']['n']}/{row['seeds']}"}
    return cells | {"evaluations": round(row["evaluations"]), "cpu s": row["seconds"]["mean"]}


def _wide(row: Mapping[str, Any]) -> Row:
    """The whole row with a column per number, for machines."""
    cells: dict[str, Any] = {}
    for name, value in row.items():
        if value is None and name.startswith("difference_"):
            value = dict.fromkeys(("n", "mean", "low", "high"))
        if isinstance(value, Mapping):
            cells |= {f"{name} {part}": number for part, number in value.items()}
        else:
            cells[name] = value
    return cells


def _level(row: Mapping[str, Any]) -> Row:
    return {
        "share": f"{row['level']:.0%}", "setting": row["setting"], "reached": f"{row['reached']}/{row['seeds']}",
        "evaluations": None if row["evaluations"] is None else round(row["evaluations"]), "cpu s": row["seconds"],
    }  # fmt: skip


def _rules(counts: Mapping[str, Mapping[str, float]]) -> list[Row]:
    return [
        {"setting": setting, "rule": rule, "count": f"{count:.1f}"}
        for setting, rules in counts.items()
        for rule, count in rules.items()
    ]
