"""exhaust: rank every formula of the published space, and say where given ones stand."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from commands.live import live
from commands.options import FORMAT, Name, feature_options, load_named, open_workshop
from commands.output import columns_of, direction, emit, say, say_ceiling

SHARES = (0.5, 0.9, 0.99, 0.999, 0.9999)


@click.command()
@click.option("--benchmark", "name", required=True, help="Name or path.")
@click.option("--metric", help="Which measured value is the target.")
@click.option("--n-unary", type=click.IntRange(1, 2), default=1, show_default=True)
@click.option("--aggregate", type=Name("mean", "sum"), default="mean", show_default=True)
@click.option("--inputs", type=Name("paper", "extended"), default="paper", show_default=True)
@click.option("--seed", type=click.IntRange(0), default=42, show_default=True, help="Of the search split.")
@click.option("--search-size", type=click.IntRange(10), default=50, show_default=True)
@click.option("--top", type=click.IntRange(1, 1000), default=20, show_default=True, help="Formulas to show.")
@click.option("--compare", type=click.Path(path_type=Path), help="A hall of fame: rank, percentile and regret.")
@click.option("--jobs", type=click.IntRange(1, 256), default=2, show_default=True, help="Threads.")
@FORMAT
@feature_options
def exhaust(
    name: str, metric: str | None, n_unary: int, aggregate: str, inputs: str, seed: int, search_size: int, top: int,
    compare: Path | None, jobs: int, form: str, **features: Any,
) -> None:  # fmt: skip
    """Rank every formula of the published space on a search split, test the best on all others."""
    from fitness.evaluation import split_groups
    from fitness.ranking import RankTarget
    from fitness.replay import branch_table
    from fitness.tables.table_file import save_branches, table_path
    from gp.exhaustive import exhaust as enumerate_space
    from primitives.inputs import EXTENDED, PAPER

    benchmark = load_named(name, metric)
    workshop = open_workshop(benchmark.space, **features)
    split = split_groups(benchmark.groups, search_size, seed)
    halls, split = _compared(compare, benchmark, workshop, split)
    seen = [benchmark.architectures[i] for i in split.search]
    target = RankTarget.create(benchmark.quality[list(split.search)])
    with live(0) as reporter:
        table = branch_table(seen, workshop, reporter.networks)
        marks = _fitness(table, [p.proxy for p in halls], target)
        start = time.monotonic()
        survey = enumerate_space(
            table, target, n_unary, aggregate, EXTENDED if inputs == "extended" else PAPER, top, marks, jobs,
            lambda done, total: say(f"pairs of inputs {done}/{total}, {time.monotonic() - start:.0f} s"),
        )  # fmt: skip
        seconds = time.monotonic() - start
        save_branches(table, table_path(workshop.bank, seen))
        rows = _top_rows(survey, benchmark, workshop, split, reporter.networks)
    compared = [
        {"proxy": record.proxy.text, "search rho": mark, "better trees": int(above),
         "top share": int(above) / survey.valid, "regret": survey.top[0].fitness - mark,
         "held-out rho (exact)": (record.holdout or {}).get("spearman")}
        for record, mark, above in zip(halls, marks, survey.above, strict=True)
    ]  # fmt: skip
    if form == "json":
        plain = {
            "benchmark": benchmark.name, "n_unary": n_unary, "aggregate": aggregate, "inputs": inputs, "seed": seed,
            "search_size": len(split.search), "trees": survey.trees, "formulas": survey.formulas,
            "invalid": dict(survey.invalid), "valid": survey.valid,
            "quantiles": {str(share): survey.quantile(share) for share in SHARES},
            "top": rows, "compared": compared, "seconds": round(seconds, 3),
        }  # fmt: skip
        print(json.dumps(plain, indent=2, allow_nan=False))
        return
    title = f"{benchmark.name}: correlation with {direction(benchmark)}, best of {survey.trees:,} trees (sketch scores)"
    emit(rows, form, title)
    if form == "table":
        _say_survey(survey, seconds)
        if compared:
            emit([_shown(row) for row in compared], form, f"{compare} in this space")
        say_ceiling(benchmark)


def _compared(path: Path | None, benchmark: Any, workshop: Any, split: Any) -> tuple[Sequence[Any], Any]:
    """The formulas of a hall of fame, and the split they were searched on."""
    from commands.replay import recorded_split
    from gp.hall_file import load_hall

    if path is None:
        return [], split
    document = load_hall(path)
    if document.benchmark.digest != benchmark.digest:
        raise click.UsageError(
            f"--compare: {path} was evolved on {document.benchmark.name}, so it has no rank on {benchmark.name}"
        )
    if document.feature_key != workshop.bank.key.digest:
        say(f"{path} was evolved on other features, so its fitness here differs from the one it records")
    return document.proxies, recorded_split(document, benchmark) or split


def _fitness(table: Any, proxies: Sequence[Any], target: Any) -> list[float]:
    from fitness.evaluation import evaluate_scores

    if not proxies:
        return []
    found = evaluate_scores(proxies, table.scores(proxies), target)
    return [max(evaluation.fitness, 0.0) for evaluation in found]


def _top_rows(survey: Any, benchmark: Any, workshop: Any, split: Any, progress: Any) -> list[dict[str, Any]]:
    """The best formulas with their figures on held-out and all architectures, from sketches."""
    from fitness.protocol import report
    from fitness.replay import sketch_scores
    from primitives.pps import violation

    scores = sketch_scores([e.proxy for e in survey.top], benchmark.architectures, workshop, progress)
    rows = []
    for entry, row in zip(survey.top, scores, strict=True):
        rule = violation(entry.proxy)
        figures = columns_of(report(entry.sign * row, benchmark, split))
        rows.append(
            {"proxy": entry.proxy.text, "sign": f"{entry.sign:+d}", **figures, "PPS": rule.name if rule else ""}
        )
    return rows


def _say_survey(survey: Any, seconds: float) -> None:
    invalid = ", ".join(f"{reason} {count:,}" for reason, count in survey.invalid.items() if count)
    say(f"{survey.trees:,} trees, {survey.formulas:,} different formulas, {seconds:.1f} s; without a score: {invalid}")
    quantiles = ", ".join(f"{100 * share:g}% {survey.quantile(share):.3f}" for share in SHARES)
    say(f"search rho that a share of the trees does not exceed: {quantiles}")


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"better trees": f"{row['better trees']:,}", "top share": f"{100 * row['top share']:.4f}%"}
