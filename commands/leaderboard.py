"""leaderboard: hand-made, naive and evolved proxies side by side on one benchmark."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.feature_options import FeatureOptions
from commands.live import live
from commands.loading import draw_split, load_named, split_of
from commands.options import BENCHMARK, METRIC, SPLIT_SEED, Name, examples, search_size
from commands.output import STATISTICS, ceiling_of, direction, rendered, say
from commands.tables import Interval, Row
from commands.weights import source_options

if TYPE_CHECKING:
    from fitness.evaluation import Split
    from fitness.leaderboard import Champion
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
    "--format", "form", type=Name("table", "json", "csv", "markdown"), default="table", show_default=True,
    help="How results are printed; json has the scores of every architecture as well.",
)  # fmt: skip
@source_options
def leaderboard(
    name: str, metric: str | None, halls: tuple[Path, ...], seed: int, search_size: int, out: Path | None, form: str,
    features: FeatureOptions,
) -> None:  # fmt: skip
    """Every hand-made proxy, naive baseline and regression in one table, and the champions of halls of fame.

    Held-out architectures are those that the halls' search did not see (the first hall's decides), or all but
    --search-size drawn with --seed. The p-value compares held-out tau with that of the best naive baseline.
    """
    from fitness.leaderboard import contenders, rival_contenders
    from fitness.leaderboard import leaderboard as ranked
    from report import board_document
    from storage.files import write_atomic

    benchmark = load_named(name, metric)
    workshop = features.open(benchmark.space)
    champions = _champions(halls, benchmark, workshop.bank.key.digest)
    split = next((split for _, _, split in champions if split), None) or draw_split(benchmark, search_size, seed)
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


def _champions(halls: Sequence[Path], benchmark: Benchmark, feature_key: str) -> list[Champion]:
    """The first formula of each hall, with what the reader should know about where it comes from."""
    from gp.hall_file import load_hall

    champions = []
    for number, path in enumerate(halls, start=1):
        document = load_hall(path)
        name = "evolved" if len(halls) == 1 else f"evolved {number}"
        same = document.benchmark.digest == benchmark.digest and document.benchmark.metric == benchmark.metric
        if not same:
            say(f"{name}: transfer, evolved on {document.benchmark.name} ({document.space})")
        elif document.feature_key != feature_key:
            say(f"{name}: evolved with other features; give the options of its run to compare like with like")
        champions.append((name, document.proxies[0].formula, split_of(document, benchmark) if same else None))
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
    between = "\n\n" if form == "markdown" else "\n"
    lost = [{"proxy": row["name"]} | _regret(row) for row in rows if row.get("regret")]
    second = rendered(lost, form, REGRET) + "\n" if lost else ""
    return rendered(cells, form, title) + "\n" + second + between.join(_notes(rows, benchmark, split))


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
    return [*notes[:-1], f"{notes[-1]}\n"]


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
