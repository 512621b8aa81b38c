"""Seen: the architectures whose labels a search or a fit saw; the one place that says which figures are held-out.

An architecture is known by its id in a benchmark of the same content, and by its configuration in any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from fitness.evaluation import Split
from models.architecture import Architecture
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark
from storage.errors import ZcpError

__all__ = ["Seen", "SeenCase"]


@dataclass(frozen=True)
class SeenCase:
    """A benchmark of which a search or a fit saw the labels of the ids `search`; `holdout` are the ids it kept apart.

    `place` is the name or path that the run read the benchmark by.
    """

    place: str
    space: str
    name: str
    digest: str
    metric: str
    higher_is_better: bool
    search: tuple[str, ...]
    holdout: tuple[str, ...] = ()

    @property
    def wanted(self) -> str:
        """The direction of its metric, such as a lower loss."""
        return f"a {'higher' if self.higher_is_better else 'lower'} {self.metric}"

    @cached_property
    def architectures(self) -> tuple[Architecture, ...]:
        """All of the benchmark; none where it cannot be read here as it was."""
        try:
            found = load_benchmark(self.place, self.metric)
        except ZcpError:
            return ()
        return found.architectures if found.digest == self.digest else ()

    @cached_property
    def known(self) -> tuple[Architecture, ...]:
        """The architectures that were seen."""
        ids = set(self.search)
        return tuple(architecture for architecture in self.architectures if architecture.id in ids)


@dataclass(frozen=True)
class Seen:
    """Architectures that a search has seen, by benchmark; empty for a formula without a search."""

    cases: tuple[SeenCase, ...] = ()
    _names: dict[str, Mapping[str, str]] = field(default_factory=dict, compare=False, repr=False)

    def at(self, places: Mapping[str, str]) -> Seen:
        """This record with other paths for the benchmarks of these digests."""
        return Seen(tuple(replace(case, place=places.get(case.digest, case.place)) for case in self.cases))

    def case_of(self, benchmark: Benchmark) -> SeenCase | None:
        """The case with the content of a benchmark, whichever of its metrics is asked."""
        return next((case for case in self.cases if case.digest == benchmark.digest), None)

    def by(self, architecture: Architecture) -> str | None:
        """The name of a benchmark in which an architecture of this configuration was seen."""
        return self._configurations(architecture.space).get(architecture.digest)

    def places(self, benchmark: Benchmark) -> frozenset[int]:
        """The indices of the architectures of a benchmark that were seen, there or anywhere."""
        ids = {id for case in self.cases if _alike(case, benchmark) for id in case.search}
        seen = {a.digest for a in benchmark.architectures if a.id in ids} | set(self._configurations(benchmark.space))
        return frozenset(i for i, a in enumerate(benchmark.architectures) if a.digest in seen)

    def split(self, benchmark: Benchmark) -> Split | None:
        """The recorded split of a case, its held-out side without architectures that were seen anywhere; None of
        another benchmark."""
        case = self.case_of(benchmark)
        place = {a.id: i for i, a in enumerate(benchmark.architectures)}
        if case is None or not place.keys() >= {*case.search, *case.holdout}:
            return None
        held = case.holdout or tuple(id for id in place if id not in set(case.search))
        return self.apart(Split(tuple(place[id] for id in case.search), tuple(place[id] for id in held)), benchmark)

    def apart(self, split: Split, benchmark: Benchmark) -> Split:
        """A split of a benchmark whose held-out side has lost every architecture that was seen."""
        seen = self.places(benchmark)
        return Split(split.search, tuple(place for place in split.holdout if place not in seen))

    def parted(self, benchmark: Benchmark) -> Split | None:
        """The split of a case, or of another benchmark what was seen of it against the rest; None where nothing was."""
        if (split := self.split(benchmark)) is not None:
            return split
        seen = self.places(benchmark)
        rest = tuple(place for place in range(len(benchmark)) if place not in seen)
        return Split(tuple(sorted(seen)), rest) if seen else None

    def _configurations(self, space: str) -> Mapping[str, str]:
        """The name of the benchmark by the digest of a configuration, of those benchmarks that can be read here."""
        if space not in self._names:
            mine = [case for case in reversed(self.cases) if case.space == space]
            self._names[space] = {a.digest: case.name for case in mine for a in case.known}
        return self._names[space]


def _alike(case: SeenCase, benchmark: Benchmark) -> bool:
    """True if ids mean the same: in a benchmark of this content, or in one of this name whose first content is gone."""
    return case.digest == benchmark.digest or (case.name == benchmark.name and not case.architectures)
