"""ablate: the same search under several settings and seeds, as a table, a file and a figure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.feature_options import WHERE, FeatureOptions, feature_options
from commands.live import live
from commands.loading import check_enough, load_different, load_named
from commands.names import Name, table_of
from commands.options import FORMAT, METRIC, examples, search_size
from commands.output import direction, say, say_next
from commands.study_tables import show

if TYPE_CHECKING:
    from gp.reporter import Reporter
    from gp.studies.file import Finished
    from gp.studies.plan import Trial
    from models.benchmarks.benchmark import Benchmark


_studies = table_of(
    "gp.studies.plan", "STUDIES", "search", "pps", "population", "unary", "aggregate", "inputs", "objective", "kind",
    "algorithm", "constants", "teacher", "transfer", "sample",
)  # fmt: skip


@click.command(
    epilog=examples(
        "ablate --benchmark gpt2-mini --study pps --seeds 3",
        "ablate --study transfer --benchmark gpt2-mini --benchmark llama-mini --benchmark llama-elastic",
    )
)
@click.option(
    "--benchmark",
    "names",
    metavar="NAME|PATH",
    multiple=True,
    required=True,
    help="Benchmark; the study transfer takes several and leaves out one at a time.",
)
@click.option("--study", type=Name(table=_studies), required=True, help="Study: which setting is varied.")
@METRIC
@click.option("--seed", type=click.IntRange(0), default=42, show_default=True, help="Random seed of the first split.")
@click.option(
    "--seeds", type=click.IntRange(1, 100), default=5, show_default=True, help="Number of seeds, one split each."
)
@click.option(
    "--iterations", type=click.IntRange(0), help="Iterations of each search (default: the study's own, 1000 or 6000)."
)
@search_size("Architectures in the search split.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder (default: runs/STUDY-BENCHMARK-TIME).")
@click.option("--jobs", type=click.IntRange(1, 256), default=2, show_default=True, help="Processes.")
@FORMAT
@feature_options
def ablate(
    names: tuple[str, ...],
    study: str,
    metric: str | None,
    seed: int,
    seeds: int,
    iterations: int | None,
    search_size: int,
    out: Path | None,
    jobs: int,
    form: str,
    features: FeatureOptions,
) -> None:
    """Repeat a search under several settings and seeds, and say what each setting contributes.

    \b
    search      evolution and random search, with and without PPS (LPZero, figure 6)
    pps         what the pruning rules save, in evaluations and seconds
    population  80, 100, 200 (figure 7)
    unary       1 to 5 unary operators in a branch (table 5)
    aggregate   mean, sum, both, all that there are
    inputs      those of the paper, the extended ones, sizes alone, and both
    objective   rho, tau-b, their mean
    kind        two branches, three, and the choice of coarse formulas
    teacher     pools of 50 to 400 networks without labels, 3, 6 and 8 branches
    sample      20 to 150 architectures to search on
    transfer    one formula for all benchmarks but one, tested on that one, beside fixed counts and proxies

    Held-out values are of sketch scores; the protocol with exact scores is that of evolve. An interrupted study goes
    on where it was when it is asked for again with the same --out.
    """
    from gp.studies.file import Finished
    from report import draw_study, save_figure
    from storage.files import dump_json, write_atomic

    benchmarks = _asked(names, study, metric)
    called = f"{len(names)}-benchmarks" if study == "transfer" else Path(benchmarks[0].name).stem
    path = _new_file(out, f"{study}-{called}")
    task = _planned(benchmarks, study, features, range(seed, seed + seeds), iterations, search_size)
    trials = task.trials
    start = time.monotonic()
    with live(0) as reporter, Finished.open(path.with_suffix(".trials.jsonl"), trials) as finished:
        records = _searched(trials, finished, jobs, path.parent, reporter)
        seconds = time.monotonic() - start
        document = task.document(records)
        document |= {"wall_seconds": round(seconds, 1), "jobs": jobs}
        write_atomic(path, dump_json(document, None))
        save_figure(draw_study(document), path.with_suffix(".png"))
        finished.remove()
    show(document, form, f"{benchmarks[0].name}: correlation with {direction(benchmarks[0])}")
    say(f"{len(trials)} searches in {seconds:.1f} s; held-out values are of sketch scores")
    say(f"written: {path} and {path.with_suffix('.png')}")
    say_next("plot", path, "--out", "FIGURE.svg")


def _asked(names: Sequence[str], study: str, metric: str | None) -> list[Benchmark]:
    """One benchmark, or those of the study that leaves one out."""
    if study == "transfer":
        return load_different(names, metric)
    if len(names) > 1:
        raise click.UsageError(f"--benchmark: got {len(names)}, wanted one; only the study transfer takes several")
    return [load_named(names[0], metric)]


@dataclass(frozen=True)
class _Task:
    """The trials of a study, and what makes the document of their records."""

    trials: Sequence[Trial]
    document: Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]]


def _planned(
    benchmarks: Sequence[Benchmark],
    name: str,
    features: FeatureOptions,
    seeds: Sequence[int],
    iterations: int | None,
    search_size: int,
) -> _Task:
    from gp.studies.plan import STUDIES, plan, plan_transfer
    from gp.studies.transfer import unseen
    from report import study_document, transfer_document

    study, (first, *_) = STUDIES[name], benchmarks
    workshops = [features.of_space(b.space, first.space).open_for(b) for b in benchmarks]
    if name != "transfer":
        check_enough(first)
        trials = plan(study, first, workshops[0], seeds, iterations, search_size)
        return _Task(trials, partial(study_document, study, first, workshops[0], trials))
    cases = [unseen(benchmark, workshop) for benchmark, workshop in zip(benchmarks, workshops, strict=True)]
    trials = plan_transfer(study, cases, seeds, iterations, search_size)
    return _Task(trials, partial(transfer_document, study, cases, trials))


def _new_file(out: Path | None, stem: str) -> Path:
    """Path of the new document; it must not exist yet."""
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
        given = ("names", "study", "metric", "seed", "seeds", "iterations", "search_size", "jobs", "form")
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
            f"{done}/{total} {record['label']}{_left_out(record)}, seed {record['seed']}: "
            f"best {best}, held-out {held}, {record['evaluations']} evaluations, {record['seconds']:.1f} s"
        )
        if should_stop():
            raise KeyboardInterrupt

    return tell


def _left_out(record: Mapping[str, Any]) -> str:
    return f", without {record['left_out']}" if "left_out" in record else ""
