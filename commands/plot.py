"""plot: the figure of a hall of fame, a leaderboard or a study."""

from __future__ import annotations

from pathlib import Path

import click

from commands.feature_options import FeatureOptions, other_features
from commands.live import live
from commands.loading import load_for
from commands.options import examples
from commands.output import say
from commands.weights import source_options


@click.command(
    epilog=examples("plot proxies/gpt2-mini.json --out hall.png", "plot runs/STUDY/STUDY.json --out study.svg")
)
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--benchmark", "name", metavar="NAME|PATH", help="Benchmark on which a hall is drawn (default: that of its run)."
)
@click.option("--metric", help="Measured value that is the target of a hall (default: that of its run).")
@click.option("--out", type=click.Path(path_type=Path), help="FILE.png or .svg (default: beside the source, .png).")
@source_options
def plot(source: Path, name: str | None, metric: str | None, out: Path | None, features: FeatureOptions) -> None:
    """Draw a hall of fame, a leaderboard or a study.

    A hall's champion is scored exactly on every architecture, with the features of its run.
    """
    from gp.hall_file import hall_path, load_hall
    from report import draw_board, draw_hall, draw_study, landscape_of, load_document, save_figure

    source = hall_path(source)
    path = out or source.with_suffix(".png")
    if path.suffix.lower() not in (".png", ".svg"):
        raise click.UsageError(f"--out: got {path.name!r}, wanted a name that ends in .png or .svg")
    document = load_document(source)
    if document.kind != "hall of fame":
        if name is not None or metric is not None:
            raise click.UsageError("--benchmark and --metric go with a hall of fame; other files name their benchmark")
        save_figure((draw_study if document.kind == "study" else draw_board)(document.data), path)
        print(path)
        return
    hall = load_hall(source)
    benchmark = load_for(hall.seen, name, metric)
    case = hall.case_in(benchmark.space)
    workshop = features.of_run(hall.config, case).open_for(benchmark)
    if said := other_features(case, workshop):
        say(f"evolved {said}, so this is not quite what its run saw")
    with live(0) as reporter:
        landscape = landscape_of(hall, benchmark, workshop, source.parent / "generations.jsonl", reporter.networks)
    save_figure(draw_hall(landscape), path)
    print(path)
