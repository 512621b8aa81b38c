"""evolve: search for formulas on a few architectures, and test them on all others."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.live import live
from commands.loading import check_search_size, draw_split, load_named
from commands.options import (
    FORMAT,
    METRIC,
    ON_INVALID,
    WHERE,
    Duration,
    FeatureOptions,
    Name,
    examples,
    feature_options,
    gathered,
    table_of,
)
from commands.output import columns_of, direction, emit, say, say_ceiling, say_intervals, say_next, was_given
from commands.tables import Formula, Row

if TYPE_CHECKING:
    from gp.config import SearchConfig
    from gp.hall_file import HallDocument
    from gp.runs.limits import Limits
    from gp.runs.run import Outcome, Run
    from gp.runs.settings import RunSettings
    from models.benchmarks.benchmark import Benchmark


_spaces = table_of("models.spaces", "SPACES")
_objectives = table_of("fitness.objectives", "OBJECTIVES")
_algorithms = table_of("gp.evolution.algorithms", "ALGORITHMS")
_aggregations = table_of("primitives.operators", "AGGREGATION")


def _config(aggregate: str, joins: str, inputs: str, mutations: str, no_pps: bool, **plain: Any) -> SearchConfig:
    """The settings of the search, from the options of the same names."""
    from gp.config import JOINS, SearchConfig
    from primitives.inputs import INPUT_SETS

    return SearchConfig(
        aggregates={"all": tuple(_aggregations()), "both": ("mean", "sum")}.get(aggregate, (aggregate,)),
        joins=JOINS if joins == "both" else (joins,),
        inputs=INPUT_SETS[inputs],
        mutations=tuple(mutations.split(",")),
        pps=not no_pps,
        **plain,
    )


def _limits(time_budget: float | None, patience: int | None, target: float | None) -> Limits:
    from gp.runs.limits import Limits

    return Limits(time_budget, patience, target)


search_options = gathered(
    "search",
    _config,
    click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=42, show_default=True,
                 help="Of the split and the search."),
    click.option("--iterations", type=click.IntRange(0), default=6000, show_default=True,
                 help="New formulas after the first population."),
    click.option("--population", type=click.IntRange(2), default=600, show_default=True,
                 help="Formulas kept at a time."),
    click.option("--n-unary", type=click.IntRange(1, 16), default=2, show_default=True,
                 help="Unary operators in a branch."),
    click.option("--objective", type=Name(table=_objectives), default="both", show_default=True,
                 help="Rank correlation to maximise; both: the mean of rho and tau."),
    click.option("--algorithm", type=Name(table=_algorithms), default="memetic", show_default=True,
                 help="How new formulas are made."),
    click.option("--aggregate", type=Name("all", "both", table=_aggregations), default="all", show_default=True,
                 help="From blocks to the network; both: mean and sum."),
    click.option("--joins", type=Name("both", "inside", "outside"), default="outside", show_default=True,
                 help="Branches joined before or after they are aggregated."),
    click.option("--inputs", type=Name("extended", "paper", "all"), default="extended", show_default=True,
                 help="Quantities that a formula may read."),
    click.option("--mutations", default="branch,replace", show_default=True, metavar="NAME,...",
                 help="Which are drawn, all alike; LPZero's: regrow,replace."),
    click.option("--branches", type=click.IntRange(2, 3), default=3, show_default=True, help="Most of a formula."),
    click.option("--brood", type=click.IntRange(1), default=200, show_default=True,
                 help="Children of a generation of memetic."),
    click.option("--sweeps", type=click.IntRange(0, 1000), default=20, show_default=True,
                 help="Sweeps of a generation of memetic: a branch replaced by the best of all."),
    click.option("--folds", type=click.IntRange(0, 100), default=5, show_default=True,
                 help="Of the cross-validation that chooses fine or coarse formulas; 0: fine ones."),
    click.option("--coarse", type=click.FloatRange(0, 1), default=0.1, show_default=True,
                 help="Least share of the architectures at a level of a coarse formula; 0: fine formulas only."),
    click.option("--hall-size", type=click.IntRange(1, 1000), default=10, show_default=True,
                 help="Formulas in the hall of fame."),
    click.option("--no-pps", is_flag=True, help="Switch the pruning rules off (for the ablation)."),
)  # fmt: skip
limit_options = gathered(
    "limits",
    _limits,
    click.option("--time-budget", type=Duration(), help="End the search after this time, such as 30m."),
    click.option("--patience", type=click.IntRange(1), help="End it after so many iterations without a better one."),
    click.option("--target", type=click.FloatRange(0, 1), help="End it at this fitness, such as 0.95."),
)


@click.command(epilog=examples("evolve --space gpt2", "evolve --benchmark gpt2-wt103 --seed 43 --time-budget 30m"))
@click.option("--space", type=Name(table=_spaces), help="Family of architectures.")
@click.option("--benchmark", "name", metavar="NAME|PATH", help="Whose architectures (default: the space's first).")
@METRIC
@click.option("--search-size", type=click.IntRange(10), default=50, show_default=True, help="Architectures it may see.")
@search_options
@limit_options
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Threads of the search.")
@click.option("--out", type=click.Path(path_type=Path), help="Run directory (default: runs/BENCHMARK-SEED-TIME).")
@click.option("--resume", type=click.Path(path_type=Path), help="Continue the run in this directory.")
@ON_INVALID
@FORMAT
@feature_options
@click.pass_context
def evolve(
    ctx: click.Context, space: str | None, name: str | None, metric: str | None, search_size: int, search: SearchConfig,
    limits: Limits, jobs: int, out: Path | None, resume: Path | None, on_invalid: str, form: str,
    features: FeatureOptions,
) -> int:  # fmt: skip
    """Search for formulas on a few architectures, and test them on all others."""
    from gp.runs.run import Run

    if resume is not None:
        _only_with_new_run(ctx)
        opened = Run.resume(resume, on_invalid if was_given("on_invalid") else None)
    else:
        settings = _settings(_checked(space, name, metric, search_size), search, search_size, on_invalid, features)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        opened = Run.create(out or Path("runs") / f"{Path(settings.benchmark).stem}-{search.seed}-{stamp}", settings)
    with opened as run:
        try:
            outcome, benchmark = _execute(run, features, limits, jobs)
        except KeyboardInterrupt:
            say_next("evolve", "--resume", run.folder, keep=(*WHERE, "jobs"))
            raise click.Abort from None
        return _show_outcome(outcome, run, benchmark, form)


RESUMED = ("resume", "jobs", *WHERE, "form", "time_budget", "patience", "target", "on_invalid")


def _only_with_new_run(ctx: click.Context) -> None:
    """A resumed run keeps its settings: an option that would change them is a mistake, not to be ignored."""
    for parameter in ctx.command.params:
        if parameter.name not in RESUMED and was_given(str(parameter.name)):
            flag = parameter.opts[0]
            raise click.UsageError(f"{flag}: a resumed run keeps its settings; leave it out, or start a new run")


def _checked(space: str | None, name: str | None, metric: str | None, search_size: int) -> tuple[str, Benchmark]:
    """The name of the benchmark and its content, which must agree with the other options."""
    from models.benchmarks.origins import ORIGINS, default_benchmark

    if name is None:
        if space is None:
            raise click.UsageError(f"wanted --space {' or --space '.join(_spaces())}, or --benchmark NAME")
        name = default_benchmark(space)
    if name in ORIGINS:
        _agree(space, name, ORIGINS[name].space)  # before the data are looked for
    benchmark = load_named(name, metric)
    _agree(space, name, benchmark.space)
    check_search_size(benchmark, search_size)
    return name, benchmark


def _agree(space: str | None, name: str, found: str) -> None:
    if space not in (None, found):
        raise click.UsageError(f"--space: got {space}, but the benchmark {name} is of the space {found}")


def _settings(
    named: tuple[str, Benchmark], search: SearchConfig, search_size: int, on_invalid: str, features: FeatureOptions
) -> RunSettings:
    from gp.runs.run import RunSettings

    name, benchmark = named
    draw_split(benchmark, search_size, search.seed)  # what it refuses is refused before anything is made
    workshop = features.open(benchmark.space)
    corpus = str(features.corpus.resolve()) if features.corpus else None
    for flag, text in (("--benchmark", name), ("--corpus", corpus)):
        if text and not text.isprintable():
            raise click.UsageError(f"{flag}: got {text!r}, which a run cannot write down; rename the file")
    return RunSettings(
        name, benchmark.metric, benchmark.digest, search, workshop.batch.digest, search_size, features.init_seed,
        features.batch, features.seq_len, corpus, features.build, on_invalid, workshop.bank.key.device,
    )  # fmt: skip


def _execute(run: Run, features: FeatureOptions, limits: Limits, jobs: int) -> tuple[Outcome, Benchmark]:
    """The run with the features of its settings, made where the options say."""
    chosen = run.settings
    benchmark = load_named(chosen.benchmark, chosen.metric)
    corpus = Path(chosen.corpus) if chosen.corpus else None
    kept = replace(
        features, build=chosen.build, batch=chosen.batch, seq_len=chosen.seq_len, corpus=corpus,
        init_seed=chosen.init_seed,
    )  # fmt: skip
    with live(chosen.search.iterations) as reporter, kept.open(benchmark.space).staffed() as workshop:
        return run.execute(benchmark, workshop, reporter, jobs, limits), benchmark


def _show_outcome(outcome: Outcome, run: Run, benchmark: Benchmark, form: str) -> int:
    document = outcome.document
    if document is None:
        say(f"stopped at iteration {outcome.result.state.iteration}; nothing is lost")
        say_next("evolve", "--resume", run.folder, keep=(*WHERE, "jobs"))
        return 130
    if form == "json":
        print(json.dumps(document.to_dict(), indent=2, sort_keys=True, allow_nan=False))
    else:
        emit(hall_rows(document), form, f"{benchmark.name}: correlation with {direction(benchmark)}")
    say_ceiling(benchmark)
    say_intervals(len(document.split.holdout))
    for stage, seconds in outcome.seconds.items():
        say(f"{stage}: {seconds:.1f} s")
    say(f"{document.evaluations:,} formulas compared; PPS refused {_by_rule(document.rejections)}")
    if document.ending is not None and document.ending.early:
        say(f"ended early at iteration {document.ending.iteration}: {document.ending.reason}")
        say_next("evolve", "--resume", run.folder, keep=(*WHERE, "jobs"), label="to go on")
    say_next("replay", run.folder / "hall_of_fame.json", "--benchmark", run.settings.benchmark, keep=WHERE)
    return 0


def _by_rule(rejections: Mapping[str, int]) -> str:
    return ", ".join(f"{rule} {count}" for rule, count in sorted(rejections.items(), key=lambda i: -i[1])) or "nothing"


def hall_rows(document: HallDocument) -> list[Row]:
    """The formulas, rivals and baselines of a hall of fame as a table."""
    rows: list[Row] = [
        {"proxy": Formula(p.proxy.text, p.sign), **columns_of(vars(p)), "fidelity": _number(p.fidelity)}
        for p in document.proxies
    ]
    others = (*document.rivals, *document.baselines)
    return rows + [{"proxy": Formula(f"({b.name})", 1, False), **columns_of(vars(b))} for b in others]


def _number(fidelity: object) -> float | None:
    """A file may hold more about the fidelity than the number that a run writes."""
    return float(fidelity) if isinstance(fidelity, int | float) else None
