"""Case: a benchmark in a search, with its split and where the features of its networks come from; and networks without
labels beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fitness.evaluation import Split
from fitness.features.soundness import screen
from fitness.features.workshop import Progress, Workshop
from fitness.objectives import CONDITIONAL
from fitness.predictors.numbers import COUNTS, number_table
from fitness.ranking import RankTarget
from models.architecture import Architecture
from models.benchmarks.benchmark import Benchmark
from models.nested import NESTED, NestedFamily, nested_families
from primitives.proxy import Proxy

__all__ = ["Case", "Nested", "nested_of"]


@dataclass(frozen=True, eq=False)
class Case:
    """The search sees the architectures of `split.search` (indices into the benchmark) and no others."""

    benchmark: Benchmark
    workshop: Workshop
    split: Split

    @property
    def seen(self) -> list[Architecture]:
        """The architectures of the search split."""
        return [self.benchmark.architectures[i] for i in self.split.search]

    def target(self, objective: str) -> RankTarget:
        """Their quality, and their counts where the objective asks for what is beyond these."""
        known = number_table(self.seen).of(COUNTS) if objective in CONDITIONAL else None
        return RankTarget.create(self.benchmark.quality[list(self.split.search)], known)

    def sound(self, on_invalid: str, progress: Progress | None = None) -> Case:
        """Without networks of the search split that overflow, or Unsound (`screen`)."""
        left = screen(self.benchmark, self.workshop, self.split, on_invalid, progress, self.split.search)
        return Case(left.benchmark, self.workshop, left.split or self.split)

    def exact_scores(self, proxies: Sequence[Proxy], progress: Progress | None = None) -> np.ndarray:
        """(P, n) on the architectures of the search split."""
        return self.workshop.exact_scores(proxies, self.seen, progress)


@dataclass(frozen=True, eq=False)
class Nested:
    """The families of nested networks of a space, and where their features come from."""

    workshop: Workshop
    families: tuple[NestedFamily, ...]

    @property
    def seen(self) -> list[Architecture]:
        """The networks of all families, one family after another."""
        return [architecture for family in self.families for architecture in family.architectures]

    def exact_scores(self, proxies: Sequence[Proxy], progress: Progress | None = None) -> np.ndarray:
        """(P, n) on the networks of all families."""
        return self.workshop.exact_scores(proxies, self.seen, progress)


def nested_of(cases: Sequence[Case]) -> list[Nested]:
    """The families of each space that the cases are of and that has any, with fresh weights."""
    homes = {case.benchmark.space: case.workshop.fresh() for case in reversed(cases)}
    length = {space: int(home.batch.tokens.shape[1]) for space, home in homes.items()}
    return [Nested(home, nested_families(s, length[s])) for s, home in sorted(homes.items()) if s in NESTED]
