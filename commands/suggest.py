"""suggest: which architectures to measure next, so that few labels say much."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.feature_options import FeatureOptions
from commands.live import live
from commands.loading import load_named
from commands.names import Name, table_of
from commands.options import BENCHMARK, FORMAT, METRIC, examples
from commands.output import emit, say
from commands.source import Predicted
from commands.tables import Row
from commands.weights import source_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from fitness.evaluation import Evaluation
    from fitness.predictors.predictor import Prediction, Predictor
    from gp.hall_file import HallDocument
    from models.architecture import Architecture
    from models.benchmarks.benchmark import Benchmark


@click.command(
    epilog=examples(
        "suggest --benchmark mine.jsonl --count 10",
        "suggest --benchmark mine.jsonl --candidates all.jsonl --goal improvement --format json",
    )
)
@BENCHMARK
@METRIC
@click.option("--count", type=click.IntRange(1, 1000), default=10, show_default=True, help="Number of suggestions.")
@click.option(
    "--candidates",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="JSON lines with id and config to choose from (default: drawn from the values of the measured ones).",
)
@click.option(
    "--pool",
    type=click.IntRange(1, 10_000),
    default=1000,
    show_default=True,
    help="Number of architectures drawn to choose from.",
)
@click.option("--seed", type=click.IntRange(0), default=42, show_default=True, help="Random seed of the draws.")
@click.option(
    "--goal",
    type=Name(table=table_of("fitness.predictors.suggestion", "GOALS", "interval", "improvement")),
    default="interval",
    show_default=True,
    help="To know the space, or to find the best architecture.",
)
@click.option("--hall", "path", type=click.Path(path_type=Path), help="Formulas that the predictions read as well.")
@FORMAT
@source_options
def suggest(
    name: str,
    metric: str | None,
    count: int,
    candidates: Path | None,
    pool: int,
    seed: int,
    goal: str,
    path: Path | None,
    form: str,
    features: FeatureOptions,
) -> None:
    """The architectures whose labels would tell most, beside those that a benchmark has measured.

    Every record of the benchmark counts as measured. Without --hall no network is built. The rows of --format csv read
    as rows of the benchmark once their metric is filled in.
    """
    from fitness.predictors.numbers import number_table
    from fitness.predictors.suggestion import drawn, suggested
    from gp.hall_file import load_hall

    benchmark = load_named(name, metric)
    found = _read(candidates, benchmark) if candidates else drawn(benchmark.architectures, pool, seed)
    known = {architecture.digest for architecture in benchmark.architectures}
    found = [architecture for architecture in found if architecture.digest not in known]
    if not found:
        raise click.UsageError(
            f"{candidates or name}: no architecture left that is not measured; give others with --candidates"
        )
    hall = None if path is None else load_hall(path)
    taken = features if hall is None else features.of_run(hall.config, hall.case_in(benchmark.space))
    predictor = _fitted(benchmark, hall, taken)
    asked = number_table(found, predictor.provenance.build)
    places = suggested(predictor.ensemble, predictor.numbers, predictor.quality, asked, count, goal, predictor.noise)
    chosen = [found[place] for place in places]
    guess = predictor.predict(chosen, _scores(predictor.formulas, chosen, taken))
    met = [hall.seen.by(architecture) if hall else None for architecture in chosen]
    _show(chosen, guess, met, benchmark, form, name)
    say(f"{len(benchmark)} measured, {len(found):,} candidates, goal: {goal}; after measuring them, suggest again")


def _read(path: Path, benchmark: Benchmark) -> list[Architecture]:
    """The candidates of a file; a mistake where labels of the benchmark tell nothing of one."""
    from models.candidates import read_candidates
    from models.spaces import SPACES

    found = read_candidates([path], benchmark.space)
    for architecture in found:
        if architecture.space != benchmark.space:
            raise click.UsageError(
                f"--candidates: {architecture.id}: got the space {architecture.space}, wanted {benchmark.space}, which "
                f"{benchmark.name} is of; leave it out"
            )
        SPACES[architecture.space].parameters(architecture)  # refuses what cannot be built
    return found


def _fitted(benchmark: Benchmark, hall: HallDocument | None, features: FeatureOptions) -> Predictor:
    """A predictor of all labels of the benchmark."""
    from fitness.predictors.predictor import Predictor, Provenance
    from models.spaces import SPACES

    formulas = [entry.formula for entry in hall.proxies] if hall else []
    build = features.build or SPACES[benchmark.space].builds[0]
    provenance = Provenance(
        benchmark.space, build, benchmark.name, benchmark.digest, benchmark.metric, benchmark.higher_is_better, ""
    )
    scores = _scores(formulas, benchmark.architectures, features)
    kind = None if hall else "numbers"
    return Predictor.fit(benchmark, range(len(benchmark)), provenance, formulas, scores, kind)


def _scores(
    formulas: Sequence[Evaluation], architectures: Sequence[Architecture], features: FeatureOptions
) -> np.ndarray | None:
    """Exact scores; None without formulas, for which no network is built."""
    if not formulas:
        return None
    with live(0) as reporter:
        workshop = features.open(architectures[0].space)
        return workshop.exact_scores([f.proxy for f in formulas], architectures, reporter.networks)


def _show(
    chosen: Sequence[Architecture],
    guess: Prediction,
    met: Sequence[str | None],
    benchmark: Benchmark,
    form: str,
    name: str,
) -> None:
    """The suggestions; a note says what is extrapolated, and what the search behind the formulas has seen (`met`)."""
    rows = [_row(place, architecture, guess, met[place]) for place, architecture in enumerate(chosen)]
    if form == "json":
        plain = [row | {"config": dict(a.config)} for row, a in zip(rows, chosen, strict=True)]
        print(json.dumps({"rows": plain}, indent=2, allow_nan=False))
    elif form == "csv":
        emit([_measurable(row, a, benchmark, name) for row, a in zip(rows, chosen, strict=True)], form, "")
    else:
        if not any(row["note"] for row in rows):
            rows = [{key: cell for key, cell in row.items() if key != "note"} for row in rows]
        emit(rows, form, f"{benchmark.name}: measure these next; predicted {benchmark.metric} with its 90% interval")


def _row(place: int, architecture: Architecture, guess: Prediction, met: str | None) -> Row:
    from models.spaces import SPACES

    space, beyond = SPACES[architecture.space], guess.beyond[place]
    depth, width = space.shape(architecture)
    said = Predicted(float(guess.values[place]), float(guess.low[place]), float(guess.high[place]))
    notes = [f"extrapolates: {', '.join(beyond)}"] * bool(beyond) + [f"seen in {met}"] * bool(met)
    sizes: Row = {"depth": depth, "width": width, "params": space.parameters(architecture).total}
    return {"id": architecture.id, **sizes, **said._asdict(), "note": "; ".join(notes)}


def _measurable(row: Row, architecture: Architecture, benchmark: Benchmark, name: str) -> Row:
    """A row that reads as one of the benchmark once its metric is filled in: fields under the names of the columns
    that a CSV benchmark has, lists in brackets."""
    from models.benchmarks.layouts.columns import field_columns

    path = Path(name)
    columns = field_columns(path, architecture.space) if path.suffix == ".csv" and path.is_file() else {}
    fields: Row = {
        columns.get(field, field): json.dumps(value) if isinstance(value, list | tuple) else value
        for field, value in architecture.config.items()
    }
    return {"id": architecture.id, **fields, benchmark.metric: None, **row}
