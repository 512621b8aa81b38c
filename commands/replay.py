"""replay: score saved formulas on every architecture of a benchmark."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from commands.live import live
from commands.options import FORMAT, ON_INVALID, feature_options, load_named, open_workshop
from commands.output import columns_of, direction, emit, say, say_ceiling


@click.command()
@click.argument("hall", type=click.Path(path_type=Path), required=False)
@click.option("--benchmark", "name", help="Name or path (default: the one the hall was evolved on).")
@click.option("--metric", help="Which measured value is the target.")
@click.option("--proxy", "text", help="A formula instead of a file.")
@click.option("--committee", "size", type=click.IntRange(2), help="Show the first K formulas as one scorer too.")
@click.option("--sketch", is_flag=True, help="Score sketches instead of all entries: faster, nearly equal.")
@ON_INVALID
@FORMAT
@feature_options
def replay(
    hall: Path | None, name: str | None, metric: str | None, text: str | None, size: int | None, sketch: bool,
    on_invalid: str, form: str, **features: Any,
) -> None:  # fmt: skip
    """Score saved formulas on every architecture of a benchmark."""
    from fitness.features.soundness import screen
    from fitness.protocol import baselines
    from fitness.replay import committee
    from fitness.replay import replay as run

    if (hall is None) == (text is None):
        raise click.UsageError("wanted a hall of fame file or --proxy 'TEXT', one of them")
    candidates, recorded = _candidates(hall, text)
    if size is not None and size > len(candidates):
        raise click.UsageError(f"--committee: got {size}, wanted at most {len(candidates)}, the number of formulas")
    name = name or (str(recorded.config.get("benchmark", recorded.benchmark.name)) if recorded else "gpt2-mini")
    benchmark = load_named(name, metric)
    same = recorded is not None and recorded.benchmark.digest == benchmark.digest
    split = recorded_split(recorded, benchmark) if same else None
    if recorded is not None and not same:
        say(f"transfer: evolved on {recorded.benchmark.name} ({recorded.space}), replayed on {benchmark.name}")
    workshop = open_workshop(benchmark.space, **features)
    if not (same and recorded.feature_key == workshop.bank.key.digest):
        candidates = [type(c)(c.proxy, c.sign) for c in candidates]  # other features: nothing to compare with
    with live(0) as reporter:
        if not sketch:
            workshop.exact_scores([c.proxy for c in candidates], benchmark.architectures, reporter.networks)
        screened = screen(benchmark, workshop, split, on_invalid, reporter.networks)
        benchmark, split = screened.benchmark, screened.split
        rows = run(candidates, benchmark, workshop, split, sketch, reporter.networks)
    if screened.report:
        say(screened.report)
    together = [committee(rows, size, benchmark, split)] if size else []
    naive = baselines(benchmark, split, workshop.bank.key.build, detail=True)
    if form == "json":
        plain = {"benchmark": benchmark.name, "exact": not sketch, "transfer": bool(recorded and not same),
                 "dropped": list(screened.dropped), "proxies": [row.to_dict() for row in rows],
                 "committee": together[0] if together else None, "baselines": naive}  # fmt: skip
        print(json.dumps(plain, indent=2, sort_keys=True, allow_nan=False))
        return
    figures = [_figures(str(i), row.to_dict()) for i, row in enumerate(rows, start=1)]
    figures += [_figures("", record) for record in together + naive]
    if form == "csv":
        wide = [f | {group: r["spearman"] for group, r in f["inside"].items()} for f in figures]
        emit([{k: v for k, v in f.items() if k != "inside"} for f in wide], form, "")
        return
    title = f"{benchmark.name}: correlation with {direction(benchmark)}, n = {len(benchmark)}"
    if recorded is not None and not same:
        title += f"; transfer of formulas that were evolved on {recorded.benchmark.name}"
    emit([{k: v for k, v in f.items() if k != "inside"} for f in figures], form, title)
    print()
    emit(_inside_rows(figures), form, "rho inside one depth and inside one width")
    say_ceiling(benchmark)
    for row in rows:
        if row.rules:
            say(f"PPS would refuse {row.candidate.proxy}: {_sentences(row.rules)}")
        if row.deviation is not None and row.deviation > 5e-4:
            say(f"differs from the record by {row.deviation:.6f}: {row.candidate.proxy}")
    deviations = [row.deviation for row in rows if row.deviation is not None]
    if deviations:
        say(f"agreement with the record: largest difference of a correlation {max(deviations):.2g}")


def _candidates(hall: Path | None, text: str | None) -> tuple[list[Any], Any]:
    from fitness.replay import Candidate
    from gp.hall_file import load_hall
    from primitives.grammar import parse

    if hall is None:
        return [Candidate(parse(str(text)))], None
    document = load_hall(hall)
    return [Candidate(p.proxy, p.sign, vars(p)) for p in document.proxies], document


def recorded_split(document: Any, benchmark: Any) -> Any:
    """The split a hall was evolved on, as indices into the benchmark; None if that lacks an architecture."""
    from fitness.evaluation import Split

    place = {a.id: i for i, a in enumerate(benchmark.architectures)}
    with suppress(KeyError):
        return Split(
            tuple(place[id] for id in document.split.search), tuple(place[id] for id in document.split.holdout)
        )
    return None


def _figures(number: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """One row of the replay table. tau-a counts ties as neither, so a count with few values gets less than its tau-b;
    `near-size tau` is over pairs whose #params differ by at most 10%."""
    row = {"#": number, "proxy": record.get("text") or f"({record['name']})", "sign": f"{record.get('sign', 1):+d}"}
    row |= {**columns_of(record), "all tau-a": record["all"]["kendall_a"]}
    return {**row, "near-size tau": record["near_pairs"]["kendall"], "inside": record["inside"]}


def _inside_rows(figures: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Groups down, formulas (the first five) and baselines across."""
    shown = {f"#{f['#']}" if f["#"] else f["proxy"].strip("()"): f["inside"] for f in figures}
    shown = {name: inside for name, inside in shown.items() if name[1:] in "12345" or not name[1:].isdigit()}
    groups = next(iter(shown.values()))
    return [
        {"group": group, "n": str(groups[group]["n"])}
        | {name: inside[group]["spearman"] for name, inside in shown.items()}
        for group in groups
    ]


def _sentences(names: Sequence[str]) -> str:
    from primitives.pps import RULES

    return "; ".join(f"{rule.name} ({rule.sentence})" for rule in RULES if rule.name in names)
