"""Command line: parse flags, call one function, print. The only file that knows click, rich and exit codes.

Data goes to stdout, talk and progress to stderr. Exit codes: 0 ok, 1 failed, 2 usage, 130 interrupted but saved.
"""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

talk = Console(stderr=True, highlight=False)
page = Console(highlight=False, width=None if sys.stdout.isatty() else 240)


def user_errors() -> tuple[type[Exception], ...]:
    """Mistakes and mishaps with a sentence of their own; anything else is a bug and keeps its traceback."""
    from fitness.devices import BadDevice, WorkerCrash
    from fitness.features import FeatureError
    from gp.config import BadConfig
    from gp.hall_file import BadHall
    from gp.run import BadRun
    from gp.search_state import BadState
    from gp.variation import Exhausted
    from models.architecture import BadArchitecture
    from models.benchmark import BadBenchmark
    from models.files import BadFile
    from models.tokens import BadCorpus
    from primitives.proxy import BadProxy

    return (
        BadArchitecture, BadBenchmark, BadConfig, BadCorpus, BadDevice, BadFile, BadHall, BadProxy, BadRun, BadState,
        Exhausted, FeatureError, WorkerCrash,
    )  # fmt: skip


def say(text: str) -> None:
    """Talk to the user on stderr, unbroken, so that what it shows can be copied."""
    talk.print(text, soft_wrap=True, markup=False)


class Commands(click.Group):
    """A group that suggests the nearest command."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            near = get_close_matches(args[0], self.commands, 1)
            hint = f"did you mean {near[0]}?" if near else f"wanted one of {', '.join(self.commands)}"
            raise click.UsageError(f"unknown command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)


class Name(click.ParamType):
    """One of a few names, with a suggestion when it is misspelt."""

    def __init__(self, *names: str) -> None:
        self.names, self.name = names, "|".join(names)

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        if value in self.names:
            return value
        near = get_close_matches(str(value), self.names, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise click.BadParameter(f"got {value!r}, wanted one of {', '.join(self.names)}{hint}", ctx, param)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; a user's mistake becomes one line on stderr and an exit code."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here is ever downloaded by Hugging Face code
    try:
        outcome = commands.main(args=list(sys.argv[1:] if arguments is None else arguments), standalone_mode=False)
        return outcome if isinstance(outcome, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", 130)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if not isinstance(error, user_errors()):
            raise
        return _fail(str(error), 1)


def _fail(message: str, code: int) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Evolve zero-cost proxies that rank transformer architectures without training them."""


# -- options that several commands share -------------------------------------------------------------------------

FORMAT = click.option("--format", "form", type=Name("table", "json", "csv"), default="table", show_default=True)


