"""benchmarks: list, fetch, verify and train architectures with measured quality."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.checkpoints import get_checkpoint, measure_subnets
from commands.live import live
from commands.loading import load_named
from commands.names import Name, table_of
from commands.options import FORMAT, Commands, examples
from commands.output import emit, say, say_next
from commands.tables import Row

if TYPE_CHECKING:
    from models.architecture import Architecture
    from models.benchmarks.benchmark import Benchmark
    from models.training.campaign import FinishedRun
    from models.training.elastic import ElasticProgress
    from models.training.verification import Verification


def _trained() -> Iterable[str]:
    from models.benchmarks.origins import ORIGINS

    return [name for name, origin in ORIGINS.items() if origin.embedded]


@click.group(cls=Commands, epilog=examples("benchmarks list", "benchmarks fetch gpt2-wt103"))
def benchmarks() -> None:
    """Architectures with measured quality."""


benchmarks.add_command(get_checkpoint)
benchmarks.add_command(measure_subnets)


@benchmarks.command("list", epilog=examples("benchmarks list --format json"))
@FORMAT
def list_benchmarks(form: str) -> None:
    """Every known benchmark and where its data lie."""
    from models.benchmarks.origins import ORIGINS, locate

    rows: list[Row] = []
    for origin in ORIGINS.values():
        place = locate(origin.name)
        found = load_named(origin.name) if place else None
        ceiling = found.header.get("noise_ceiling") if found and origin.embedded else None
        noise = f"rho {ceiling['spearman']:.3f}, tau {ceiling['kendall']:.3f}" if ceiling else "not measured"
        row = {"name": origin.name, "space": origin.space, "here": str(place or "no"), "noise ceiling": noise}
        row["tokens a parameter"] = _tokens_of(found)
        rows.append({**row, "licence": origin.licence, "what": origin.summary})
    emit(rows, form, "benchmarks")


def _tokens_of(benchmark: Benchmark | None) -> str:
    """The training tokens per parameter of the blocks, from the least to the most, by training budget."""
    from models.budget import per_parameter

    shares = [per_parameter(architecture) for architecture in benchmark.architectures] if benchmark else [None]
    known = [share for share in shares if share is not None]
    if benchmark is None or len(known) < len(shares):
        return "not known"
    ends = [(min(own), max(own)) for own in ([known[i] for i in rows] for rows in benchmark.of_budgets())]
    return "; ".join(f"{low:.3g}" if high < 1.05 * low else f"{low:.2g} to {high:.2g}" for low, high in ends)


@benchmarks.command("fetch", epilog=examples("benchmarks fetch flexibert-glue"))
@click.argument("name")
def fetch_benchmark(name: str) -> None:
    """Download a published benchmark at its pinned commit into data/."""
    from models.benchmarks.origins import fetch

    with live(0) as reporter:
        print(fetch(name, reporter.networks))


@benchmarks.command("new", epilog=examples("benchmarks new --space gpt2 > mine.jsonl"))
@click.option(
    "--space", type=Name(table=table_of("models.spaces", "SPACES")), default="gpt2", show_default=True,
    help="Family of architectures.",
)  # fmt: skip
def new_benchmark(space: str) -> None:
    """Print the beginning of a benchmark of your own: every field explained, two examples."""
    from models.benchmarks.template import template

    print(template(space), end="")


@benchmarks.command("verify", epilog=examples("benchmarks verify gpt2-mini", "benchmarks verify gpt2-mini --sample 3"))
@click.argument("name")
@click.option("--sample", type=click.IntRange(1), help="Train that many architectures again and compare the losses.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Which ones are drawn.")
@click.option("--jobs", type=click.IntRange(1, 256), default=2, show_default=True, help="Processes that train.")
@click.option("--weights", type=click.Path(path_type=Path), metavar="DIR", help="The checkpoint of smollm2-subnets.")
def verify_benchmark(name: str, sample: int | None, seed: int, jobs: int, weights: Path | None) -> int:
    """Read every record and compare the content with the pinned digest; train or measure some again if asked to."""
    from models.benchmarks.origins import find, verify

    benchmark = verify(name)
    distinct = len({a.digest for a in benchmark.architectures})
    print(f"{benchmark.name}: {len(benchmark)} architectures, {distinct} distinct, digest {benchmark.digest}")
    if sample is None:
        return 0
    found = _again(benchmark, jobs, weights)(find(name), sample, seed)
    if not found.corpus_matches:
        say("another text: this Python's standard library differs from the one trained on, so losses may too")
    for check in found.checks:
        verdict = f"{'within' if check.agrees else 'BEYOND'} {check.allowed:.6f}"
        print(f"{check.id}: recorded {check.recorded:.6f}, measured {check.measured:.6f}, {verdict}")
    return 0 if found.agrees else 1


def _again(benchmark: Benchmark, jobs: int, weights: Path | None) -> Callable[[Path, int, int], Verification]:
    """A function that measures some architectures of a benchmark again."""
    from models.spaces.checkpoint import Checkpoint
    from models.training import verify_by_measuring, verify_by_training, verify_healing

    if "stages" in benchmark.header:
        from models.training.cuts.campaign import verify_cuts

        if weights is None:
            raise click.UsageError(f"--sample: wanted --weights DIR, the checkpoint that {benchmark.name} is cut from")
        checkpoint = Checkpoint.open(weights)
        return lambda path, sample, seed: verify_cuts(path, checkpoint, sample, seed)
    if "healing" in benchmark.header.get("plan", {}):
        return verify_healing
    return verify_by_measuring if "plan" in benchmark.header else partial(verify_by_training, jobs=jobs)


@benchmarks.command(
    "train",
    epilog=examples(
        "benchmarks train gpt2-mini --out mine.jsonl --jobs 8",
        "benchmarks train gpt2-mini --configs chosen.json --seeds 3 --out chosen.jsonl",
    ),
)
@click.argument("name", type=Name(table=_trained))
@click.option("--out", type=click.Path(path_type=Path), help="The file to write (default: where the toolkit looks).")
@click.option(
    "--configs",
    type=click.Path(path_type=Path),
    help="Train these instead: what rank and select print as JSON, or lines.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    help="Training runs per configuration of --configs, a seed each.",
)
@click.option("--resume", is_flag=True, help="Continue an interrupted training; finished runs are not repeated.")
@click.option("--runs", type=click.IntRange(1), help="Stop after that many runs (llama-budgets, gpt2-budgets).")
@click.option("--jobs", type=click.IntRange(1, 256), default=2, show_default=True, help="Worker processes.")
@click.option(
    "--niceness", type=click.IntRange(0, 19), default=0, show_default=True, help="Niceness of the worker processes."
)
def train_benchmark(
    name: str,
    out: Path | None,
    configs: Path | None,
    seeds: int,
    resume: bool,
    runs: int | None,
    jobs: int,
    niceness: int,
) -> None:
    """Train an embedded benchmark anew, about an hour on two cores (llama-elastic: 20 minutes on one); or other
    architectures by the same recipe."""
    from engine.crew import WorkerCrash
    from models.benchmarks.origins import ORIGINS

    if configs is not None and out is None:
        raise click.UsageError("--configs: wanted --out FILE too, the file to write")
    training = _training(name, configs, seeds, runs, jobs, niceness)
    path = out or ORIGINS[name].embedded
    if path is None or (path.exists() and not (resume and _goes_on(name))):
        raise click.UsageError(f"{path} exists and is never overwritten; choose another --out, or move it away")
    for begun in (path.parent / f"{path.stem}.partial.{kind}" for kind in ("jsonl", "safetensors")):
        if begun.exists() and not resume:
            raise click.UsageError(f"{begun} holds a training that was begun; continue it with --resume, or remove it")
    kept = ("configs", "seeds", "out", "runs", "jobs", "niceness")
    with live(0) as reporter:
        try:
            print(training(path, should_stop=reporter.should_stop))
        except (KeyboardInterrupt, WorkerCrash) as stopped:
            say_next("benchmarks", "train", name, "--resume", keep=kept)
            if isinstance(stopped, WorkerCrash):
                raise
            raise click.Abort from None


def _goes_on(name: str) -> bool:
    """True if an unfinished file of a benchmark is itself what a training continues."""
    from models.training.budgets import BUDGET_RECIPES

    return name in BUDGET_RECIPES


def _training(
    name: str, configs: Path | None, seeds: int, runs: int | None, jobs: int, niceness: int
) -> Callable[..., Path]:
    """The function that trains a benchmark, given a path and a stop condition."""
    from models.training.budgets import BUDGET_RECIPES, train_budgets
    from models.training.campaign import train
    from models.training.elastic import train_elastic
    from models.training.healing import train_and_cut
    from models.training.recipes import RECIPES

    if name in RECIPES and runs is None:
        training = partial(train, recipe=RECIPES[name], jobs=jobs, niceness=niceness, on_progress=_show)
        chosen = _chosen(configs, RECIPES[name].space) if configs is not None else ()
        return partial(training, chosen=chosen, seeds=seeds) if chosen else training
    if configs is not None:
        raise click.UsageError(f"--configs: {name} is one training; wanted {' or '.join(RECIPES)}")
    if name in BUDGET_RECIPES:
        recipe = BUDGET_RECIPES[name]
        return partial(train_budgets, recipe=recipe, most=runs, jobs=jobs, niceness=niceness, on_progress=_show)
    if runs is not None:
        raise click.UsageError(f"--runs: got {name}, which is trained in one go; wanted {' or '.join(BUDGET_RECIPES)}")
    if name == "llama-cut":
        return partial(train_and_cut, jobs=jobs, niceness=niceness, on_progress=_show_elastic)
    return partial(train_elastic, on_progress=_show_elastic)


def _chosen(configs: Path, space: str) -> Sequence[Architecture]:
    """The different architectures of a file that the recipe can train; one line says which it cannot."""
    from models.candidates import read_candidates
    from models.training.learning import Budget
    from models.training.verification import check_trainable

    found = read_candidates([configs], space)
    for architecture in found:
        check_trainable(architecture, str(configs), Budget(), space)
    return list({architecture.digest: architecture for architecture in found}.values())


def _show_elastic(progress: ElasticProgress) -> None:
    left = f"{progress.seconds_left / 60:.0f} min left"
    say(f"{progress.stage} {progress.done}/{progress.total}: loss {progress.loss:.4f}, {left} of this stage")


def _show(progress: FinishedRun) -> None:
    left = f", {progress.seconds_left / 60:.0f} min left" if progress.seconds_left is not None else ""
    say(f"{progress.done}/{progress.total} {progress.id} seed {progress.seed}: loss {progress.loss:.4f}{left}")
