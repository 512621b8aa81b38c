"""report: one HTML file that shows a run, a hall of fame or a leaderboard to anybody."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.feature_options import FeatureOptions
from commands.live import live
from commands.loading import load_for
from commands.options import examples
from commands.output import program_name, say
from commands.weights import source_options

if TYPE_CHECKING:
    from gp.hall_file import HallDocument
    from report.pages.page import ReportPage

HALL, JOURNAL, ENVIRONMENT = "hall_of_fame.json", "generations.jsonl", "environment.json"


@click.command(epilog=examples("report proxies/gpt2-mini.json --out report.html", "report runs/RUN"))
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="FILE.html (default: beside the source).")
@click.option("--benchmark", "name", metavar="NAME|PATH", help="Of a hall: where the one of its run lies now.")
@source_options
def report(
    source: Path, out: Path | None, name: str | None, features: FeatureOptions
) -> None:  # fmt: skip
    """Show a run, a hall of fame or a leaderboard as one HTML file that works offline.

    A hall's champion is scored exactly on every architecture, with the features of its run.
    """
    from report import load_document
    from report.pages.board_page import board_page
    from report.pages.page import rendered_page
    from storage.files import write_atomic

    found = _hall_of(source)
    path = out or found.with_suffix(".html")
    if path.suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(f"--out: got {path.name!r}, wanted a name that ends in .html")
    document = load_document(found)
    if document.kind == "study":
        raise click.UsageError(
            f"{source}: got a study, which plot draws; wanted a run, a hall of fame or a leaderboard"
        )
    if document.kind == "leaderboard":
        if name is not None:
            raise click.UsageError("--benchmark goes with a hall of fame; a leaderboard holds its architectures")
        page = board_page(document.data, {})
    else:
        page = _page(found, name, features)
    write_atomic(path, rendered_page(page))
    print(path)


def _hall_of(source: Path) -> Path:
    """The file of a run's directory, or the file itself."""
    if not source.is_dir():
        return source
    if not (source / HALL).is_file():
        raise click.UsageError(f"{source}: has no {HALL}; finish the run with evolve --resume {source}")
    return source / HALL


def _page(path: Path, name: str | None, features: FeatureOptions) -> ReportPage:
    """The report of a hall of fame on its own benchmark."""
    from gp.hall_file import load_hall
    from report import landscape_of
    from report.pages.evidence import evidence_of
    from report.pages.hall_page import hall_page

    hall = load_hall(path)
    benchmark = load_for(hall, name, None)
    if hall.benchmark.digest != benchmark.digest:
        raise click.UsageError(
            f"{benchmark.name}: its content is not that of the run; a report shows a hall on its own benchmark, "
            "replay --benchmark on another"
        )
    workshop = features.of_run(hall, benchmark.space).open(benchmark.space)
    if hall.feature_key != workshop.bank.key.digest:
        say("evolved with other features than these, so this is not quite what its run saw")
    with live(0) as reporter:
        landscape = landscape_of(hall, benchmark, workshop, path.parent / JOURNAL, reporter.networks)
        evidence = evidence_of(hall, landscape, workshop)
    return hall_page(hall, evidence, list(_commands(hall, path)), _environment(path.parent))


def _environment(folder: Path) -> Mapping[str, Any]:
    """What the run recorded of its machine, else what this one is."""
    from gp.runs.files import environment
    from storage.datum import Datum
    from storage.files import BadFile, load_json

    path = folder / ENVIRONMENT
    if not path.is_file():
        return {"of this report, not of the run": "", **environment()}
    return Datum(str(path), load_json(path, 1 << 20, "versions of a run"), BadFile).plain()


def _commands(hall: HallDocument, path: Path) -> Iterator[str]:
    """What repeats the run, checks its figures, and uses its formula."""
    start, file = program_name(), shlex.quote(path.name)
    yield f"{start} evolve {shlex.join(_options(hall))}"
    yield " ".join((start, "replay", file, *_weights(hall)))
    yield f"{start} rank config.json --hall {file}"
    yield f"{start} show {file} --format torch > proxy.py"


def _options(hall: HallDocument) -> Iterator[str]:
    """The options of evolve that differ from their defaults, as far as there are options for them."""
    from commands.evolve import evolve

    config = dict(hall.config)
    search = config.pop("search", None)
    known = {**config, **(_searched(search) if isinstance(search, dict) else {})}
    yield from ("--benchmark", str(config.get("benchmark", hall.benchmark.name)), "--seed", str(hall.seed))
    for option in evolve.params:
        value = known.get(str(option.name))
        if option.name not in known or option.name in ("seed", "out", "weights") or value in (None, option.default):
            continue
        if isinstance(option, click.Option) and option.is_flag:
            yield from (option.opts[0],) if value else ()
        else:
            yield from (option.opts[0], str(value))
    yield from _weights(hall)


def _weights(hall: HallDocument) -> tuple[str, ...]:
    """The option that names the checkpoint of a run, whose folder a hall does not record."""
    return ("--weights", "DIR") if hall.config.get("weights") else ()


def _searched(search: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a search under the names and values of the options."""
    from primitives.inputs import INPUT_SETS
    from primitives.operators import AGGREGATION

    found = {key: value for key, value in search.items() if not isinstance(value, list)}
    found["no_pps"] = search.get("pps") is False
    aggregates, inputs = tuple(search.get("aggregates", ())), tuple(search.get("inputs", ()))
    sets = {tuple(AGGREGATION): "all", ("mean", "sum"): "both"}
    if aggregates:
        found["aggregate"] = sets.get(aggregates, aggregates[0])
    found["inputs"] = next((name for name, names in INPUT_SETS.items() if set(names) == set(inputs)), None)
    joins = search.get("joins", ())
    found["joins"] = "both" if len(joins) == 2 else next(iter(joins), None)
    return found | ({"mutations": ",".join(search["mutations"])} if search.get("mutations") else {})
