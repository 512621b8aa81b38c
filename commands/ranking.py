"""What `rank` needs to know before it prints: who ranks, in which direction, and what was found of each candidate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.options import FeatureOptions, load_for
from commands.output import say, was_given
from commands.tables import Interval, Row
from storage.errors import ZcpError

if TYPE_CHECKING:
    from fitness.candidates import Candidate, Scorer
    from fitness.costs import Budget, Costs, Latency
    from fitness.evaluation import Evaluation
    from fitness.features.workshop import Progress, Workshop
    from gp.hall_file import HallDocument
    from models.architecture import Architecture

Workshops = Callable[[str], "Workshop"]


@dataclass(frozen=True)
class Source:
    """Who ranks: the first formula of a hall of fame, a committee of its first `size`, or a formula by its text."""

    formulas: tuple[Evaluation, ...]
    size: int | None = None
    hall: HallDocument | None = None

    @classmethod
    def of(cls, hall: Path | None, text: str | None, size: int | None) -> Source:
        """What the user names; a usage error says what to give."""
        from fitness.evaluation import Evaluation
        from gp.hall_file import load_hall
        from primitives.grammar import parse

        if (hall is None) == (text is None):
            raise click.UsageError("wanted what ranks them: --hall HALL.json (perhaps --committee K) or --proxy TEXT")
        if hall is None:
            if size is not None:
                raise click.UsageError("--committee: wanted --hall HALL.json, whose first formulas it takes")
            return cls((Evaluation(parse(str(text)), 0.0, 1),))
        document = load_hall(hall)
        if size is not None and size > len(document.proxies):
            raise click.UsageError(
                f"--committee: got {size}, wanted at most {len(document.proxies)}, all of its formulas"
            )
        return cls(tuple(record.formula for record in document.proxies[: size or 1]), size, document)

    @property
    def direction(self) -> str:
        """What a higher score means, in words."""
        if self.hall is None:
            return "higher is better, if more of this formula is: nobody measured its direction"
        known = self.hall.benchmark
        wanted = f"a {'higher' if known.higher_is_better else 'lower'} {known.metric}"
        return f"higher is better: {wanted} is expected, as on {known.name}"

    @property
    def name(self) -> str:
        """The formula with its sign, or how many there are."""
        if self.size is not None:
            return f"committee of {self.size}"
        return ("-" if self.formulas[0].sign < 0 else "") + self.formulas[0].proxy.text

    def home_of(self, architecture: Architecture) -> str | None:
        """The space that the formulas were evolved on, if the architecture is of another one."""
        return None if self.hall is None or self.hall.space == architecture.space else self.hall.space

    def benchmark(self) -> tuple[Architecture, ...]:
        """The architectures of the benchmark that the formulas were evolved on; none where it cannot be read here."""
        if self.hall is None:
            return ()
        try:
            found = load_for(self.hall, None, None)
        except ZcpError:
            return ()
        return found.architectures if found.digest == self.hall.benchmark.digest else ()

    def known(self) -> list[Architecture]:
        """Those of them that the formulas were evolved on; says where it must be silent about them."""
        if self.hall is None:
            return []
        everyone, seen = self.benchmark(), set(self.hall.split.search)
        if not everyone:
            say(f"{self.hall.benchmark.name} is not here as it was: nothing tells which candidates are unlike it")
        return [architecture for architecture in everyone if architecture.id in seen]

    def workshops(self, features: FeatureOptions) -> Workshops:
        """The workshop of each space, with the features of the hall's run where the user gives no others."""
        taken = features if self.hall is None else features.of_run(self.hall, self.hall.space)
        home = None if self.hall is None else self.hall.space

        @cache
        def opened(space: str) -> Workshop:
            own = taken if space == home or was_given("build") else replace(taken, build=None)
            return own.open(space)

        return opened

    def scorer(self, known: Sequence[Architecture], workshops: Workshops, progress: Progress | None) -> Scorer:
        """The scorer; a committee needs the architectures that its formulas were evolved on."""
        from fitness.candidates import CommitteeScorer, FormulaScorer

        if self.size is None or self.hall is None:
            return FormulaScorer(self.formulas[0])
        if not known:
            name = self.hall.benchmark.name
            raise click.UsageError(
                f"--committee: wanted {name}, among whose architectures it places candidates; fetch it"
            )
        proxies = [formula.proxy for formula in self.formulas]
        return CommitteeScorer(self.formulas, workshops(self.hall.space).exact_scores(proxies, known, progress))


@dataclass(frozen=True)
class Ranked:
    """A candidate with its place, and its latency where that was measured."""

    place: int | None
    candidate: Candidate
    latency: Latency | None

    def plain(self) -> dict[str, Any]:
        """Plain data for JSON: what `rank` reads again as a candidate."""
        found = self.candidate
        row = {"place": self.place, "id": found.architecture.id, "score": found.score, **vars(found.costs)}
        row |= {"space": found.architecture.space, "config": dict(found.architecture.config)}
        row |= {"notes": list(found.notes), "reason": found.reason or None}
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
    architectures: Sequence[Architecture], source: Source, budget: Budget, device: str | None,
    features: FeatureOptions, progress: Progress | None,
) -> Ranking:  # fmt: skip
    """Cheapest first: what is counted leaves out candidates before any network is built, what is timed before any is
    scored."""
    from fitness.candidates import Candidate, beyond, in_order, ranges, score_candidates
    from fitness.costs import costs_of

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
    scorer = source.scorer(known, workshops, progress)
    scores = score_candidates(fitting, scorer, workshops, progress)
    usual = ranges([costs(architecture) for architecture in known])
    candidates = [
        Candidate(a, counted[a], score, reason, beyond(counted[a], usual), source.home_of(a))
        for a, (score, reason) in zip(fitting, scores, strict=True)
    ]
    rows = tuple(Ranked(place, c, times.get(c.architecture)) for place, c in in_order(candidates))
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
    if (time := row.latency) is not None:
        cells |= {"ms": time.median * 1e3, "ms quartiles": Interval(time.low * 1e3, time.high * 1e3)}
    return cells | ({"note": "; ".join(found.notes)} if noted else {})
