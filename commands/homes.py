"""Where formulas are from: the benchmarks that they were evolved on, or whose labels a predictor has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

from commands.loading import load_for, load_named
from commands.predicting import benchmark_of
from storage.errors import ZcpError

if TYPE_CHECKING:
    from fitness.predictors.predictor import Predictor, Provenance
    from gp.hall_file import BenchmarkRef, HallDocument
    from models.architecture import Architecture
    from models.benchmarks.benchmark import Benchmark

__all__ = ["Home", "homes_of_hall", "homes_of_predictor"]


@dataclass(frozen=True, eq=False)
class Home:
    """A benchmark whose labels decided, the ids that the search or the fit saw, and how to read it here."""

    space: str
    labels: BenchmarkRef | Provenance
    seen: frozenset[str]
    load: Callable[[], Benchmark]

    def at(self, place: str | None) -> Home:
        """The same benchmark, read where it lies now."""
        return self if place is None else replace(self, load=partial(load_named, place, self.labels.metric))

    @property
    def wanted(self) -> str:
        """The direction of its metric, such as a lower loss."""
        return f"a {'higher' if self.labels.higher_is_better else 'lower'} {self.labels.metric}"

    @cached_property
    def architectures(self) -> tuple[Architecture, ...]:
        """All of the benchmark; none where it cannot be read here as it was."""
        try:
            found = self.load()
        except ZcpError:
            return ()
        return found.architectures if found.digest == self.labels.digest else ()

    @property
    def known(self) -> list[Architecture]:
        """Those that were seen."""
        return [architecture for architecture in self.architectures if architecture.id in self.seen]


def homes_of_hall(hall: HallDocument) -> tuple[Home, ...]:
    """The benchmarks of its search, the first one first."""
    first = Home(hall.space, hall.benchmark, frozenset(hall.split.search), partial(load_for, hall, None, None))
    names = _places(hall)
    others = [
        Home(case.space, case.benchmark, frozenset(case.split.search), partial(load_named, name, case.benchmark.metric))
        for case, name in zip(hall.others, names, strict=True)
    ]
    return (first, *others)


def _places(hall: HallDocument) -> Sequence[str]:
    """Where the run found its further benchmarks; their names, if it does not say."""
    listed = hall.config.get("others")
    said = [one.get("benchmark") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    if len(said) != len(hall.others):
        said = [None] * len(hall.others)
    return [str(case.benchmark.name if place is None else place) for case, place in zip(hall.others, said, strict=True)]


def homes_of_predictor(predictor: Predictor) -> tuple[Home, ...]:
    """The benchmark of its labels."""
    known = predictor.provenance
    return (Home(known.space, known, frozenset(predictor.ids), partial(benchmark_of, known, None, None)),)
