"""A ranking before it is printed: its scorer, its direction, and a row for each candidate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

from commands.feature_options import FeatureOptions
from commands.source import Predicted, Source, Workshops
from commands.tables import Row, Score
from commands.training_tokens import budget_notes, trained_for
from commands.weights import drawing_notes
from storage.errors import CannotCompute, ZcpError

if TYPE_CHECKING:
    from fitness.candidates import Candidate
    from fitness.costs import CostLimits, Costs, Latency
    from fitness.features.workshop import Progress
    from models.architecture import Architecture
    from models.budget import Tokens
    from models.candidates import Refusal

T = TypeVar("T")
NAMED = 20  # candidates that could not be ranked and are named on stderr


class NoneRanked(CannotCompute, ValueError):
    """Candidates of which none has a score; the message says why the first one has none."""


@dataclass(frozen=True)
class Ranked:
    """A candidate with its place, its latency where that was measured, and its predicted value."""

    place: int | None
    candidate: Candidate
    latency: Latency | None
    predicted: Predicted | None = None

    @property
    def numbers(self) -> dict[str, Any]:
        """The figures, by their names in tables, CSV and JSON."""
        found: dict[str, Any] = {"place": self.place, "id": self.candidate.architecture.id}
        found["score"] = self.candidate.score
        if self.predicted is not None and self.candidate.score is not None:
            found |= {name: float(value) for name, value in self.predicted._asdict().items()}
        found |= vars(self.candidate.costs)
        if self.latency is not None:
            times = {"": self.latency.median, "_low": self.latency.low, "_high": self.latency.high}
            found |= {f"latency_ms{end}": round(seconds * 1e3, 6) for end, seconds in times.items()}
        return found

    def plain(self) -> dict[str, Any]:
        """Plain data for JSON: what `rank` reads again as a candidate."""
        found = self.candidate
        row = self.numbers | {"space": found.architecture.space, "config": dict(found.architecture.config)}
        row |= {"notes": list(found.notes), "reason": found.reason or None}
        if found.architecture.tokens is not None:
            row["tokens"] = found.architecture.tokens
        return row


@dataclass(frozen=True)
class Ranking:
    """The candidates in order, those that could not be ranked, and what is said about them."""

    rows: tuple[Ranked, ...]
    refused: tuple[Refusal, ...]
    title: str
    header: dict[str, Any]
    memory: bool = False
    notes: list[str] = field(default_factory=list)

    def plain(self, top: int | None) -> list[dict[str, Any]]:
        """Plain data of the first ones, for JSON."""
        return [*(row.plain() for row in self.rows), *map(_refusal, self.refused)][:top]

    def columns(self, form: str, top: int | None) -> list[Row]:
        """The rows of a table."""
        last: list[Row] = [{"place": None, "id": r.id, "score": None, "notes": r.reason} for r in self.refused]
        return [*columns(self.rows, form, bool(last), self.memory), *last][:top]

    def check(self) -> None:
        """NoneRanked if nobody has a score."""
        if not any(row.candidate.score is not None for row in self.rows):
            lost = [(row.candidate.architecture.id, row.candidate.reason) for row in self.rows]
            lost += [(refusal.id, refusal.reason) for refusal in self.refused]
            (id, reason), count = lost[0], len(lost)
            raise NoneRanked(f"none of {count} candidates could be ranked; {id}: {reason}")


def _refusal(refusal: Refusal) -> dict[str, Any]:
    """Plain data for JSON: `rank` reads it again, and refuses it again."""
    costs = dict.fromkeys(("params", "decoder_params", "flops", "depth", "width", "memory"))
    config = None if refusal.config is None else dict(refusal.config)
    row = {"place": None, "id": refusal.id, "score": None, **costs, "space": refusal.space, "config": config}
    return row | {"notes": [refusal.reason], "reason": refusal.reason}


class _Refusals:
    """The candidates that cannot be ranked, in the order in which that was found."""

    def __init__(self, read: Sequence[Refusal]) -> None:
        self.all = list(read)

    def add(self, architecture: Architecture, reason: str) -> None:
        """A candidate that was read."""
        from models.candidates import Refusal

        own = reason.removeprefix(f"{architecture.id}: ")
        self.all.append(Refusal(architecture.id, own, architecture.space, architecture.config))

    def kept(self, architectures: Sequence[Architecture], make: Callable[[Architecture], T]) -> dict[Architecture, T]:
        """Apply a function to each candidate; one that raises our own error is refused with its message."""
        found: dict[Architecture, T] = {}
        for architecture in architectures:
            try:
                found[architecture] = make(architecture)
            except ZcpError as error:
                self.add(architecture, str(error))
        return found


def ranked(
    architectures: Sequence[Architecture], source: Source, budget: CostLimits, device: str | None,
    features: FeatureOptions, progress: Progress | None, read: Sequence[Refusal] = (),
    tokens: Tokens | None = None,
) -> Ranking:  # fmt: skip
    """Cheapest first: what is counted leaves out candidates before any network is built, what is timed before any is
    scored. One that cannot be ranked, such as those that could not be `read`, does not stop the others."""
    from fitness.costs import costs_of
    from models.spaces import WEIGHTED

    if features.weights and (other := [a for a in architectures if a.space not in WEIGHTED]):
        raise click.UsageError(
            f"--weights: got {other[0].id} of the space {other[0].space}, wanted candidates of {' or '.join(WEIGHTED)}"
        )
    refused, workshops, known = _Refusals(read), source.workshops(features), source.known()
    for space in dict.fromkeys(architecture.space for architecture in architectures):
        workshops(space)  # a wrong option is nobody's fault of the candidates

    def costs(architecture: Architecture) -> Costs:
        source.check(architecture)
        workshop = workshops(architecture.space)
        return costs_of(architecture, workshop.batch.tokens.shape[1], workshop.bank.key.build, budget.batch)

    counted = refused.kept(architectures, costs)
    readable = trained_for([a for a in architectures if a in counted], tokens)
    fitting = [a for a in readable if budget.allows(counted[a])]
    times = _times(fitting, workshops, device, progress, refused)
    fitting = [a for a in fitting if budget.allows_time(times.get(a)) and (device is None or a in times)]
    if counted and not fitting and len(refused.all) < len(read) + len(architectures):
        raise click.UsageError(f"none of {len(architectures)} candidates meets the bounds: {_least(counted, times)}")
    usual = ranges_of(known, costs)
    rows = _scored(fitting, source, workshops, counted, usual, times, progress, refused) if fitting else ()
    left_out = len(architectures) + len(read) - len(rows) - len(refused.all)
    title = f"{len(rows)} candidates; {source.direction}; score: {source.name}"
    header = {"scorer": source.name, "formulas": [f.proxy.text for f in source.formulas],
              "signs": [f.sign for f in source.formulas], "direction": source.direction,
              "left_out": left_out, "refused": len(refused.all)}  # fmt: skip
    drawn = [] if source.counts_alone else drawing_notes(readable, workshops)
    notes = drawn + _notes(rows, refused.all, left_out, source, usual)
    if rows:
        notes += budget_notes([row.candidate for row in rows], tokens, source, workshops, progress)
    return Ranking(rows, tuple(refused.all), title, header, budget.memory is not None, notes)


def _scored(
    fitting: Sequence[Architecture],
    source: Source,
    workshops: Workshops,
    counted: Mapping[Architecture, Costs],
    usual: Mapping[str, tuple[int, int]],
    times: Mapping[Architecture, Latency],
    progress: Progress | None,
    refused: _Refusals,
) -> tuple[Ranked, ...]:
    """The candidates in order; those whose network cannot be visited are refused."""
    from fitness.candidates import Candidate, beyond, in_order, score_candidates

    unvisited: dict[Architecture, str] = {}
    scores = score_candidates(fitting, source.scorer(workshops, progress), workshops, progress, unvisited)
    for architecture in fitting:
        if architecture in unvisited:
            refused.add(architecture, unvisited[architecture])
    candidates = [
        Candidate(a, counted[a], score, reason, beyond(counted[a], usual), source.home_of(a), source.seen.by(a))
        for a, (score, reason) in zip(fitting, scores, strict=True)
        if a not in unvisited
    ]
    said = source.predictions([c.architecture for c in candidates if c.score is not None], workshops)
    return tuple(
        Ranked(place, c, times.get(c.architecture), said.get(c.architecture)) for place, c in in_order(candidates)
    )


def ranges_of(known: Sequence[Architecture], costs: Callable[[Architecture], Costs]) -> dict[str, tuple[int, int]]:
    """The least and the most of each size, of the architectures that the formulas were evolved on."""
    from fitness.candidates import ranges

    return ranges([costs(architecture) for architecture in known])


def _times(
    architectures: Sequence[Architecture],
    workshops: Workshops,
    device: str | None,
    progress: Progress | None,
    refused: _Refusals,
) -> dict[Architecture, Latency]:
    """One network after the other, so that none disturbs another."""
    from engine.devices import check_devices
    from fitness.costs import latency_of

    if device is None:
        return {}
    names = check_devices(device)
    if len(names) != 1:
        raise click.UsageError(f"--latency: got {device}, wanted one device, such as cpu")
    several, done = list(dict.fromkeys(architectures)), 0

    def timed(architecture: Architecture) -> Latency:
        nonlocal done
        workshop = workshops(architecture.space)
        workshop.check(architecture, gradients=False)
        found, done = latency_of(architecture, workshop.batch, workshop.bank.key.build, names[0]), done + 1
        if progress:
            progress(done, len(several))
        return found

    return refused.kept(several, timed)


def _least(counted: Mapping[Architecture, Costs], times: Mapping[Architecture, Latency]) -> str:
    params, flops = min(c.params for c in counted.values()), min(c.flops for c in counted.values())
    medians = [latency.median for latency in times.values()]
    fastest = f", the fastest takes {min(medians) * 1e3:.3g} ms" if medians else ""
    return f"the smallest has {params:,} parameters, the least FLOPs are {flops:,}{fastest}"


def _notes(
    rows: Sequence[Ranked],
    refused: Sequence[Refusal],
    left_out: int,
    source: Source,
    usual: Mapping[str, tuple[int, int]],
) -> list[str]:
    """Notes about the whole list."""
    found = [row.candidate for row in rows]
    notes = [f"{left_out} candidates beyond the bounds are left out"] if left_out else []
    if foreign := [candidate for candidate in found if candidate.home]:
        notes.append(f"transfer: {len(foreign)} of {len(rows)} candidates are of another space than {foreign[0].home}")
    if outside := sum(bool(candidate.outside) for candidate in found):
        known = ", ".join(f"{label} {low:,}..{high:,}" for label, (low, high) in usual.items())
        notes.append(f"{outside} of {len(rows)} candidates lie outside what the formula was evolved on: {known}")
    if seen := sum(candidate.seen is not None for candidate in found):
        notes.append(f"{seen} of {len(rows)} candidates were seen when the formula was chosen: no test of it")
    notes += [f"{c.architecture.id}: no score ({c.reason}); last" for c in found if c.score is None]
    if refused and rows:
        notes.append(f"{len(refused)} of {len(rows) + len(refused)} candidates could not be ranked; they stand last:")
        notes += [f"  {refusal.id}: {refusal.reason}" for refusal in refused[:NAMED]]
        notes += [f"  and {len(refused) - NAMED} more"] if len(refused) > NAMED else []
    return notes


def columns(rows: Sequence[Ranked], form: str, noted: bool = False, memory: bool = False) -> list[Row]:
    """The rows of a table or CSV, under the names of the JSON; a table shows `memory` only if that was asked for, and
    notes only if there are any or they are `noted`."""
    noted = noted or any(row.candidate.notes for row in rows)
    return [_columns(row, form, noted, memory) for row in rows]


def _columns(row: Ranked, form: str, noted: bool, memory: bool) -> Row:
    cells: Row = dict(row.numbers)
    if form != "csv":
        score = row.candidate.score
        cells["score"] = None if score is None else Score(score)
        if not memory:
            del cells["memory"]
    return cells | ({"notes": "; ".join(row.candidate.notes)} if noted else {})
