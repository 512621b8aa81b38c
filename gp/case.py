"""Case: a benchmark in a search, with its split and where the features of its networks come from; and networks without
labels beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fitness.evaluation import Split
from fitness.features.soundness import screen
from fitness.features.workshop import Progress, Workshop
from fitness.predictors.members import rank_targets
from fitness.protocol import sizes_of
from fitness.ranking import RankTarget
from models.architecture import Architecture
from models.benchmarks.benchmark import Benchmark
from models.nested import NESTED, NestedFamily, nested_families
from primitives.proxy import Proxy

__all__ = ["Case", "Nested", "nested_of"]

FEWEST = 3  # rows that a correlation needs


@dataclass(frozen=True, eq=False)
class Case:
    """A benchmark in a search, which sees the architectures of `split.search` (indices) and no others; a search has a
    list of them.

    `place` is the name or path that a command reads the benchmark by; `whole` is the benchmark with the networks that
    overflow, where such were left out.
    """

    benchmark: Benchmark
    workshop: Workshop
    split: Split
    place: str = ""
    whole: Benchmark | None = None

    @property
    def seen(self) -> list[Architecture]:
        """The architectures of the search split."""
        return [self.benchmark.architectures[i] for i in self.split.search]

    @property
    def by_budget(self) -> list[Case]:
        """A case for each training budget of the search split that has three of its rows: formulas are compared within
        a budget. Itself where there is one."""
        parts = self.benchmark.of_budgets(self.split.search)
        kept = [replace(self, split=Split(tuple(part.tolist()), ())) for part in parts if len(part) >= FEWEST]
        return kept if len(parts) > 1 and kept else [self]

    @property
    def quality(self) -> np.ndarray:
        """Their labels, (n,); larger is better."""
        return self.benchmark.quality[list(self.split.search)]

    @property
    def noise(self) -> np.ndarray | None:
        """The variance of the noise of each label (`Benchmark.noise`), (n,)."""
        return self.benchmark.noise(self.split.search)

    @property
    def target(self) -> RankTarget:
        """Their quality and their sizes. Where its noise is known, a label is its expected rank: that between its own
        and the mean, the nearer to the mean the noisier it is."""
        values = self.quality if self.noise is None else rank_targets(self.quality) / (1 + self.noise)
        return RankTarget.create(values, sizes_of(self.benchmark)[list(self.split.search)])

    def sound(
        self, on_invalid: str, progress: Progress | None = None, part: Sequence[int] | None = None
    ) -> tuple[Case, str]:
        """The case without the networks that overflow (only `part` is checked if it is given), and a sentence on them;
        Unsound where nothing may be (`screen`)."""
        left = screen(self.benchmark, self.workshop, self.split, on_invalid, progress, part)
        case = replace(
            self, benchmark=left.benchmark, split=left.split or self.split, whole=self.whole or self.benchmark
        )
        return case, left.report

    @property
    def dropped(self) -> tuple[str, ...]:
        """The ids that were left out, in the order of the benchmark."""
        left = {a.id for a in self.benchmark.architectures}
        return tuple(a.id for a in (self.whole or self.benchmark).architectures if a.id not in left)

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
