"""plot: the figure of a hall of fame, a leaderboard or a study."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from commands.live import live
from commands.options import feature_options, load_named, open_workshop
from commands.output import say

MAX_BYTES = 64 << 20
WANTED = "a hall of fame, the JSON of leaderboard --format json, or that of ablate"


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--benchmark", "name", help="Of a hall: name or path (default: the one it was evolved on).")
@click.option("--metric", help="Of a hall: which measured value is the target.")
@click.option("--out", type=click.Path(path_type=Path), help="FILE.png or .svg (default: beside the source, .png).")
@feature_options
def plot(source: Path, name: str | None, metric: str | None, out: Path | None, **features: Any) -> None:
    """Draw a hall of fame, a leaderboard or a study.

    A hall's champion is scored exactly on every architecture; the feature options are those of its run.
    """
    from report import draw_board, draw_study, save_figure
    from storage.files import BadFile, load_json

    path = out or source.with_suffix(".png")
    if path.suffix.lower() not in (".png", ".svg"):
        raise click.UsageError(f"--out: got {path.name!r}, wanted a name that ends in .png or .svg")
    document = load_json(source, MAX_BYTES, WANTED)
    names = set(document) if isinstance(document, dict) else set()
    if {"proxies", "split"} <= names:
        figure = _hall(source, name, metric, features)
    elif name is not None or metric is not None:
        raise click.UsageError("--benchmark and --metric go with a hall of fame; other files name their benchmark")
    elif document_kind(names) is None:
        raise BadFile(f"{source}: got another kind of file, wanted {WANTED}")
    else:
        figure = (draw_study if document_kind(names) == "study" else draw_board)(document)
    save_figure(figure, path)
    print(path)


def document_kind(names: set[str]) -> str | None:
    """What a JSON object with these fields is."""
    if {"study", "trials"} <= names:
        return "study"
    return "leaderboard" if {"rows", "split"} <= names else None


def _hall(source: Path, name: str | None, metric: str | None, features: dict[str, Any]) -> Any:
    """The figure of the champion on its own benchmark, or on another one."""
    from commands.replay import recorded_split
    from gp.hall_file import load_hall
    from report import Landscape, draw_hall

    hall = load_hall(source)
    own = str(hall.config.get("benchmark", hall.benchmark.name))
    benchmark = load_named(name or own, metric or (hall.benchmark.metric if name in (None, own) else None))
    same = hall.benchmark.digest == benchmark.digest
    workshop = open_workshop(benchmark.space, **features)
    if same and hall.feature_key != workshop.bank.key.digest:
        say("evolved with other features than these; give the options of its run to see what it saw")
    champion = hall.proxies[0]
    with live(0) as reporter:
        scores = workshop.exact_scores([champion.proxy], benchmark.architectures, reporter.networks)[0]
    generations = _generations(source.parent / "generations.jsonl") if same else []
    split = recorded_split(hall, benchmark) if same else None
    return draw_hall(
        Landscape(champion.proxy.text, champion.sign, champion.sign * scores, benchmark, split, generations)
    )


def _generations(path: Path) -> list[dict[str, Any]]:
    """The lines of a run's journal; none if it is absent, up to the first that is broken otherwise."""
    lines: list[dict[str, Any]] = []
    if not path.is_file():
        return lines
    with suppress(ValueError, KeyError, TypeError, OSError), path.open(encoding="utf-8") as file:
        for text in file:
            line = json.loads(text)
            lines.append({key: line[key] for key in ("evaluations", "best_fitness", "mean_fitness")})
    return lines
