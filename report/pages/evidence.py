"""HallEvidence: the data of a hall's report that its file lacks, computed from the benchmark and the feature bank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.threads import one_thread
from fitness.evaluation import Split
from fitness.features.collect import collect
from fitness.features.workshop import Workshop
from fitness.predictors.rivals import rivals
from fitness.protocol import report
from fitness.ranking import spearman
from fitness.tables.branches import BranchTable
from fitness.tables.table_file import branch_table
from fitness.zoo.registry import ZOO
from gp.hall_entries import Baseline
from gp.hall_file import HallDocument
from gp.lineage import ancestry
from models.architecture import Architecture
from models.benchmarks.benchmark import Benchmark
from models.spaces import SPACES
from primitives import Invalid, parse
from primitives.operators import aggregation
from primitives.proxy import Proxy
from primitives.scoring import Blocks, Scorer
from report.hall import Landscape

__all__ = ["Ancestor", "HallEvidence", "Portrait", "evidence_of", "parts_of"]

PUBLISHED = "LPZero"  # names of the zoo that begin so


@dataclass(frozen=True)
class Portrait:
    """One architecture, what it is an example of, and what each part of a formula is worth block by block; nan where
    it has no value."""

    kind: str
    architecture: Architecture
    quality: float
    parts: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Ancestor:
    """A formula on the way to the champion, how it was made, and its figures from sketches."""

    text: str
    operator: str
    figures: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class HallEvidence:
    """The champion on its benchmark; regressions and published proxies beside it; its blocks and its ancestors."""

    landscape: Landscape
    rivals: Sequence[Baseline]
    published: Sequence[Baseline]
    portraits: Sequence[Portrait]
    ancestors: Sequence[Ancestor]

    @property
    def benchmark(self) -> Benchmark:
        """Benchmark of the architectures."""
        return self.landscape.benchmark


def evidence_of(hall: HallDocument, landscape: Landscape, workshop: Workshop) -> HallEvidence:
    """Everything; sketches are read from the bank and three networks are visited."""
    benchmark, split, build = landscape.benchmark, landscape.split, workshop.bank.key.build
    table = branch_table(benchmark.architectures, workshop)
    case = hall.case_of(benchmark)
    fitted = case.rivals if case else ()
    if split is not None and not fitted:
        fitted = tuple(Baseline(**row) for row in rivals(benchmark, split, build))
    return HallEvidence(
        landscape,
        fitted,
        _published(benchmark, split, table),
        _portraits(hall.proxies[0].proxy, landscape, workshop),
        _ancestors(hall, benchmark, split, table),
    )


def _published(benchmark: Benchmark, split: Split | None, table: BranchTable) -> list[Baseline]:
    """The published formulas, scored on sketches, their signs fixed on the search split."""
    chosen = [proxy for proxy in ZOO.values() if proxy.name.startswith(PUBLISHED) and proxy.text]
    rows = table.scores([parse(str(proxy.text)) for proxy in chosen])
    return [
        Baseline(proxy.name, **report(_sign(row, benchmark, split) * row, benchmark, split))
        for proxy, row in zip(chosen, rows, strict=True)
    ]


def _sign(scores: np.ndarray, benchmark: Benchmark, split: Split | None) -> int:
    seen = np.array(split.search if split else range(len(benchmark)), dtype=int)
    seen = seen[np.isfinite(scores[seen])]
    if len(seen) < 3 or np.ptp(scores[seen]) == 0:
        return 1
    return -1 if spearman(scores[seen], benchmark.quality[seen]) < 0 else 1


def _ancestors(hall: HallDocument, benchmark: Benchmark, split: Split | None, table: BranchTable) -> list[Ancestor]:
    births = ancestry(hall.lineage, [hall.proxies[0].proxy.text])
    if not births:
        return []
    rows = table.scores([parse(text) for text in births])
    return [
        Ancestor(text, birth.operator, report(_sign(row, benchmark, split) * row, benchmark, split))
        for (text, birth), row in zip(births.items(), rows, strict=True)
    ]


def _portraits(champion: Proxy, landscape: Landscape, workshop: Workshop) -> list[Portrait]:
    """The best, the median and the worst architecture of those that the formula can score."""
    quality = landscape.benchmark.quality
    known = np.flatnonzero(np.isfinite(landscape.scores))
    order = known[np.argsort(quality[known], kind="stable")]
    if len(order) < 3:
        return []
    chosen = {"good": order[-1], "middle": order[len(order) // 2], "bad": order[0]}
    return [_portrait(champion, kind, int(place), landscape.benchmark, workshop) for kind, place in chosen.items()]


def _portrait(champion: Proxy, kind: str, place: int, benchmark: Benchmark, workshop: Workshop) -> Portrait:
    architecture, key = benchmark.architectures[place], workshop.bank.key
    with one_thread():
        blocks = collect(
            SPACES[architecture.space].build(architecture, key.init_seed, key.build), workshop.batch
        ).blocks
        parts = {str(part): _per_block(part, blocks) for part in parts_of(champion)}
    return Portrait(kind, architecture, float(benchmark.ground_truth[place]), parts)


def parts_of(proxy: Proxy) -> list[Proxy]:
    """The formulas of one aggregation each that a formula joins: branches, or two of them joined inside."""
    base = proxy.pair
    if base.right is not None and base.right_aggregate is not None:
        parts = [Proxy(base.aggregate, base.left), Proxy(base.right_aggregate, base.right)]
    else:
        parts = [base]
    return [*parts, *(Proxy(extension.aggregate, extension.branch) for extension in proxy.extensions)]


def _per_block(part: Proxy, blocks: Blocks) -> tuple[float, ...]:
    """Contribution of each block to a part: its value as a network of one block, times its weight."""
    weights = aggregation(part.aggregate).weights(len(blocks)) / aggregation(part.aggregate).weights(1)[0]
    alone = [Scorer([block]).score(part) for block in blocks]
    return tuple(
        float(w) * (np.nan if isinstance(value, Invalid) else value) for w, value in zip(weights, alone, strict=True)
    )
