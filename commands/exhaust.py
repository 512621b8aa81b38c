"""exhaust: rank every formula of the published space, and say where given ones stand."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.feature_options import FeatureOptions, other_features
from commands.live import live
from commands.loading import draw_split, load_named, split_ids
from commands.names import Name
from commands.options import BENCHMARK, FORMAT, METRIC, SPLIT_SEED, examples, search_size
from commands.output import columns_of, direction, emit, flat, say, say_ceiling, say_intervals
from commands.tables import Formula, Row
from commands.weights import source_options

if TYPE_CHECKING:
    from fitness.evaluation import Split
    from fitness.features.workshop import Progress, Workshop
    from fitness.ranking import RankTarget
    from fitness.tables.branches import BranchTable
    from gp.exhaustive import Survey
    from gp.hall_file import HallDocument, HallProxy, Measured
    from models.benchmarks.benchmark import Benchmark
    from primitives.proxy import Proxy

SHARES = (0.5, 0.9, 0.99, 0.999, 0.9999)


@click.command(
    epilog=examples("exhaust --benchmark gpt2-mini", "exhaust --benchmark gpt2-mini --compare proxies/gpt2-mini.json")
)
@BENCHMARK
@METRIC
@click.option("--n-unary", type=click.IntRange(1, 2), default=1, show_default=True, help="Unary operators in a branch.")
@click.option(
    "--aggregate", type=Name("mean", "sum"), default="mean", show_default=True, help="Aggregation over blocks."
)
@click.option(
    "--inputs",
    type=Name("paper", "extended", "all"),
    default="paper",
    show_default=True,
    help="Quantities of the network that formulas may read.",
)
@SPLIT_SEED
@search_size("Architectures it may see.")
@click.option("--top", type=click.IntRange(1, 1000), default=20, show_default=True, help="Formulas to show.")
@click.option("--compare", type=click.Path(path_type=Path), help="A hall of fame: rank, percentile and regret.")
@click.option("--jobs", type=click.IntRange(1, 256), default=2, show_default=True, help="Threads of the count.")
@FORMAT
@source_options
def exhaust(
    name: str,
    metric: str | None,
    n_unary: int,
    aggregate: str,
    inputs: str,
    seed: int,
    search_size: int,
    top: int,
    compare: Path | None,
    jobs: int,
    form: str,
    features: FeatureOptions,
) -> None:
    """Rank every formula of the published space on a search split, test the best on all others."""
    from fitness.ranking import RankTarget
    from fitness.tables.table_file import branch_table, save_branches
    from gp.exhaustive import exhaust as enumerate_space
    from gp.hall_file import load_hall
    from primitives.inputs import INPUT_SETS

    benchmark = load_named(name, metric)
    hall = None if compare is None else load_hall(compare)
    workshop = _workshop(hall, benchmark, features)
    records = hall.proxies if hall else ()
    split = (hall and hall.seen.split(benchmark)) or draw_split(benchmark, search_size, seed)
    seen, read = [benchmark.architectures[i] for i in split.search], INPUT_SETS[inputs]
    target = RankTarget.create(benchmark.quality[list(split.search)])
    with live(0) as reporter:
        table = branch_table(seen, workshop, reporter.networks)
    if reporter.should_stop():
        raise KeyboardInterrupt
    marks = _fitness(table, [record.proxy for record in records], target)
    start = time.monotonic()  # nothing is kept half-way, so that the first Ctrl-C may end it at once
    survey = enumerate_space(
        table,
        target,
        n_unary,
        aggregate,
        read,
        top,
        marks,
        jobs,
        lambda done, total: say(f"pairs of inputs {done}/{total}, {time.monotonic() - start:.0f} s"),
    )
    seconds = time.monotonic() - start
    with live(0) as reporter:
        save_branches(table, workshop.bank, seen)
        rows = _top_rows(survey, benchmark, workshop, split, reporter.networks)
    case = hall and hall.case_of(benchmark)
    compared = _compared_rows(
        records, case.figures if case else (), marks, survey, lambda p: _in_space(p, n_unary, aggregate, read)
    )
    if form == "json":
        asked = {"n_unary": n_unary, "aggregate": aggregate, "inputs": inputs, "seed": seed}
        found = {"top": flat(rows), "compared": flat(compared), "seconds": round(seconds, 3)}
        plain = {"benchmark": benchmark.name, **asked, "search_size": len(split.search), **_counts(survey), **found}
        plain["split"] = split_ids(benchmark, split)
        print(json.dumps(plain, indent=2, allow_nan=False))
        return
    title = f"{benchmark.name}: correlation with {direction(benchmark)}, best of {survey.trees:,} trees (sketch scores)"
    emit(rows, form, title)
    if form == "table":
        _say_survey(survey, seconds)
        _show_compared(compared, compare)
        say_ceiling(benchmark)
        say_intervals(len(split.holdout))


def _workshop(hall: HallDocument | None, benchmark: Benchmark, features: FeatureOptions) -> Workshop:
    """Features of the hall's run; a usage error for a hall of other benchmarks."""
    if hall is None:
        return features.open_for(benchmark)
    if (case := hall.case_of(benchmark)) is None:
        raise click.UsageError(f"--compare: evolved on {hall.names}, so it has no rank on {benchmark.name}")
    workshop = features.of_run(hall.config, case).open_for(benchmark)
    if said := other_features(case, workshop):
        say(f"--compare: evolved {said}, so its fitness here differs from the one it records")
    return workshop