def feature_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What the features depend on, and where they are made."""
    for option in (
        click.option("--build", default=None, help="Which reading of the space to build (default: its first)."),
        click.option("--batch", type=click.IntRange(1, 4096), default=4, show_default=True, help="Sequences."),
        click.option("--seq-len", type=click.IntRange(2, 4096), default=64, show_default=True, help="Bytes each."),
        click.option("--corpus", type=click.Path(path_type=Path), help="Your own text instead of the passage."),
        click.option("--init-seed", type=click.IntRange(0), default=0, show_default=True, help="Of the weights."),
        click.option("--devices", default="auto", show_default=True, help="cpu | cpu,cpu | cuda:0,cuda:1 | auto."),
        click.option("--bank", type=click.Path(path_type=Path), default=Path(".cache/bank"), show_default=True),
    ):
        command = option(command)
    return command


def open_workshop(
    space: str,
    build: str | None,
    batch: int,
    seq_len: int,
    corpus: Path | None,
    init_seed: int,
    devices: str,
    bank: Path,
) -> Any:
    """The workshop that the feature options describe."""
    from fitness.bank import FeatureBank, FeatureKey
    from fitness.devices import check_devices
    from fitness.extraction import Workshop
    from models.tokens import TokenBatch

    check_build(space, build)
    tokens = TokenBatch.from_file(corpus, batch, seq_len) if corpus else TokenBatch.from_passage(batch, seq_len)
    key = FeatureKey.create(space, tokens.digest, init_seed, build)
    return Workshop(FeatureBank(bank, key), tokens, check_devices(devices))


def check_build(space: str, build: str | None) -> None:
    """Refuse a build that the space does not have."""
    from models.spaces import SPACES

    if build is not None and build not in SPACES[space].builds:
        raise click.UsageError(f"--build: got {build!r}, wanted one of {', '.join(SPACES[space].builds)}")


def load_named(name: str, metric: str | None = None) -> Any:
    """A benchmark by name or path."""
    from models.origins import load

    return load(name, metric)


# -- evolve -------------------------------------------------------------------------------------------------------


@commands.command()
@click.option("--space", type=Name("gpt2", "flexibert"), help="Family of architectures.")
@click.option("--benchmark", "name", help="Name or path (default: the first one of the space).")
@click.option("--metric", help="Which measured value is the target (default: the benchmark's own).")
@click.option("--seed", type=click.IntRange(0), default=42, show_default=True)
@click.option("--iterations", type=click.IntRange(0), default=1000, show_default=True)
@click.option("--population", type=click.IntRange(2), default=80, show_default=True)
@click.option("--n-unary", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option("--search-size", type=click.IntRange(10), default=50, show_default=True, help="Architectures it may see.")
@click.option("--objective", type=Name("spearman", "kendall"), default="spearman", show_default=True)
@click.option("--algorithm", type=Name("lpzero", "random", "nsga2"), default="lpzero", show_default=True)
@click.option("--aggregate", type=Name("both", "mean", "sum"), default="both", show_default=True)
@click.option("--joins", type=Name("both", "inside", "outside"), default="both", show_default=True)
@click.option("--inputs", type=Name("extended", "paper"), default="extended", show_default=True)
@click.option("--hall-size", type=click.IntRange(1, 1000), default=10, show_default=True)
@click.option("--no-pps", is_flag=True, help="Switch the pruning rules off (for the ablation).")
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Threads of the search.")
@click.option("--out", type=click.Path(path_type=Path), help="Run directory (default: runs/BENCHMARK-SEED-TIME).")
@click.option("--resume", type=click.Path(path_type=Path), help="Continue the run in this directory.")
@FORMAT
@feature_options
@click.pass_context
def evolve(
    ctx: click.Context, space: str | None, name: str | None, out: Path | None, resume: Path | None, jobs: int,
    form: str, devices: str, bank: Path, **options: Any,
) -> int:  # fmt: skip
    """Search for formulas on a few architectures, and test them on all others."""
    from gp.run import Run

    if resume is not None:
        _only_with_new_run(ctx)
        opened = Run.resume(resume)
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
                outcome = run.execute(benchmark, workshop, reporter, jobs)
        except KeyboardInterrupt:
            say(f"next: python cli.py evolve --resume {run.folder}")
            raise
        return _show_outcome(outcome, run, benchmark, form)


def _only_with_new_run(ctx: click.Context) -> None:
    """A resumed run keeps its settings: an option that would change them is a mistake, not to be ignored."""
    kept = {"resume", "jobs", "devices", "bank", "form"}
    given = [
        p for p in ctx.params if p not in kept and ctx.get_parameter_source(p) is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        flag = next(p.opts[0] for p in ctx.command.params if p.name == given[0])
        raise click.UsageError(f"{flag}: a resumed run keeps its settings; leave it out, or start a new run")


def _settings(space: str | None, name: str | None, options: Mapping[str, Any]) -> Any:
    from gp.config import JOINS, SearchConfig
    from gp.run import RunSettings
    from models.origins import default_benchmark
    from primitives.inputs import EXTENDED, PAPER

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
    search = SearchConfig(
        aggregates=("mean", "sum") if options["aggregate"] == "both" else (options["aggregate"],),
        joins=JOINS if options["joins"] == "both" else (options["joins"],),
        inputs=EXTENDED if options["inputs"] == "extended" else PAPER,
        pps=not options["no_pps"],
        **{
            field: options[field]
            for field in ("seed", "iterations", "population", "n_unary", "objective", "algorithm", "hall_size")
        },
    )
    kept = {field: options[field] for field in ("search_size", "init_seed", "batch", "seq_len", "build")}
    corpus = str(options["corpus"].resolve()) if options["corpus"] else None
    return RunSettings(name, benchmark.metric, benchmark.digest, search, corpus=corpus, **kept)


@contextmanager
def live(iterations: int) -> Iterator[Any]:
    """A reporter: a live display on a terminal, plain lines elsewhere. Ctrl-C and SIGTERM ask it to stop: a search
    after the current evaluation, anything else after the current network, whose features are kept."""
    from gp.run import Reporter

    stop: list[int] = []

    def ask(number: int, frame: Any) -> None:
        if stop:
            raise KeyboardInterrupt
        stop.append(number)
        say("stopping after the current step; press Ctrl-C again to leave at once")

    def stoppable(show: Callable[[int, int], None]) -> Callable[[int, int], None]:
        def networks(done: int, total: int) -> None:
            show(done, total)
            if stop and done < total:
                raise KeyboardInterrupt

        return networks

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with _bars() if talk.is_terminal else nullcontext() as bars:
            shown = _bar_callbacks(bars, iterations) if bars else _line_callbacks(iterations)
            shown["networks"] = stoppable(shown["networks"])
            yield Reporter(**shown, should_stop=lambda: bool(stop))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"), console=talk, transient=True,
    )  # fmt: skip


def _bar_callbacks(bars: Progress, iterations: int) -> dict[str, Any]:
    state: dict[str, Any] = {"stage": "networks", "task": None, "start": None}

    def stage(text: str) -> None:
        state.update(stage=text, task=None)
        say(text)

    def networks(done: int, total: int) -> None:
        if state["task"] is None or done == 1:
            state["task"] = bars.add_task("networks", total=total, note="")
        bars.update(state["task"], completed=done)

    def iteration(progress: Any) -> None:
        if state["start"] is None:
            state["start"], state["search"] = time.monotonic(), bars.add_task("search", total=iterations, note="")
        bars.update(state["search"], completed=progress.iteration, note=_note(progress, state["start"]))

    return {"stage": stage, "networks": networks, "iteration": iteration}


def _line_callbacks(iterations: int) -> dict[str, Any]:
    start = time.monotonic()

    def networks(done: int, total: int) -> None:
        if done == total or done % 50 == 0:
            print(f"networks {done}/{total}, {time.monotonic() - start:.0f} s", file=sys.stderr)

    def iteration(progress: Any) -> None:
        if progress.iteration % 50 == 0:
            print(f"iteration {progress.iteration}/{iterations}: {_note(progress, start)}", file=sys.stderr)

    return {"stage": lambda text: print(text, file=sys.stderr), "networks": networks, "iteration": iteration}


def _note(progress: Any, start: float) -> str:
    best = "none" if progress.best_fitness is None else f"{progress.best_fitness:.4f}"
    pace = progress.evaluations / max(time.monotonic() - start, 1e-3)
    top = sorted(progress.rejections.items(), key=lambda item: -item[1])[:4]
    refused = ", ".join(f"{rule} {count}" for rule, count in top)
    total = sum(progress.rejections.values())
    return f"best {best}, {pace:.0f} evaluations/s, PPS refused {total}" + (f" ({refused})" if top else "")


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
        emit(_hall_rows(document), form, f"{benchmark.name}: correlation with {_direction(benchmark)}")
    say_ceiling(benchmark)
    for stage, seconds in outcome.seconds.items():
        say(f"{stage}: {seconds:.1f} s")
    say(f"{document.evaluations} evaluations; PPS refused {_by_rule(document.rejections)}")
    say(f"next: python cli.py replay {folder / 'hall_of_fame.json'} --benchmark {run.settings.benchmark}")
    return 0


def say_ceiling(benchmark: Any) -> None:
    """What a perfect oracle would reach, where the benchmark has measured its noise."""
    if ceiling := benchmark.header.get("noise_ceiling"):
        say(f"noise ceiling (a perfect oracle): rho {ceiling['spearman']:.3f}, tau {ceiling['kendall']:.3f}")


def _by_rule(rejections: Mapping[str, int]) -> str:
    return ", ".join(f"{rule} {count}" for rule, count in sorted(rejections.items(), key=lambda i: -i[1])) or "nothing"


def _direction(benchmark: Any) -> str:
    return f"{'' if benchmark.higher_is_better else '-'}{benchmark.metric}"


def _hall_rows(document: Any) -> list[dict[str, Any]]:
    rows = [
        {"proxy": p.proxy.text, "sign": f"{p.sign:+d}", **_columns(vars(p)), "fidelity": p.fidelity}
        for p in document.proxies
    ]
    return rows + [{"proxy": f"({b.name})", "sign": "+1", **_columns(vars(b))} for b in document.baselines]


def _columns(record: Mapping[str, Any]) -> dict[str, Any]:
    """Search rho, held-out rho and tau with intervals, all rho and tau, as far as the record has them."""
    columns: dict[str, Any] = {}
    if record.get("search"):
        columns["search rho"] = record["search"]["spearman"]
    for part, label in (("holdout", "held-out"), ("all", "all")):
        if record.get(part):
            columns[f"{label} rho"] = record[part]["spearman"]
            if part == "holdout" and record[part].get("ci95_spearman"):
                columns["95%"] = "{:.3f}..{:.3f}".format(*record[part]["ci95_spearman"])
            columns[f"{label} tau"] = record[part]["kendall"]
            if part == "holdout" and record[part].get("ci95_kendall"):
                columns["95% "] = "{:.3f}..{:.3f}".format(*record[part]["ci95_kendall"])
    return columns


# -- replay, extract, show ------------------------------------------------------------------------------------------


@commands.command()
@click.argument("hall", type=click.Path(path_type=Path), required=False)
@click.option("--benchmark", "name", help="Name or path (default: the one the hall was evolved on).")
@click.option("--metric", help="Which measured value is the target.")
@click.option("--proxy", "text", help="A formula instead of a file.")
@click.option("--sketch", is_flag=True, help="Score sketches instead of all entries: faster, nearly equal.")
@FORMAT
@feature_options
def replay(
    hall: Path | None, name: str | None, metric: str | None, text: str | None, sketch: bool, form: str, **features: Any
) -> None:
    """Score saved formulas on every architecture of a benchmark."""
    from fitness.protocol import baselines
    from fitness.replay import replay as run

    if (hall is None) == (text is None):
        raise click.UsageError("wanted a hall of fame file or --proxy 'TEXT', one of them")
    candidates, recorded = _candidates(hall, text)
    name = name or (str(recorded.config.get("benchmark", recorded.benchmark.name)) if recorded else "gpt2-mini")
    benchmark = load_named(name, metric)
    same = recorded is not None and recorded.benchmark.digest == benchmark.digest
    split = _recorded_split(recorded, benchmark) if same else None
    if recorded is not None and not same:
        say(f"transfer: evolved on {recorded.benchmark.name} ({recorded.space}), replayed on {benchmark.name}")
    workshop = open_workshop(benchmark.space, **features)
    if not (same and recorded.feature_key == workshop.bank.key.digest):
        candidates = [type(c)(c.proxy, c.sign) for c in candidates]  # other features: nothing to compare with
    with live(0) as reporter:
        rows = run(candidates, benchmark, workshop, split, sketch, reporter.networks)
    naive = baselines(benchmark, split, workshop.bank.key.build, detail=True)
    if form == "json":
        plain = {"benchmark": benchmark.name, "exact": not sketch, "transfer": bool(recorded and not same),
                 "proxies": [row.to_dict() for row in rows], "baselines": naive}  # fmt: skip
        print(json.dumps(plain, indent=2, sort_keys=True, allow_nan=False))
        return
    figures = [_figures(str(i), row.to_dict()) for i, row in enumerate(rows, start=1)]
    figures += [_figures("", record) for record in naive]
    if form == "csv":
        wide = [f | {group: r["spearman"] for group, r in f["inside"].items()} for f in figures]
        emit([{k: v for k, v in f.items() if k != "inside"} for f in wide], form, "")
        return
    title = f"{benchmark.name}: correlation with {_direction(benchmark)}, n = {len(benchmark)}"
    emit([{k: v for k, v in f.items() if k != "inside"} for f in figures], form, title)
    print()
    emit(_inside_rows(figures), form, "rho inside one depth and inside one width")
    say_ceiling(benchmark)
    for row in rows:
        if row.rules:
            say(f"PPS would refuse {row.candidate.proxy}: {_sentences(row.rules)}")
        if row.deviation is not None and row.deviation > 5e-4:
            say(f"differs from the record by {row.deviation:.6f}: {row.candidate.proxy}")
    deviations = [row.deviation for row in rows if row.deviation is not None]
    if deviations:
        say(f"agreement with the record: largest difference of a correlation {max(deviations):.2g}")


def _candidates(hall: Path | None, text: str | None) -> tuple[list[Any], Any]:
    from fitness.replay import Candidate
    from gp.hall_file import load_hall
    from primitives.grammar import parse

    if hall is None:
        return [Candidate(parse(str(text)))], None
    document = load_hall(hall)
    return [Candidate(p.proxy, p.sign, vars(p)) for p in document.proxies], document


def _recorded_split(document: Any, benchmark: Any) -> Any:
    from fitness.evaluation import Split

    place = {a.id: i for i, a in enumerate(benchmark.architectures)}
    with suppress(KeyError):
        return Split(
            tuple(place[id] for id in document.split.search), tuple(place[id] for id in document.split.holdout)
        )
    return None


def _figures(number: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """One row of the replay table; `near-size tau` is over pairs whose #params differ by at most 10%."""
    row = {"#": number, "proxy": record.get("text") or f"({record['name']})", "sign": f"{record.get('sign', 1):+d}"}
    return {**row, **_columns(record), "near-size tau": record["near_pairs"]["kendall"], "inside": record["inside"]}


