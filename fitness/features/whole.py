"""Visits at the price `whole`: the whole network is visited once for all of its subnets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitness.features.bank import FeatureBank
from fitness.features.collect import FeatureError
from fitness.features.cuts import Part, Parts, PartTaker, cut_block, needed_parts, parts_of
from fitness.features.figures import Figure, FormulaScores, ScoreReader
from fitness.features.gathering import Progress
from fitness.features.takers import Reader, SketchTaker, Taker
from fitness.features.visit import Visited
from models.architecture import Architecture
from models.spaces.llama.subnets import Whole

if TYPE_CHECKING:
    from fitness.features.workshop import Workshop

__all__ = ["PRICES", "parts_for", "visit_whole"]

PRICES = ("own", "whole")
"""own: every subnet is visited. whole: the whole network is, once, and subnets have the quantities of their parts."""


def visit_whole(
    workshop: Workshop, takers: Sequence[Taker], subnets: Sequence[Architecture], progress: Progress | None
) -> int:
    """Give takers what they lack of subnets from one visit of the whole network; returns how many networks were
    visited. FeatureError where something wants each subnet's own network."""
    whole = Whole.of(subnets, workshop.weights)
    wanted: list[Taker] = []
    for taker in takers:
        if isinstance(taker, SketchTaker):
            wanted.append(PartTaker(needed_parts(subnets), whole))
        elif isinstance(taker, FormulaScores):
            wanted.append(CutScoreTaker(taker, tuple(subnets), whole))
        else:
            raise FeatureError(
                "--price whole: something that is asked for needs each subnet's own network; take --price own"
            )
    return workshop.at_own_price().visit(wanted, [whole.architecture], progress)


def parts_for(workshop: Workshop, subnets: Sequence[Architecture], progress: Progress | None = None) -> Parts:
    """The sketches of all parts of these subnets, and of those that earlier ones had."""
    whole = Whole.of(subnets, workshop.weights)
    taker = PartTaker(needed_parts(subnets), whole)
    workshop.at_own_price().visit([taker], [whole.architecture], progress)
    return taker.found(workshop.bank, whole.architecture)


class CutScoreTaker:
    """Exact scores of formulas on subnets, from the parts of the whole network that is visited."""

    def __init__(self, scores: FormulaScores, subnets: tuple[Architecture, ...], whole: Whole) -> None:
        self.scores, self.subnets, self.whole = scores, subnets, whole

    def lacking(self, bank: FeatureBank, architecture: Architecture) -> CutScoreTaker | None:
        left = tuple(a for a in self.subnets if self.scores.lacking(bank, a) is not None)
        return CutScoreTaker(self.scores, left, self.whole) if left else None

    def take(self, visited: Visited) -> list[dict[str, Figure]]:
        order, texts = self.whole.order(), self.scores.names
        numbers: dict[Part, list[list[float]]] = {}
        reader = ScoreReader(texts).scorer
        for part in needed_parts(self.subnets):
            block = cut_block(visited.features.blocks[part[0]], part, order, visited.sequences)
            numbers[part] = reader.read(block)
        found = []
        for subnet in self.subnets:
            own = ScoreReader(texts)
            for place, (attention, feeding) in enumerate(parts_of(subnet.config)):
                pairs = zip(numbers[attention], numbers[feeding], strict=True)
                own.scorer.add(place, [[*of_attention, *of_feeding] for of_attention, of_feeding in pairs])
            found.append(own.taken(visited.features.loss, not visited.overflows))
        return found

    def fits(self, taken: Any) -> bool:
        whole = isinstance(taken, list) and len(taken) == len(self.subnets)
        return whole and all(self.scores.fits(figures) for figures in taken)

    def keep(self, bank: FeatureBank, architecture: Architecture, taken: list[dict[str, Figure]]) -> None:
        for subnet, figures in zip(self.subnets, taken, strict=True):
            self.scores.keep(bank, subnet, figures)

    def reader(self) -> Reader | None:
        return None

    def damaged(self, bank: FeatureBank, architecture: Architecture) -> Path | None:
        return next((path for a in self.subnets if (path := self.scores.damaged(bank, a)) is not None), None)