def _fitness(table: BranchTable, proxies: Sequence[Proxy], target: RankTarget) -> list[float]:
    from fitness.objectives import evaluate_scores

    if not proxies:
        return []
    return [max(evaluation.fitness, 0.0) for evaluation in evaluate_scores(proxies, table.scores(proxies), target)]


def _in_space(proxy: Proxy, n_unary: int, aggregate: str, inputs: Sequence[str]) -> bool:
    """True if the enumeration has met this formula."""
    branches = proxy.branches
    joined_inside = len(branches) <= 2 and proxy.right_aggregate is None and proxy.aggregate == aggregate
    known = all(b.input in inputs and len(b.chain) <= n_unary for b in branches)
    return joined_inside and known and len({b.input for b in branches}) == len(branches)


def _compared_rows(
    records: Sequence[HallProxy],
    figures: Sequence[Measured],
    marks: Sequence[float],
    survey: Survey,
    in_space: Callable[[Proxy], bool],
) -> list[Row]:
    """Each formula beside the space: how many trees are better, and the distance to the best."""
    return [
        {
            "proxy": Formula(record.proxy.text, record.sign),
            "in the space": "yes" if in_space(record.proxy) else "no",
            "search rho": mark,
            "better trees": int(above),
            "top share %": 100 * int(above) / survey.valid,
            "regret": survey.top[0].fitness - mark,
            "held-out rho (exact)": (found.holdout or {}).get("spearman"),
        }
        for record, found, mark, above in zip(records, figures, marks, survey.above, strict=True)
    ]


def _show_compared(rows: Sequence[Row], path: Path | None) -> None:
    if rows:
        print()
        emit(rows, "table", f"{path} beside this space; better trees are those of the space with more fitness")


def _top_rows(
    survey: Survey, benchmark: Benchmark, workshop: Workshop, split: Split, progress: Progress | None
) -> list[Row]:
    """The best formulas with their figures on held-out and all architectures, from sketches."""
    from fitness.protocol import report
    from fitness.tables.table_file import branch_table
    from primitives.pps import violation

    scores = branch_table(benchmark.architectures, workshop, progress).scores([e.proxy for e in survey.top])
    rows: list[Row] = []
    for entry, row in zip(survey.top, scores, strict=True):
        rule = violation(entry.proxy)
        figures = columns_of(report(entry.sign * row, benchmark, split))
        rows.append({"proxy": Formula(entry.proxy.text, entry.sign), **figures, "PPS": rule.name if rule else ""})
    return rows


def _counts(survey: Survey) -> dict[str, Any]:
    """Counts of the enumeration as plain data."""
    return {
        "trees": survey.trees,
        "formulas": survey.formulas,
        "invalid": dict(survey.invalid),
        "valid": survey.valid,
        "quantiles": {str(share): survey.quantile(share) for share in SHARES},
    }


def _say_survey(survey: Survey, seconds: float) -> None:
    invalid = ", ".join(f"{reason} {count:,}" for reason, count in survey.invalid.items() if count)
    say(f"{survey.trees:,} trees, {survey.formulas:,} different formulas, {seconds:.1f} s; without a score: {invalid}")
    quantiles = ", ".join(f"{100 * share:g}% {survey.quantile(share):.3f}" for share in SHARES)
    say(f"search rho that a share of the trees does not exceed: {quantiles}")