def _inside_rows(figures: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Groups down, formulas (the first five) and baselines across."""
    shown = {f"#{f['#']}" if f["#"] else f["proxy"].strip("()"): f["inside"] for f in figures}
    shown = {name: inside for name, inside in shown.items() if name[1:] in "12345" or not name[1:].isdigit()}
    groups = next(iter(shown.values()))
    return [
        {"group": group, "n": str(groups[group]["n"])}
        | {name: inside[group]["spearman"] for name, inside in shown.items()}
        for group in groups
    ]


def _sentences(names: Sequence[str]) -> str:
    from primitives.pps import RULES

    return "; ".join(f"{rule.name} ({rule.sentence})" for rule in RULES if rule.name in names)


@commands.command()
@click.option("--benchmark", "name", required=True, help="Name or path.")
@feature_options
def extract(name: str, **features: Any) -> None:
    """Fill the feature bank ahead of time."""
    benchmark = load_named(name)
    workshop = open_workshop(benchmark.space, **features)
    start = time.monotonic()
    with live(0) as reporter:
        visited = workshop.extract(benchmark.architectures, reporter.networks)
    print(f"{visited} networks extracted, {len(benchmark)} architectures in the bank, {time.monotonic() - start:.1f} s")


@commands.command()
@click.argument("hall", type=click.Path(path_type=Path))
@click.option("--format", "form", type=Name("text", "latex", "python", "json"), default="text", show_default=True)
def show(hall: Path, form: str) -> None:
    """Print the formulas of a hall of fame."""
    from gp.hall_file import load_hall
    from primitives.rendering import as_latex, as_python

    document = load_hall(hall)
    if form == "json":
        print(json.dumps(document.to_dict(), indent=2, sort_keys=True, allow_nan=False))
        return
    render = as_latex if form == "latex" else as_python
    for place, record in enumerate(document.proxies, start=1):
        if form == "text":
            part = record.holdout or {}
            figures = f"held-out rho {part.get('spearman')}  tau {part.get('kendall')}"
            print(f"{place:3}  {record.sign:+d}  {figures}  {record.proxy}")
        else:
            print(render(record.proxy))


# -- benchmarks, doctor ------------------------------------------------------------------------------------------------


@commands.group(cls=Commands)
def benchmarks() -> None:
    """Architectures with measured quality."""


@benchmarks.command("list")
@FORMAT
def list_benchmarks(form: str) -> None:
    """Every known benchmark and where its data lie."""
    from models.origins import ORIGINS, locate

    rows = []
    for origin in ORIGINS.values():
        place = locate(origin.name)
        ceiling = load_named(origin.name).header.get("noise_ceiling") if place and origin.embedded else None
        noise = f"rho {ceiling['spearman']:.3f}, tau {ceiling['kendall']:.3f}" if ceiling else "not measured"
        row = {"name": origin.name, "space": origin.space, "here": str(place or "no"), "noise ceiling": noise}
        rows.append({**row, "licence": origin.licence, "what": origin.summary})
    emit(rows, form, "benchmarks")


@benchmarks.command("fetch")
@click.argument("name")
def fetch_benchmark(name: str) -> None:
    """Download a published benchmark at its pinned commit into data/."""
    from models.origins import fetch

    with live(0) as reporter:
        print(fetch(name, reporter.networks))


@benchmarks.command("verify")
@click.argument("name")
@click.option("--sample", type=click.IntRange(1), help="Train that many architectures again and compare the losses.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Which ones are drawn.")
@click.option("--jobs", type=click.IntRange(1, 256), default=2, show_default=True)
def verify_benchmark(name: str, sample: int | None, seed: int, jobs: int) -> int:
    """Read every record and compare the content with the pinned digest; train some again if asked to."""
    from models.origins import find, verify

    benchmark = verify(name)
    distinct = len({a.digest for a in benchmark.architectures})
    print(f"{benchmark.name}: {len(benchmark)} architectures, {distinct} distinct, digest {benchmark.digest}")
    if sample is None:
        return 0
    from models import training

    found = training.verify(find(name), sample, seed, jobs=jobs)
    if not found.corpus_matches:
        say("another text: this Python's standard library differs from the one trained on, so losses may too")
    for check in found.checks:
        verdict = f"{'within' if check.agrees else 'BEYOND'} {check.allowed:.6f}"
        print(f"{check.id}: recorded {check.recorded:.6f}, measured {check.measured:.6f}, {verdict}")
    return 0 if found.agrees else 1


@benchmarks.command("train")
@click.argument("name", type=Name("gpt2-mini"))
@click.option("--out", type=click.Path(path_type=Path), help="The file to write (default: where the toolkit looks).")
@click.option("--resume", is_flag=True, help="Continue an interrupted training; finished runs are not repeated.")
@click.option("--jobs", type=click.IntRange(1, 256), default=2, show_default=True, help="Worker processes.")
@click.option("--niceness", type=click.IntRange(0, 19), default=0, show_default=True, help="Of the workers.")
def train_benchmark(name: str, out: Path | None, resume: bool, jobs: int, niceness: int) -> None:
    """Train the embedded benchmark anew: about an hour on two cores."""
    from models.origins import ORIGINS
    from models.training import train

    path = out or ORIGINS[name].embedded
    if path is None or path.exists():
        raise click.UsageError(f"{path} exists and is never overwritten; choose another --out, or move it away")
    partial = path.parent / f"{path.stem}.partial.jsonl"
    if partial.exists() and not resume:
        raise click.UsageError(f"{partial} holds a training that was begun; continue it with --resume, or remove it")

    def show(progress: Any) -> None:
        left = "" if progress.seconds_left is None else f", {progress.seconds_left / 60:.0f} min left"
        say(f"{progress.done}/{progress.total} {progress.id} seed {progress.seed}: loss {progress.loss:.4f}{left}")

    try:
        print(train(path, jobs=jobs, niceness=niceness, on_progress=show))
    except KeyboardInterrupt:
        say(f"next: python cli.py benchmarks train {name} --resume" + (f" --out {out}" if out else ""))
        raise


@commands.command()
@FORMAT
def doctor(form: str) -> None:
    """Versions, devices, data found, disk; and what to do if something is missing."""
    import shutil

    import torch

    from gp.run import environment
    from models.origins import ORIGINS, locate

    rows = [{"what": name, "found": str(value), "advice": ""} for name, value in environment().items()]
    cuda = torch.cuda.device_count()
    rows.append({"what": "CUDA devices", "found": str(cuda), "advice": "" if cuda else "none needed: --devices cpu"})
    free = shutil.disk_usage(".").free / 2**30
    advice = "a bank takes up to 0.5 GiB: free space" if free < 1 else ""
    rows.append({"what": "free disk", "found": f"{free:.1f} GiB", "advice": advice})
    for origin in ORIGINS.values():
        place = locate(origin.name)
        advice = "" if place else f"python cli.py benchmarks fetch {origin.name}, or set ZCP_DATA"
        rows.append({"what": origin.name, "found": str(place or "no"), "advice": advice})
    emit(rows, form, "doctor")


# -- output --------------------------------------------------------------------------------------------------------


def emit(rows: Sequence[Mapping[str, Any]], form: str, title: str) -> None:
    """Rows as a table, as JSON or as CSV, on stdout."""
    if form == "json":
        print(json.dumps(list(rows), indent=2, allow_nan=False))
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    if form == "csv":
        sink = io.StringIO()
        writer = csv.DictWriter(sink, names)
        writer.writeheader()
        writer.writerows(rows)
        print(sink.getvalue(), end="")
        return
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in names:
        numeric = any(isinstance(row.get(name), float) for row in rows)
        table.add_column(
            name.strip(),
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=numeric or not page.is_terminal,
        )
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in names))
    page.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text.replace("[", "\\[")


if __name__ == "__main__":
    sys.exit(main())
