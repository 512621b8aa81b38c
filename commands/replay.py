"""replay: score saved formulas on every architecture of a benchmark."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.feature_options import FeatureOptions
from commands.live import live
from commands.loading import load_for, load_named, say_transfer, split_ids
from commands.options import FORMAT, ON_INVALID, examples
from commands.output import columns_of, direction, emit, say, say_ceiling, say_intervals
from commands.predicting import beside, opened, records, say_records
from commands.tables import Formula, Row
from commands.weights import source_options

if TYPE_CHECKING:
    from fitness.evaluation import Evaluation, Split
    from fitness.features.workshop import Workshop
    from fitness.predictors.predictor import Predictor
    from fitness.replay import ReplayRow
    from fitness.seen import Seen
    from gp.hall_file import HallDocument
    from models.benchmarks.benchmark import Benchmark

DEFAULT = "gpt2-mini"
COMPARED = 5  # formulas whose figures inside groups are shown
TOLERATED = 5e-4  # of a correlation, to the one on record


@click.command(
    epilog=examples(
        "replay proxies/gpt2-mini.json",
        "replay proxies/gpt2-mini.json --benchmark gpt2-wt103",
        "replay --predictor predictor.json",
        "replay --proxy 'sum[ product( abs(W), abs(G) ) ]' --benchmark gpt2-mini --sketch",
    )
)
@click.argument("hall", type=click.Path(path_type=Path), required=False)
@click.option("--benchmark", "name", metavar="NAME|PATH", help="Benchmark to score (default: that of the hall).")
@click.option("--metric", help="Which measured value is the target (default: that of the hall).")
@click.option("--proxy", "text", help="A formula instead of a file.")
@click.option("--committee", "size", type=click.IntRange(2), help="Show the first K formulas as one scorer too.")
@click.option("--predictor", "fitted", type=click.Path(path_type=Path), help="A predictor that fit has written.")
@click.option("--sketch", is_flag=True, help="Score sketches instead of all entries: faster, nearly equal.")
@ON_INVALID
@FORMAT
@source_options
def replay(
    hall: Path | None, name: str | None, metric: str | None, text: str | None, size: int | None, fitted: Path | None,
    sketch: bool,
    on_invalid: str, form: str, features: FeatureOptions,
) -> None:  # fmt: skip
    """Score saved formulas, or a predictor, on every architecture of a benchmark.

    Features are those of the hall's run, and so is the metric, unless it is given.
    """
    from fitness.features.soundness import screen
    from fitness.replay import replay as run

    predictor = opened(fitted)
    source = _Source.of(hall, text, predictor, (name, metric, features))
    formulas = source.formulas
    if size is not None and size > len(formulas):
        raise click.UsageError(f"--committee: got {size}, wanted at most {len(formulas)}, the number of formulas")
    workshop = source.features.open_for(source.benchmark)
    _say_visits(source, workshop, sketch)
    with live(0) as reporter:
        if not sketch:
            workshop.prepare([f.proxy for f in formulas], source.benchmark.architectures, reporter.networks)
        screened = screen(source.benchmark, workshop, source.split, on_invalid, reporter.networks)
        benchmark, split = screened.benchmark, screened.split
        known = source.recorded(workshop.bank.key.digest)
        rows = run(formulas, benchmark, workshop, split, sketch, reporter.networks, known)
        guess = records(predictor, benchmark, split, workshop, reporter.networks)
    if screened.report:
        say(screened.report)
    others = beside(rows, size, benchmark, split, workshop.bank.key.build, not source.transfer)
    if form == "json":
        plain = {"benchmark": benchmark.name, "exact": not sketch, "transfer": source.transfer,
                 "split": split_ids(benchmark, split),
                 "dropped": list(screened.dropped), "proxies": [row.to_dict() for row in rows], **others,
                 "committee": next(iter(others["committee"]), None), "predictor": next(iter(guess), None)}  # fmt: skip
        print(json.dumps(plain, indent=2, sort_keys=True, allow_nan=False))
        return
    more = [record for part in others.values() for record in part]
    _show([*(row.to_dict() for row in rows), *guess, *more], form, source.title(benchmark))
    if form == "table":
        say_ceiling(benchmark)
        if split is not None:
            say_intervals(len(split.holdout))
        _say_notes(rows, sketch)
        say_records(guess, split)


@dataclass(frozen=True)
class _Source:
    """Input of a replay: formulas, the figures that a file has of them, a benchmark and feature options."""

    formulas: Sequence[Evaluation]
    benchmark: Benchmark
    features: FeatureOptions
    hall: HallDocument | None = None
    seen: Seen | None = None

    @classmethod
    def of(
        cls, hall: Path | None, text: str | None, predictor: Predictor | None,
        asked: tuple[str | None, str | None, FeatureOptions],
    ) -> _Source:  # fmt: skip
        """Formulas that the user names: a formula alone, or a hall of fame, or a predictor, or both of these."""
        if text is not None and hall is None and predictor is None:
            return cls.of_text(text, *asked)
        if hall is None and text is None and predictor is not None:
            return cls.of_predictor(predictor, *asked)
        if hall is None or text is not None:
            raise click.UsageError("wanted a hall of fame file, --predictor FILE, both, or --proxy 'TEXT' alone")
        return cls.of_hall(hall, *asked)

    @classmethod
    def of_predictor(
        cls, predictor: Predictor, name: str | None, metric: str | None, features: FeatureOptions
    ) -> _Source:
        """The formulas that a predictor reads, on the benchmark of its labels if no other is given."""
        known, seen = predictor.provenance, predictor.seen
        benchmark = load_for(seen, name, metric)
        say_transfer("transfer: fitted to labels, with formulas evolved,", seen, benchmark)
        taken = features.of_run(known.config, known if known.space == benchmark.space else None)
        return cls(predictor.formulas, benchmark, taken, None, seen)

    @classmethod
    def of_text(cls, text: str, name: str | None, metric: str | None, features: FeatureOptions) -> _Source:
        """One formula, by default on the embedded benchmark; says what will be visited."""
        from fitness.evaluation import Evaluation
        from primitives.grammar import parse

        formula = Evaluation(parse(text), 0.0, 1)
        benchmark = load_named(DEFAULT if name is None else name, metric)
        if name is None:
            say(f"no benchmark given: {DEFAULT} is taken")
        return cls([formula], benchmark, features)

    @classmethod
    def of_hall(cls, path: Path, name: str | None, metric: str | None, features: FeatureOptions) -> _Source:
        """The formulas of a hall of fame, on its benchmark with its features if no others are given."""
        from gp.hall_file import load_hall

        hall = load_hall(path)
        benchmark = load_for(hall.seen, name, metric)
        say_transfer("transfer: evolved", hall.seen, benchmark)
        formulas = [record.formula for record in hall.proxies]
        taken = features.of_run(hall.config, hall.case_in(benchmark.space))
        return cls(formulas, benchmark, taken, hall, hall.seen)

    @property
    def split(self) -> Split | None:
        """The seen and the held-out architectures of the benchmark; None if none was seen."""
        return self.seen.parted(self.benchmark) if self.seen else None

    @property
    def transfer(self) -> bool:
        """True if the formulas were evolved, or the predictor fitted, on other benchmarks."""
        return self.seen is not None and self.seen.case_of(self.benchmark) is None

    def recorded(self, feature_key: str) -> list[Mapping[str, Any]]:
        """The figures that the hall of fame has of its formulas; none where other features or labels were used."""
        case = self.hall and self.hall.case_of(self.benchmark)
        if not case or case.benchmark.metric != self.benchmark.metric or case.feature_key != feature_key:
            return []
        return [vars(figures) for figures in case.figures]

    def title(self, benchmark: Benchmark) -> str:
        title = f"{benchmark.name}: correlation with {direction(benchmark)}, n = {len(benchmark)}"
        if self.hall is not None and self.transfer:
            title += f"; transfer of formulas that were evolved on {self.hall.names}"
        return title


def _say_visits(source: _Source, workshop: Workshop, sketch: bool) -> None:
    """Print the number of networks to visit, before the visits start."""
    from fitness.features.figures import part_scores
    from fitness.features.takers import SketchTaker

    taker = SketchTaker() if sketch else part_scores([formula.proxy for formula in source.formulas])
    architectures = {a.digest: a for a in source.benchmark.architectures}.values()
    if lacking := sum(taker.lacking(workshop.bank, a) is not None for a in architectures):
        say(f"{source.benchmark.name}: {lacking} of {len(architectures)} networks to visit, the rest is in the bank")


def _show(records: Sequence[Mapping[str, Any]], form: str, title: str) -> None:
    """Formulas, committee and baselines as a table, and how they do inside groups; in one table for machines."""
    figures = [_figures(record) for record in records]
    if form == "csv":
        emit([f | _inside(r) for f, r in zip(figures, records, strict=True)], form, "")
        return
    emit(figures, form, title)
    if inside := _inside_rows(records):
        print()
        emit(inside, form, "rho inside one depth and inside one width")


def _figures(record: Mapping[str, Any]) -> Row:
    """One row of the replay table. tau-a counts ties as neither, so a count with few values gets less than its tau-b;
    `near-size tau` is over pairs whose #params differ by at most 10%."""
    text = record.get("text")
    scorer = Formula(text or f"({record['name']})", record.get("sign", 1), text is not None)
    more: Row = {"all tau-a": record["all"]["kendall_a"], "near-size tau": record["near_pairs"]["kendall"]}
    return {"proxy": scorer, **columns_of(record), **more}


