"""Command evolve: search for formulas on a few architectures and test them on all others."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.feature_options import WHERE, FeatureOptions
from commands.live import live
from commands.loading import check_search_size, draw_split, load_different, load_named, load_recorded
from commands.moved import places_now
from commands.names import Name, table_of
from commands.options import FORMAT, METRIC, ON_INVALID, Sectioned, examples, search_size
from commands.outcome import show_outcome
from commands.output import given_options, say, say_next, was_given
from commands.search_options import limit_options, search_options
from commands.weights import source_options
from storage.plugins import loaded_plugins

if TYPE_CHECKING:
    from gp.config import SearchConfig
    from gp.runs.limits import Limits
    from gp.runs.run import Outcome, Run
    from gp.runs.settings import RunSettings
    from models.benchmarks.benchmark import Benchmark


_spaces = table_of("models.spaces", "SPACES")

SECTIONS = {
    "Data": ("space", "names", "metric", "search_size"),
    "Search": ("preset", "seed", "teacher", "inputs", "objective", "time_budget", "jobs"),
    "Features": ("weights", "corpus", "devices", "bank"),
    "Output": ("out", "resume", "form"),
}


@click.command(
    cls=Sectioned,
    sections=SECTIONS,
    epilog=examples(
        "evolve --space gpt2",
        "evolve --benchmark gpt2-wt103 --seed 43 --time-budget 30m",
        "evolve --benchmark subnets.jsonl --weights llama-7b",
        "evolve --benchmark gpt2-mini --benchmark llama-mini --preset universal",
    ),
)
@click.option("--space", type=Name(table=_spaces), help="Family of architectures.")
@click.option(
    "--benchmark",
    "names",
    metavar="NAME|PATH",
    multiple=True,
    help="Benchmark to search on (default: the space's first); repeat it for one formula over several.",
)
@METRIC
@search_size("Number of architectures in the search split.")
@search_options
@click.option(
    "--training-budget/--no-training-budget",
    "budgeted",
    default=None,
    help="Formulas may read T, the training tokens per parameter (default: where a benchmark has several budgets).",
)
@limit_options
@click.option("--jobs", type=click.IntRange(1, 256), default=2, show_default=True, help="Number of search threads.")
@click.option("--out", type=click.Path(path_type=Path), help="Run directory (default: a new one in runs/).")
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    help="Run directory to continue; --benchmark says where its benchmark lies now.",
)
@ON_INVALID
@FORMAT
@source_options
@click.pass_context
def evolve(
    ctx: click.Context,
    space: str | None,
    names: tuple[str, ...],
    metric: str | None,
    search_size: int,
    search: SearchConfig,
    limits: Limits,
    jobs: int,
    out: Path | None,
    resume: Path | None,
    on_invalid: str,
    form: str,
    features: FeatureOptions,
    budgeted: bool | None,
) -> int:
    """Search for formulas on a few architectures, and test them on all others."""
    from gp.runs.run import Run

    if resume is not None:
        _only_with_new_run(ctx)
        opened = Run.resume(resume, on_invalid if was_given("on_invalid") else None)
    else:
        asked = _several(space, names, metric, search_size)
        search = _with_budget(search, budgeted, [benchmark for _, benchmark in asked])
        settings = _settings(asked, search, search_size, on_invalid, features)
        stamp, first = time.strftime("%Y%m%d-%H%M%S"), Path(settings.cases[0].benchmark).stem
        opened = Run.create(out or Path("runs") / f"{first}-{search.seed}-{stamp}", settings)
    with opened as run:
        try:
            outcome, benchmarks = _execute(run, features, limits, jobs, names)
        except KeyboardInterrupt:
            say_next("evolve", "--resume", run.folder, keep=(*WHERE, "jobs"))
            raise click.Abort from None
        return show_outcome(outcome, run, benchmarks, form)


def _with_budget(search: SearchConfig, budgeted: bool | None, benchmarks: Sequence[Benchmark]) -> SearchConfig:
    """The settings with the training budget among what formulas may read: as told, else where budgets differ."""
    from primitives.operators import turned

    several = [benchmark for benchmark in benchmarks if len(benchmark.of_budgets()) > 1]
    if not (bool(several) if budgeted is None else budgeted):
        return search
    if budgeted is None:
        count = len(several[0].of_budgets())
        say(f"{several[0].name}: {count} training budgets, so formulas may read T; --no-training-budget leaves it out")
    return replace(search, aggregates=(*search.aggregates, *map(turned, search.aggregates)))


RESUMED = (
    "resume",
    "names",
    "jobs",
    *WHERE,
    "stream",
    "form",
    "time_budget",
    "patience",
    "target",
    "on_invalid",
    "config_file",
    "plugin",
    "quiet",
    "verbose",
)


def _only_with_new_run(ctx: click.Context) -> None:
    """A resumed run keeps its settings: an option that would change them is a mistake, not to be ignored."""
    for parameter in ctx.command.params:
        if parameter.name not in RESUMED and was_given(str(parameter.name)):
            flag = parameter.opts[0]
            raise click.UsageError(f"{flag}: a resumed run keeps its settings; leave it out, or start a new run")


def _several(
    space: str | None, names: tuple[str, ...], metric: str | None, search_size: int
) -> list[tuple[str, Benchmark]]:
    """The benchmarks and their contents, each one once."""
    if len(names) < 2:
        return [_checked(space, names[0] if names else None, metric, search_size)]
    if space is not None:
        raise click.UsageError(f"--space: got {space} with {len(names)} benchmarks; leave it out")
    load_different(names, metric)
    return [_checked(None, name, None, search_size) for name in names]


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
    asked: list[tuple[str, Benchmark]],
    search: SearchConfig,
    search_size: int,
    on_invalid: str,
    features: FeatureOptions,
) -> RunSettings:
    from gp.runs.run import RunSettings
    from gp.runs.settings import RunCase
    from models.nested import NESTED

    benchmark = asked[0][1]
    if search.nested and not any(each.space in NESTED for _, each in asked):
        wanted = f"wanted one of {', '.join(NESTED)} among them"
        raise click.UsageError(f"--nested: got the space {benchmark.space}, {wanted}")
    for _, each in asked:
        draw_split(each, search_size, search.seed)  # what it refuses is refused before anything is made
    workshops = [features.of_space(each.space, benchmark.space).open_for(each) for _, each in asked]
    for (_, each), workshop in zip(asked, workshops, strict=True):
        workshop.check_weights(each.architectures[0])  # before the run has a folder
    corpus = str(features.corpus.resolve()) if features.corpus else None
    plugins = [("--plugin", str(path)) for path in loaded_plugins()]
    for flag, text in (*(("--benchmark", place) for place, _ in asked), ("--corpus", corpus), *plugins):
        if text and not text.isprintable():
            raise click.UsageError(f"{flag}: got {text!r}, which a run cannot write down; rename the file")
    cases = tuple(
        RunCase(place, b.metric, b.digest, w.batch.digest) for (place, b), w in zip(asked, workshops, strict=True)
    )
    return RunSettings(
        cases, search, search_size, features.init_seed, features.batch, features.seq_len, corpus, features.build,
        on_invalid, workshops[0].bank.key.device, workshops[0].bank.key.weights or None,
        workshops[0].bank.key.price or None,
        tuple(_options([case.benchmark for case in cases], search.seed, on_invalid)),
    )  # fmt: skip


def _options(places: Sequence[str], seed: int, on_invalid: str) -> Iterator[str]:
    """The options that repeat the run: its benchmarks, its seed, and every other one that was given and decides the
    result; --on-invalid last, because a resumed run may change it."""
    from gp.runs.settings import on_invalid_option

    for place in places:
        yield from ("--benchmark", place)
    for plugin in loaded_plugins():
        yield from ("--plugin", str(plugin))
    yield from ("--seed", str(seed))
    context = click.get_current_context()
    for parameter in context.command.params:
        name = str(parameter.name)
        if name not in (*RESUMED, "space", "out", "seed"):
            words = given_options(parameter) if was_given(name) else []
            if isinstance(parameter.type, click.Path):
                words[1::2] = map(os.path.abspath, words[1::2])
            yield from words
    yield from on_invalid_option(on_invalid)


def _execute(
    run: Run, features: FeatureOptions, limits: Limits, jobs: int, places: Sequence[str]
) -> tuple[Outcome, list[Benchmark]]:
    """The run with the features of its settings, made where the options say; its benchmarks are read where they lie
    now, if that is one of the `places`."""
    chosen = run.settings
    known = {case.digest: case.benchmark for case in chosen.cases}
    place = known | places_now(places, known)
    benchmarks = [load_recorded(place[case.digest], case.metric) for case in chosen.cases]
    home = benchmarks[0].space
    corpus = Path(chosen.corpus) if chosen.corpus else None
    kept = replace(
        features,
        build=chosen.build,
        batch=chosen.batch,
        seq_len=chosen.seq_len,
        corpus=corpus,
        init_seed=chosen.init_seed,
    )
    with ExitStack() as open_ones:
        reporter = open_ones.enter_context(live(chosen.search.iterations))
        workshops = [kept.of_space(each.space, home).open_for(each) for each in benchmarks]
        staffed = [open_ones.enter_context(workshop.staffed()) for workshop in workshops]
        return run.execute(list(zip(benchmarks, staffed, strict=True)), reporter, jobs, limits), benchmarks
