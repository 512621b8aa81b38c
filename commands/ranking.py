"""What `rank` needs to know before it prints: who ranks, in which direction, and what was found of each candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from commands.feature_options import FeatureOptions
from commands.source import Source, Workshops
from commands.tables import Interval, Row

if TYPE_CHECKING:
    from fitness.candidates import Candidate
    from fitness.costs import CostLimits, Costs, Latency
    from fitness.features.workshop import Progress
    from models.architecture import Architecture


@dataclass(frozen=True)
class Ranked:
    """A candidate with its place, its latency where that was measured, and the interval of a prediction."""

    place: int | None
    candidate: Candidate
    latency: Latency | None
    predicted: Interval | None = None

    def plain(self) -> dict[str, Any]:
        """Plain data for JSON: what `rank` reads again as a candidate."""
        found = self.candidate
        row = {"place": self.place, "id": found.architecture.id, "score": found.score, **vars(found.costs)}
        row |= {"space": found.architecture.space, "config": dict(found.architecture.config)}
        row |= {"notes": list(found.notes), "reason": found.reason or None}
        if self.predicted is not None and found.score is not None:
            row["predicted"] = [float(self.predicted.low), float(self.predicted.high)]
        if self.latency is not None:
            times = {"": self.latency.median, "_low": self.latency.low, "_high": self.latency.high}
            row |= {f"latency_ms{end}": round(seconds * 1e3, 6) for end, seconds in times.items()}
        return row


@dataclass(frozen=True)
class Ranking:
    """The candidates in order, and what is said about them."""

    rows: tuple[Ranked, ...]
    title: str
    header: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def ranked(
    architectures: Sequence[Architecture], source: Source, budget: CostLimits, device: str | None,
    features: FeatureOptions, progress: Progress | None,
) -> Ranking:  # fmt: skip
    """Cheapest first: what is counted leaves out candidates before any network is built, what is timed before any is
    scored."""
    from fitness.candidates import Candidate, beyond, in_order, ranges, score_candidates
    from fitness.costs import costs_of
    from models.spaces import WEIGHTED

    if features.weights and (other := [a for a in architectures if a.space not in WEIGHTED]):
        raise click.UsageError(
            f"--weights: got {other[0].id} of the space {other[0].space}, wanted candidates of {' or '.join(WEIGHTED)}"
        )
    workshops, known = source.workshops(features), source.known()

    def costs(architecture: Architecture) -> Costs:
        workshop = workshops(architecture.space)
        return costs_of(architecture, workshop.batch.tokens.shape[1], workshop.bank.key.build)

    counted = {architecture: costs(architecture) for architecture in architectures}
    fitting = [a for a in architectures if budget.allows(counted[a])]
    times = _times(fitting, workshops, device, progress)
    fitting = [a for a in fitting if budget.allows_time(times.get(a))]
    if not fitting:
        raise click.UsageError(f"none of {len(architectures)} candidates meets the bounds: {_least(counted, times)}")
    scorer = source.scorer(workshops, progress)
    scores = score_candidates(fitting, scorer, workshops, progress)
    usual = ranges([costs(architecture) for architecture in known])
    candidates = [
        Candidate(a, counted[a], score, reason, beyond(counted[a], usual), source.home_of(a))
        for a, (score, reason) in zip(fitting, scores, strict=True)
    ]
    said = source.predictions(fitting, workshops)
    rows = tuple(
        Ranked(place, c, times.get(c.architecture), said.get(c.architecture)) for place, c in in_order(candidates)
    )
    title = f"{len(rows)} candidates; {source.direction}; score: {source.name}"
    header = {"scorer": source.name, "formulas": [f.proxy.text for f in source.formulas],
              "signs": [f.sign for f in source.formulas], "direction": source.direction,
              "left_out": len(architectures) - len(fitting)}  # fmt: skip
    return Ranking(rows, title, header, _notes(rows, len(architectures) - len(fitting), source, usual))


def _times(
    architectures: Sequence[Architecture], workshops: Workshops, device: str | None, progress: Progress | None
) -> dict[Architecture, Latency]:
    """One network after the other, so that none disturbs another."""
    from engine.devices import check_devices
    from fitness.costs import latency_of

    if device is None:
        return {}
    names = check_devices(device)
    if len(names) != 1:
        raise click.UsageError(f"--latency: got {device}, wanted one device, such as cpu")
    found: dict[Architecture, Latency] = {}
    for architecture in architectures:
        if architecture not in found:
            workshop = workshops(architecture.space)
            workshop.check(architecture)
            found[architecture] = latency_of(architecture, workshop.batch, workshop.bank.key.build, names[0])
            if progress:
                progress(len(found), len(set(architectures)))
    return found


def _least(counted: Mapping[Architecture, Costs], times: Mapping[Architecture, Latency]) -> str:
    params, flops = min(c.params for c in counted.values()), min(c.flops for c in counted.values())
    medians = [latency.median for latency in times.values()]
    fastest = f", the fastest takes {min(medians) * 1e3:.3g} ms" if medians else ""
    return f"the smallest has {params:,} parameters, the least FLOPs are {flops:,}{fastest}"


def _notes(
    rows: Sequence[Ranked], left_out: int, source: Source, usual: Mapping[str, tuple[int, int]]
) -> list[str]:  # fmt: skip
    """What a reader should know of the whole list."""
    found = [row.candidate for row in rows]
    notes = [f"{left_out} candidates beyond the bounds are left out"] if left_out else []
    if foreign := [candidate for candidate in found if candidate.home]:
        notes.append(f"transfer: {len(foreign)} of {len(rows)} candidates are of another space than {foreign[0].home}")
    if outside := sum(bool(candidate.outside) for candidate in found):
        known = ", ".join(f"{label} {low:,}..{high:,}" for label, (low, high) in usual.items())
        notes.append(f"{outside} of {len(rows)} candidates lie outside what the formula was evolved on: {known}")
    return notes + [f"{c.architecture.id}: no score ({c.reason}); last" for c in found if c.score is None]


def columns(rows: Sequence[Ranked], form: str) -> list[Row]:
    """The rows of a table; whole numbers and notes of all rows, columns of nothing left out."""
    noted = any(row.candidate.notes for row in rows)
    return [_columns(row, form, noted) for row in rows]


def _columns(row: Ranked, form: str, noted: bool) -> Row:
    found, costs = row.candidate, row.candidate.costs
    score = found.score if form == "csv" or found.score is None else f"{found.score:.6g}"
    cells: Row = {"place": row.place, "id": found.architecture.id, "score": score, "#params": costs.params,
                  "decoder params": costs.decoder_params, "FLOPs": costs.flops, "depth": costs.depth,
                  "width": costs.width}  # fmt: skip
    if row.predicted is not None:
        cells["predicted, 90%"] = row.predicted
    if (time := row.latency) is not None:
        cells |= {"ms": time.median * 1e3, "ms quartiles": Interval(time.low * 1e3, time.high * 1e3)}
    return cells | ({"note": "; ".join(found.notes)} if noted else {})
