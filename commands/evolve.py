"""evolve: search for formulas on a few architectures, and test them on all others."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from commands.live import live
from commands.options import FORMAT, ON_INVALID, Duration, Name, check_build, feature_options, load_named, open_workshop
from commands.output import columns_of, direction, emit, say, say_ceiling

SEARCH_OPTIONS = (
    "seed", "iterations", "population", "n_unary", "objective", "algorithm", "branches", "beam", "coarse",
    "hall_size",
)  # fmt: skip


@click.command()
@click.option("--space", type=Name("gpt2", "flexibert"), help="Family of architectures.")
@click.option("--benchmark", "name", help="Name or path (default: the first one of the space).")
@click.option("--metric", help="Which measured value is the target (default: the benchmark's own).")
@click.option("--seed", type=click.IntRange(0), default=42, show_default=True)
@click.option("--iterations", type=click.IntRange(0), default=1000, show_default=True)
@click.option("--population", type=click.IntRange(2), default=80, show_default=True)
@click.option("--n-unary", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option("--search-size", type=click.IntRange(10), default=50, show_default=True, help="Architectures it may see.")
@click.option("--objective", type=Name("both", "spearman", "kendall"), default="both", show_default=True)
@click.option("--algorithm", type=Name("lpzero", "random", "nsga2"), default="lpzero", show_default=True)
@click.option("--aggregate", type=Name("all", "both", "mean", "sum"), default="all", show_default=True)
@click.option("--joins", type=Name("both", "inside", "outside"), default="both", show_default=True)
@click.option("--inputs", type=Name("extended", "paper"), default="extended", show_default=True)
@click.option("--branches", type=click.IntRange(2, 3), default=3, show_default=True, help="Most of a formula.")
@click.option("--beam", type=click.IntRange(0, 1000), default=50, show_default=True, help="How many grow; 0: none.")
@click.option(
    "--coarse",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="Least share of the architectures at a level of a coarse formula; 0: fine formulas only.",
)
@click.option("--hall-size", type=click.IntRange(1, 1000), default=10, show_default=True)
@click.option("--no-pps", is_flag=True, help="Switch the pruning rules off (for the ablation).")
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Threads of the search.")
@click.option("--out", type=click.Path(path_type=Path), help="Run directory (default: runs/BENCHMARK-SEED-TIME).")
@click.option("--resume", type=click.Path(path_type=Path), help="Continue the run in this directory.")
@click.option("--time-budget", type=Duration(), help="End the search after this time, such as 30m.")
@click.option("--patience", type=click.IntRange(1), help="End it after so many iterations without a better one.")
@click.option("--target", type=click.FloatRange(0, 1), help="End it at this fitness, such as 0.95.")
@ON_INVALID
@FORMAT
@feature_options
@click.pass_context
def evolve(
    ctx: click.Context, space: str | None, name: str | None, out: Path | None, resume: Path | None, jobs: int,
    form: str, devices: str, bank: Path, time_budget: float | None, patience: int | None, target: float | None,
    **options: Any,
) -> int:  # fmt: skip
    """Search for formulas on a few architectures, and test them on all others."""
    from gp.runs.limits import Limits
    from gp.runs.run import Run

    limits = Limits(time_budget, patience, target)
    if resume is not None:
        _only_with_new_run(ctx)
        opened = Run.resume(resume, options["on_invalid"] if _given(ctx, "on_invalid") else None)
    else:
        settings = _settings(space, name, options)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        folder = out or Path("runs") / f"{Path(settings.benchmark).stem}-{settings.search.seed}-{stamp}"
        opened = Run.create(folder, settings)
    with opened as run:
        chosen = run.settings
        benchmark = load_named(chosen.benchmark, chosen.metric)
        workshop = open_workshop(
            benchmark.space, chosen.build, chosen.batch, chosen.seq_len,
            Path(chosen.corpus) if chosen.corpus else None, chosen.init_seed, devices, bank,
        )  # fmt: skip
        try:
            with live(run.settings.search.iterations) as reporter:
                outcome = run.execute(benchmark, workshop, reporter, jobs, limits)
        except KeyboardInterrupt:
            say(f"next: python cli.py evolve --resume {run.folder}")
            raise
        return _show_outcome(outcome, run, benchmark, form)


def _only_with_new_run(ctx: click.Context) -> None:
    """A resumed run keeps its settings: an option that would change them is a mistake, not to be ignored."""
    kept = {"resume", "jobs", "devices", "bank", "form", "time_budget", "patience", "target", "on_invalid"}
    given = [name for name in ctx.params if name not in kept and _given(ctx, name)]
    if given:
        flag = next(p.opts[0] for p in ctx.command.params if p.name == given[0])
        raise click.UsageError(f"{flag}: a resumed run keeps its settings; leave it out, or start a new run")


def _given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _settings(space: str | None, name: str | None, options: Mapping[str, Any]) -> Any:
    from gp.config import JOINS, SearchConfig
    from gp.runs.run import RunSettings
    from models.benchmarks.origins import default_benchmark
    from primitives.inputs import EXTENDED, PAPER
    from primitives.operators import AGGREGATION

    if space is None and name is None:
        raise click.UsageError("wanted --space gpt2 or --space flexibert, or --benchmark NAME")
    name = name or default_benchmark(str(space))
    benchmark = load_named(name, options["metric"])
    if space not in (None, benchmark.space):
        raise click.UsageError(f"--space: got {space}, but the benchmark {name} is of the space {benchmark.space}")
    check_build(benchmark.space, options["build"])
    if options["search_size"] > len(benchmark) - 10:
        raise click.UsageError(
            f"--search-size: got {options['search_size']}, wanted at most {len(benchmark) - 10}, "
            "so that 10 architectures are held out"
        )
    chosen = options["aggregate"]
    search = SearchConfig(
        aggregates={"all": tuple(AGGREGATION), "both": ("mean", "sum")}.get(chosen, (chosen,)),
        joins=JOINS if options["joins"] == "both" else (options["joins"],),
        inputs=EXTENDED if options["inputs"] == "extended" else PAPER,
        pps=not options["no_pps"],
        **{field: options[field] for field in SEARCH_OPTIONS},
    )
    kept = {field: options[field] for field in ("search_size", "init_seed", "batch", "seq_len", "build", "on_invalid")}
    corpus = str(options["corpus"].resolve()) if options["corpus"] else None
    return RunSettings(name, benchmark.metric, benchmark.digest, search, corpus=corpus, **kept)


def _show_outcome(outcome: Any, run: Any, benchmark: Any, form: str) -> int:
    folder = run.folder
    if outcome.document is None:
        say(f"stopped at iteration {outcome.result.state.iteration}; nothing is lost")
        say(f"next: python cli.py evolve --resume {folder}")
        return 130
    document = outcome.document
    if form == "json":
        print(json.dumps(document.to_dict(), indent=2, sort_keys=True, allow_nan=False))
    else:
        emit(_hall_rows(document), form, f"{benchmark.name}: correlation with {direction(benchmark)}")
    say_ceiling(benchmark)
    for stage, seconds in outcome.seconds.items():
        say(f"{stage}: {seconds:.1f} s")
    say(f"{document.evaluations:,} formulas compared; PPS refused {_by_rule(document.rejections)}")
    if document.ending is not None and document.ending.early:
        say(f"ended early at iteration {document.ending.iteration}: {document.ending.reason}")
        say(f"to go on: python cli.py evolve --resume {folder}")
    say(f"next: python cli.py replay {folder / 'hall_of_fame.json'} --benchmark {run.settings.benchmark}")
    return 0


def _by_rule(rejections: Mapping[str, int]) -> str:
    return ", ".join(f"{rule} {count}" for rule, count in sorted(rejections.items(), key=lambda i: -i[1])) or "nothing"


def _hall_rows(document: Any) -> list[dict[str, Any]]:
    rows = [
        {"proxy": p.proxy.text, "sign": f"{p.sign:+d}", **columns_of(vars(p)), "fidelity": p.fidelity}
        for p in document.proxies
    ]
    return rows + [{"proxy": f"({b.name})", "sign": "+1", **columns_of(vars(b))} for b in document.baselines]
