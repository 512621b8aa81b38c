"""leaderboard: hand-made, naive and evolved proxies side by side on one benchmark."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from commands.live import live
from commands.options import Name, feature_options, load_named, open_workshop
from commands.output import ceiling_of, direction, emit, say


@click.command()
@click.option("--benchmark", "name", required=True, help="Name or path.")
@click.option("--metric", help="Which measured value is the target (default: the benchmark's own).")
@click.option("--hall", "halls", type=click.Path(path_type=Path), multiple=True, help="Add its champion; repeatable.")
@click.option("--seed", type=click.IntRange(0), default=42, show_default=True, help="Of the split.")
@click.option("--search-size", type=click.IntRange(10), default=50, show_default=True, help="Where signs are fixed.")
@click.option("--out", type=click.Path(path_type=Path), help="Write there instead of to stdout.")
@click.option(
    "--format", "form", type=Name("table", "json", "csv", "markdown"), default="table", show_default=True,
    help="json has the scores of every architecture as well.",
)  # fmt: skip
@feature_options
def leaderboard(
    name: str, metric: str | None, halls: tuple[Path, ...], seed: int, search_size: int, out: Path | None, form: str,
    **features: Any,
) -> None:  # fmt: skip
    """Every hand-made proxy and naive baseline in one table, and the champions of halls of fame.

    Held-out architectures are those that the halls' search did not see (the first hall's decides), or all but
    --search-size drawn with --seed. The p-value compares held-out tau with that of the best naive baseline.
    """
    from fitness.leaderboard import contenders
    from fitness.leaderboard import leaderboard as ranked
    from storage.files import write_atomic

    benchmark = load_named(name, metric)
    workshop = open_workshop(benchmark.space, **features)
    champions = _champions(halls, benchmark, workshop.bank.key.digest)
    split = next((c.split for c in champions if c.split), None) or _draw(benchmark, search_size, seed)
    with live(0) as reporter:
        entries = contenders(benchmark, workshop, champions, reporter.networks)
    rows = ranked(entries, benchmark, split)
    sink = io.StringIO()
    with redirect_stdout(sink):
        _show(rows, benchmark, split, workshop.bank.key, form)
    if out is None:
        print(sink.getvalue(), end="")
        return
    write_atomic(out, sink.getvalue().encode())
    say(f"written: {out}")


def _draw(benchmark: Any, search_size: int, seed: int) -> Any:
    from fitness.evaluation import split_groups

    if search_size > len(benchmark) - 10:
        raise click.UsageError(f"--search-size: got {search_size}, wanted at most {len(benchmark) - 10}")
    return split_groups(benchmark.groups, search_size, seed)


def _champions(halls: Sequence[Path], benchmark: Any, feature_key: str) -> list[Any]:
    """The first formula of each hall, with what the reader should know about where it comes from."""
    from commands.replay import recorded_split
    from fitness.leaderboard import Evolved
    from gp.hall_file import load_hall

    champions = []
    for number, path in enumerate(halls, start=1):
        document = load_hall(path)
        name = "evolved" if len(halls) == 1 else f"evolved {number}"
        same = document.benchmark.digest == benchmark.digest and document.benchmark.metric == benchmark.metric
        if not same:
            say(f"{name}: transfer, evolved on {document.benchmark.name} ({document.space})")
        elif document.feature_key != feature_key:
            say(
                f"{name}: evolved with other features than these; give the options of its run to compare like with like"
            )
        best = document.proxies[0]
        champions.append(Evolved(name, best.proxy, best.sign, recorded_split(document, benchmark) if same else None))
    return champions


def _show(rows: Sequence[Mapping[str, Any]], benchmark: Any, split: Any, key: Any, form: str) -> None:
    """The whole document on stdout."""
    if form == "json":
        from gp.runs.run import environment

        document = {
            "environment": environment(), "noise_ceiling": benchmark.header.get("noise_ceiling"),
            "benchmark": benchmark.name, "digest": benchmark.digest, "metric": benchmark.metric,
            "feature_key": key.digest, "build": key.build,
            "architectures": [a.id for a in benchmark.architectures], "quality": benchmark.quality.tolist(),
            "split": {part: list(getattr(split, part)) for part in ("search", "holdout")}, "rows": list(rows),
        }  # fmt: skip
        print(json.dumps(document, sort_keys=True, allow_nan=False))
        return
    if form == "csv":
        emit([_wide(row) for row in rows], form, "")
        return
    signs = f"{len(split.search)} architectures fix the signs, {len(split.holdout)} are held out"
    title = f"{benchmark.name}: correlation with {direction(benchmark)}, n = {len(benchmark)}; {signs}"
    emit([_columns(row) for row in rows], form, title)
    print()
    notes = [ceiling_of(benchmark) or "noise ceiling: not measured"]
    notes += [f"{row['name']}: {row['formula']}" for row in rows if row["kind"] == "evolved"]
    notes += [f"{row['name']} failed: {row['reason']}" for row in rows if row["reason"]]
    notes.append("inside-depth tau: mean over the depths that at least 10 architectures share, by their number")
    notes.append("near-size tau: over pairs whose #params differ by at most 10%; s/arch: passes and arithmetic")
    rivals = sorted({row["rival"] for row in rows if row["rival"]})
    notes += [f"p: one-sided, paired bootstrap of held-out tau against {', '.join(rivals)}"] if rivals else []
    print("\n\n".join(notes) if form == "markdown" else "\n".join(notes))


def _columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """One line of the table; a failed proxy has no figures. Headings of intervals differ in blanks only."""
    cells: dict[str, Any] = {"proxy": row["name"], "kind": row["kind"]}
    cells["sign"] = f"{row['sign']:+d}" if row["sign"] else None
    heading = "95%"
    for part, label in (("holdout", "held-out"), ("all", "all")):
        figures = row.get(part) or {}
        for statistic, letter in (("kendall", "tau"), ("spearman", "rho")):
            interval = figures.get(f"ci95_{statistic}")
            cells[f"{label} {letter}"] = figures.get(statistic)
            cells[heading] = "{:.3f}..{:.3f}".format(*interval) if interval else None
            heading += " "
    cells["inside-depth tau"] = row.get("inside_depth")
    cells["near-size tau"] = (row.get("near_pairs") or {}).get("kendall")
    cells["p"] = row["p_value"]
    cells["s/arch"] = row["seconds"]
    cells["note"] = "failed" if row["reason"] else ("" if row["shared_split"] else "own split")
    return cells


def _wide(row: Mapping[str, Any]) -> dict[str, Any]:
    """The same with distinct headings, for machines: "95%" becomes the name of the column before it, and low, high."""
    cells, before = {}, ""
    for heading, value in _columns(row).items():
        if heading.strip() != "95%":
            cells[heading] = value
            before = heading
            continue
        low, high = value.split("..") if value else (None, None)
        cells |= {f"{before} low": low, f"{before} high": high}
    return cells | {"formula": row["formula"], "source": row["source"], "note": row["reason"] or cells["note"]}
