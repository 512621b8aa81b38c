"""leaderboard: hand-made, naive and evolved proxies side by side on one benchmark."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.feature_options import FeatureOptions, other_features
from commands.live import live
from commands.loading import draw_split, load_named, say_transfer
from commands.names import Name
from commands.options import BENCHMARK, METRIC, SPLIT_SEED, examples, search_size
from commands.output import STATISTICS, between_words, ceiling_of, direction, page_width, rendered, say
from commands.tables import Interval, Row
from commands.weights import source_options

if TYPE_CHECKING:
    from fitness.evaluation import Split
    from fitness.features.workshop import Workshop
    from fitness.leaderboard import Champion
    from gp.hall_file import HallDocument
    from models.benchmarks.benchmark import Benchmark


REGRET = "regret in standard deviations: the first choice, and the best of the first 10, in terciles of #params"


@click.command(
    epilog=examples(
        "leaderboard --benchmark gpt2-mini --hall proxies/gpt2-mini.json",
        "leaderboard --benchmark gpt2-wt103 --format markdown --out board.md",
    )
)
@BENCHMARK
@METRIC
@click.option("--hall", "halls", type=click.Path(path_type=Path), multiple=True, help="Add its champion; repeatable.")
@SPLIT_SEED
@search_size("Where signs are fixed.")
@click.option("--out", type=click.Path(path_type=Path), help="Write there instead of to stdout.")
@click.option(
    "--format",
    "form",
    type=Name("table", "json", "csv", "markdown"),
    default="table",
    show_default=True,
    help="How results are printed; json has the scores of every architecture as well.",
)
@source_options
def leaderboard(
    name: str,
    metric: str | None,
    halls: tuple[Path, ...],
    seed: int,
    search_size: int,
    out: Path | None,
    form: str,
    features: FeatureOptions,
) -> None:
    """Every hand-made proxy, naive baseline and regression in one table, and the champions of halls of fame.

    Held-out architectures are those that the halls' search did not see (the first hall's decides), or all but
    --search-size drawn with --seed; none that a hall's search saw is ever held out. Features are those of the first
    hall. The p-value compares held-out tau with that of the best naive baseline.
    """
    from fitness.leaderboard import contenders, rival_contenders
    from fitness.leaderboard import leaderboard as ranked
    from gp.hall_file import load_hall
    from report import board_document
    from storage.files import write_atomic

    benchmark = load_named(name, metric)
    found = [load_hall(path) for path in halls]
    workshop = _workshop(found, features, benchmark)
    own = next((hall.seen.split(benchmark) for hall in found if hall.case_of(benchmark)), None)
    split = own or draw_split(benchmark, search_size, seed)
    champions = _champions(found, benchmark, split)
    with live(0) as reporter:
        entries = contenders(benchmark, workshop, champions, reporter.networks)
    entries += rival_contenders(benchmark, split, workshop.bank.key.build)
    rows = ranked(entries, benchmark, split)
    if form == "json":
        document = board_document(rows, benchmark, split, workshop.bank.key)
        text = json.dumps(document, sort_keys=True, allow_nan=False) + "\n"
    else:
        text = _page(rows, benchmark, split, form)
    if out is None:
        print(text, end="")
        return
    write_atomic(out, text.encode())
    say(f"written: {out}")


def _workshop(halls: Sequence[HallDocument], features: FeatureOptions, benchmark: Benchmark) -> Workshop:
    """Features of the first hall that met the space of the benchmark; those of every other hall must be the same."""
    cases = [(f"evolved {n}", hall, case) for n, hall in enumerate(halls, 1) if (case := hall.case_in(benchmark.space))]
    if not cases:
        return features.open_for(benchmark)
    workshop = features.of_run(cases[0][1].config, cases[0][2]).open_for(benchmark)
    for name, _, case in cases:
        if said := other_features(case, workshop):
            if case.feature_key != cases[0][2].feature_key:
                raise click.UsageError(f"--hall: {name} was evolved {said}, those of {cases[0][0]}; leave one out")
            say(f"{name}: evolved {said}, so this is not quite what its run saw")
    return workshop


def _champions(halls: Sequence[HallDocument], benchmark: Benchmark, split: Split) -> list[Champion]:
    """The first formula of each hall, with the split on which nothing that its search saw is held out."""
    champions: list[Champion] = []
    for number, hall in enumerate(halls, start=1):
        name = "evolved" if len(halls) == 1 else f"evolved {number}"
        say_transfer(f"{name}: transfer, evolved", hall.seen, benchmark)
        champions.append(
            (name, hall.proxies[0].formula, hall.seen.split(benchmark) or hall.seen.apart(split, benchmark))
        )
    return champions


def _page(rows: Sequence[Mapping[str, Any]], benchmark: Benchmark, split: Split, form: str) -> str:
    """The table, and below it what its readers should know."""
    cells = [_cells(row) for row in rows]
    if form == "csv":
        pairs = zip(cells, rows, strict=True)
        more = ("formula", "source")
        full = [c | _regret(r) | {k: r[k] for k in more} | {"note": r["reason"] or c["note"]} for c, r in pairs]
        return rendered(full, form, "")
    if not any(cell["note"] for cell in cells):  # a column of nothing is no column
        cells = [{name: value for name, value in cell.items() if name != "note"} for cell in cells]
    signs = f"{len(split.search)} architectures fix the signs, {len(split.holdout)} are held out"
    title = f"{benchmark.name}: correlation with {direction(benchmark)}, n = {len(benchmark)}; {signs}"
    notes = _notes(rows, benchmark, split)
    lines = [between_words(note, page_width()) for note in notes]
    below = "\n\n".join(notes) if form == "markdown" else "\n".join(lines)
    lost = [{"proxy": row["name"]} | _regret(row) for row in rows if row.get("regret")]
    second = rendered(lost, form, REGRET) + "\n" if lost else ""
    return rendered(cells, form, title) + "\n" + second + below + "\n"


def _regret(row: Mapping[str, Any]) -> Row:
    """By budget, of the first choice and of the best of ten; nothing of a failed proxy."""
    found = row.get("regret") or {}
    return {f"{budget}, {first}": value for budget, firsts in found.items() for first, value in firsts.items()}


def _notes(rows: Sequence[Mapping[str, Any]], benchmark: Benchmark, split: Split) -> list[str]:
    from fitness.protocol import interval_note

    notes = [ceiling_of(benchmark) or "noise ceiling: not measured"]
    notes += [note] if (note := interval_note(len(split.holdout))) else []
    notes += [f"{row['name']}: {row['formula']}" for row in rows if row["kind"] == "evolved"]
    notes += [f"{row['name']} failed: {row['reason']}" for row in rows if row["reason"]]
    notes.append(f"fitted: to the {len(split.search)} labels of the search split, numbers of the configuration only")
    notes.append("inside-depth tau: mean over the depths that at least 10 architectures share, by their number")
    notes.append("near-size tau: over pairs whose #params differ by at most 10%; s/arch: passes and arithmetic")
    rivals = sorted({row["rival"] for row in rows if row["rival"]})
    notes += [f"p: one-sided, paired bootstrap of held-out tau against {', '.join(rivals)}"] if rivals else []
    return notes


def _cells(row: Mapping[str, Any]) -> Row:
    """One line of the table; a failed proxy has no figures."""
    cells: dict[str, Any] = {"proxy": row["name"], "kind": row["kind"], "sign": row["sign"]}
    for part, label in (("holdout", "held-out"), ("all", "all")):
        figures = row.get(part) or {}
        for statistic, letter in reversed(STATISTICS):
            cells[f"{label} {letter}"] = figures.get(statistic)
            cells[f"{label} {letter} ci95"] = Interval.of(figures.get(f"ci95_{statistic}"))
    cells["inside-depth tau"] = row.get("inside_depth")
    cells["near-size tau"] = (row.get("near_pairs") or {}).get("kendall")
    cells |= {"p": row["p_value"], "s/arch": row["seconds"]}
    return cells | {"note": "failed" if row["reason"] else ("" if row["shared_split"] else "own split")}