def _inside(record: Mapping[str, Any]) -> Row:
    return {group: found["spearman"] for group, found in record["inside"].items()}


def _inside_rows(records: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Groups down, the first formulas and the baselines across."""
    formulas = [record for record in records if "text" in record]
    shown = {f"#{place}": record for place, record in enumerate(formulas[:COMPARED], start=1)}
    shown |= {record["name"]: record for record in records if "text" not in record}
    groups = records[0]["inside"]
    return [
        {"group": group, "n": groups[group]["n"]} | {name: _inside(record)[group] for name, record in shown.items()}
        for group in groups
    ]


def _say_notes(rows: Sequence[ReplayRow], sketch: bool) -> None:
    """Print which rules the formulas break, and how far the figures are from those on record."""
    from primitives.pps import RULES

    for row in rows:
        if row.rules:
            broken = "; ".join(f"{rule.name} ({rule.sentence})" for rule in RULES.values() if rule.name in row.rules)
            say(f"PPS would refuse {row.formula.proxy}: {broken}")
    deviations = {str(row.formula.proxy): row.deviation for row in rows if row.deviation is not None}
    if not deviations:
        return
    largest = max(deviations.values())
    if sketch:
        say(f"figures of sketches; those on record are exact, the largest difference of a correlation is {largest:.2g}")
        return
    for text, deviation in deviations.items():
        if deviation > TOLERATED:
            say(f"differs from the record by {deviation:.6f}: {text}")
    say(f"agreement with the record: largest difference of a correlation {largest:.2g}")
