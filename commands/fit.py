"""fit: a predictor of quality from formulas, numbers of the configuration, and the labels of one search split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.feature_options import WHERE, FeatureOptions
from commands.live import live
from commands.loading import load_for
from commands.names import Name, table_of
from commands.options import FORMAT, examples
from commands.output import emit, say, say_next
from commands.tables import Row
from commands.weights import source_options

if TYPE_CHECKING:
    from fitness.predictors.predictor import Predictor


@click.command(
    epilog=examples("fit proxies/gpt2-mini.json", "fit proxies/gpt2-mini.json --kind numbers --out predictor.json")
)
@click.argument("hall", type=click.Path(path_type=Path))
@click.option(
    "--benchmark", "name", metavar="NAME|PATH", help="Benchmark whose labels are used (default: the hall's first)."
)
@click.option(
    "--kind",
    type=Name(
        "auto", table=table_of("fitness.predictors.predictor", "KINDS", "numbers", "numbers and committee", "champion")
    ),
    default="auto",
    show_default=True,
    help="Kind of predictor; auto: chosen by cross-validation inside the search split.",
)
@click.option("--out", type=click.Path(path_type=Path), help="The file to write (default: HALL-predictor.json).")
@FORMAT
@source_options
def fit(hall: Path, name: str | None, kind: str, out: Path | None, form: str, features: FeatureOptions) -> None:
    """Fit a predictor of quality to the labels that the search behind HALL saw.

    Only the labels of its search split are used. The predictor is data, JSON that can be read and checked.
    """
    from fitness.predictors.predictor_file import save_predictor
    from gp.hall_file import hall_path

    hall = hall_path(hall)
    path = out or hall.with_name(f"{hall.stem}-predictor.json")
    if path.resolve() == hall.resolve():
        raise click.UsageError(f"--out: got {path}, the hall of fame itself; give another name")
    predictor = _fitted(hall, name, None if kind == "auto" else kind, features)
    save_predictor(path, predictor)
    emit(_rows(predictor), form, f"{predictor.provenance.name}: predictor of {predictor.provenance.metric}")
    say(f"{predictor.kind}, fitted to {len(predictor.ids)} labels; written: {path}")
    say_next("replay", "--predictor", path, keep=("name", *WHERE))


def _fitted(path: Path, name: str | None, kind: str | None, features: FeatureOptions) -> Predictor:
    """The predictor of a hall's formulas and of the labels that its search saw of one benchmark."""
    from fitness.predictors.predictor import Predictor, Provenance
    from gp.hall_file import load_hall

    hall = load_hall(path)
    benchmark = load_for(hall.seen, name, None)
    case, split = hall.case_of(benchmark), hall.seen.split(benchmark)
    if case is None or split is None:
        raise click.UsageError(f"{path}: its labels are those of {hall.names}; give one of these with --benchmark")
    taken = features.of_run(hall.config, case)
    workshop = taken.open_for(benchmark)
    formulas = [entry.formula for entry in hall.proxies]
    seen = [benchmark.architectures[i] for i in split.search]
    with live(0) as reporter:
        scores = workshop.exact_scores([f.proxy for f in formulas], seen, reporter.networks)
    key, run = workshop.bank.key, {name: v for name, v in hall.config.items() if name not in ("weights", "price")}
    config = {**run, **taken.recorded(workshop)}
    provenance = Provenance(
        case.space,
        key.build,
        case.benchmark.name,
        case.benchmark.digest,
        benchmark.metric,
        benchmark.higher_is_better,
        key.digest,
        config,
        name or case.place,
        hall.seen.cases,
    )
    return Predictor.fit(benchmark, split.search, provenance, formulas, scores, kind)


def _rows(predictor: Predictor) -> list[Row]:
    """Rows with the candidates of the cross-validation and the members of the ensemble."""
    from fitness.predictors.ensemble import ENSEMBLE

    notes = {
        "numbers": "on labels left out",
        "champion": "on the labels it was chosen by",
        "committee": "on the labels it was chosen by",
    }
    compared: list[Row] = [{"part": n, "tau": tau, "weight": None, "note": notes[n]} for n, tau in predictor.cv.items()]
    members = zip(ENSEMBLE, predictor.ensemble.members, strict=True)
    return compared + [{"part": n, "tau": None, "weight": weight, "note": "of numbers"} for n, (_, weight) in members]
