"""report: one HTML file that shows a run, a hall of fame or a leaderboard to anybody."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.feature_options import FeatureOptions, other_features
from commands.live import live
from commands.loading import load_for
from commands.options import examples
from commands.output import say
from commands.weights import source_options
from storage.program import program_name

if TYPE_CHECKING:
    from gp.hall_file import HallDocument
    from report.pages.page import ReportPage

JOURNAL, ENVIRONMENT = "generations.jsonl", "environment.json"


@click.command(epilog=examples("report proxies/gpt2-mini.json --out report.html", "report runs/RUN"))
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="FILE.html (default: beside the source).")
@click.option(
    "--benchmark", "name", metavar="NAME|PATH", help="Benchmark of a hall that is shown (default: the first)."
)
@source_options
def report(source: Path, out: Path | None, name: str | None, features: FeatureOptions) -> None:
    """Show a run, a hall of fame or a leaderboard as one HTML file that works offline.

    A hall's champion is scored exactly on every architecture, with the features of its run.
    """
    from gp.hall_file import hall_path
    from report import load_document
    from report.pages.board_page import board_page
    from report.pages.page import rendered_page
    from storage.files import write_atomic

    found = hall_path(source)
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


def _page(path: Path, name: str | None, features: FeatureOptions) -> ReportPage:
    """The report of a hall of fame on one of its benchmarks."""
    from gp.hall_file import load_hall
    from report import landscape_of
    from report.pages.evidence import evidence_of
    from report.pages.hall_page import hall_page

    hall = load_hall(path)
    benchmark = load_for(hall.seen, name, None)
    case = hall.case_of(benchmark)
    if case is None:
        raise click.UsageError(
            f"{benchmark.name}: its content is not that of the run; a report shows a hall on a benchmark of its own "
            f"({hall.names}), replay --benchmark on another"
        )
    workshop = features.of_run(hall.config, case).open_for(benchmark)
    if said := other_features(case, workshop):
        say(f"evolved {said}, so this is not quite what its run saw")
    with live(0) as reporter:
        landscape = landscape_of(hall, benchmark, workshop, path.parent / JOURNAL, reporter.networks)
        evidence = evidence_of(hall, landscape, workshop)
    return hall_page(hall, case, evidence, list(_commands(hall, path)), _environment(path.parent))


def _environment(folder: Path) -> Mapping[str, Any]:
    """Environment recorded by the run, else that of this machine."""
    from gp.runs.files import environment
    from storage.datum import Datum
    from storage.files import BadFile, load_json

    path = folder / ENVIRONMENT
    if not path.is_file():
        return {"of this report, not of the run": "", **environment()}
    return Datum(str(path), load_json(path, 1 << 20, "versions of a run"), BadFile).plain()


def _commands(hall: HallDocument, path: Path) -> Iterator[str]:
    """Commands that repeat the run, check its figures, and use its formula; a file without the options of its run says
    nothing of repeating it."""
    start, file = program_name(), shlex.quote(path.name)
    asked = hall.config.get("options")
    if isinstance(asked, list):
        yield f"{start} evolve {shlex.join(map(str, (*asked, *_weights(hall))))}"
    yield " ".join((start, "replay", file, *_weights(hall)))
    yield f"{start} rank config.json --hall {file}"
    yield f"{start} show {file} --format torch > proxy.py"


def _weights(hall: HallDocument) -> tuple[str, ...]:
    """The option that names the checkpoint of a run, whose folder a hall does not record."""
    return ("--weights", "DIR") if hall.config.get("weights") else ()
