"""Figures: numbers of named proxies in the bank, each measured on a visit when it is lacking or of another version."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fitness.budgets import budgets_of
from fitness.features.bank import FeatureBank
from fitness.features.streaming import Block
from fitness.features.takers import Reader
from fitness.features.visit import Visited
from models.architecture import Architecture
from primitives.budget import combined, parts
from primitives.grammar import parse
from primitives.invalid import Invalid
from primitives.proxy import Proxy
from primitives.scoring import SCORING_VERSION, PassingScorer, Scorer, resolved
from storage.datum import Datum
from storage.files import BadFile
from storage.shelf import Shelf

__all__ = ["Figure", "Figures", "formula_costs", "formula_scores", "of_parts", "part_scores", "scoring_version"]

MAX_REASON = 200  # characters


@dataclass(frozen=True)
class Figure:
    """One proxy on one network: its value, or the reason why it has none; `seconds` of passes and arithmetic, where
    they were taken."""

    value: float | None = None
    reason: str = ""
    seconds: float | None = None

    @classmethod
    def of(cls, result: float) -> Figure:
        """The figure of a number, which may be none."""
        return cls(float(result)) if math.isfinite(result) else cls(reason=Invalid.NON_FINITE.value)

    @classmethod
    def read(cls, fields: Datum) -> Figure:
        """The figure of an entry in the bank; BadFile if it cannot be one."""
        fields.only("value", "reason", "seconds")
        known = fields.mapping()
        value, seconds = (_float(fields[name]) if name in known else None for name in ("value", "seconds"))
        return cls(value, fields["reason"].text(MAX_REASON) if "reason" in known else "", seconds)

    def plain(self) -> dict[str, float | str]:
        """Present figures by name."""
        return {name: value for name, value in vars(self).items() if value not in (None, "")}


def _float(item: Datum) -> float:
    if not isinstance(item.value, float) or not math.isfinite(item.value):
        raise item.refuse("a finite number with a decimal point")
    return item.value


@dataclass(frozen=True)
class Figures:
    """The figures of the proxies called `names`, as a taker of visits: `measure` makes them, `folder` keeps them."""

    names: tuple[str, ...]
    folder: str
    version: Callable[[str], str]
    measure: Callable[[Visited, Sequence[str]], Mapping[str, Figure]]

    def load(self, bank: FeatureBank, architecture: Architecture) -> dict[str, Figure]:
        """All that the folder holds of the architecture, by name, of the present versions."""
        return self.shelf(bank).load(bank.entry(architecture))

    def needed(self, bank: FeatureBank, architecture: Architecture) -> dict[str, Figure]:
        """Figures by name; BadFile if some are missing."""
        found = self.load(bank, architecture)
        if not found.keys() >= set(self.names):
            raise BadFile(f"{self.shelf(bank).path(bank.entry(architecture))}: is not what was written; run this again")
        return found

    def lacking(self, bank: FeatureBank, architecture: Architecture) -> Figures | None:
        known = self.load(bank, architecture)
        names = tuple(name for name in dict.fromkeys(self.names) if name not in known)
        return replace(self, names=names) if names else None

    def take(self, visited: Visited) -> Mapping[str, Figure]:
        return self.measure(visited, self.names)

    def fits(self, taken: Any) -> bool:
        try:
            sound = all(Figure.read(Datum("", figure.plain(), BadFile)) == figure for figure in taken.values())
        except (AttributeError, TypeError, ValueError):  # a worker elsewhere may answer anything
            return False
        return sound and isinstance(taken, Mapping) and taken.keys() == set(self.names)

    def keep(self, bank: FeatureBank, architecture: Architecture, taken: Mapping[str, Figure]) -> None:
        self.shelf(bank).save(bank.entry(architecture), taken)

    def reader(self) -> Reader | None:
        return None  # what is measured here runs passes of its own

    def damaged(self, bank: FeatureBank, architecture: Architecture) -> Path | None:
        shelf, key = self.shelf(bank), bank.entry(architecture)
        return shelf.path(key) if shelf.damaged(key) else None

    def shelf(self, bank: FeatureBank) -> Shelf[Figure]:
        """Shelf of the figures."""
        return Shelf(bank.place / self.folder, self.version, Figure.read, Figure.plain)


class FormulaScores(Figures):
    """Exact scores of formulas, which need no more of a block than a few numbers."""

    def reader(self) -> Reader | None:
        return ScoreReader(self.names)


class ScoreReader:
    """The exact scores of a network whose blocks pass by."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = list(dict.fromkeys(texts))
        self.scorer = PassingScorer([parse(text) for text in self.texts])
        self.inputs = self.scorer.inputs

    def see(self, index: int, block: Block) -> None:
        self.scorer.see(index, block)

    def taken(self, loss: float, finite: bool) -> dict[str, Figure]:
        return _scored(self.scorer, self.texts, finite)


def scoring_version(text: str) -> str:
    """Version of numbers that our scoring computes."""
    return str(SCORING_VERSION)


def formula_scores(texts: Sequence[str]) -> Figures:
    """Exact scores of formulas. They have no seconds, so that a bank has the same bytes whoever made it."""
    return FormulaScores(tuple(texts), "exact", scoring_version, _scores)


def part_scores(proxies: Sequence[Proxy]) -> Figures:
    """Exact scores of what formulas are made of: their own, or those of their parts where they read the budget."""
    return formula_scores(list(dict.fromkeys(part.text for proxy in proxies for part in parts(proxy))))


def of_parts(
    proxies: Sequence[Proxy], scores: Mapping[str, np.ndarray], architectures: Sequence[Architecture]
) -> np.ndarray:
    """Scores (P, N) of formulas from those (N,) of their parts by text, for the training tokens of each architecture;
    nan where there is none."""
    if not any(proxy.reads_budget for proxy in proxies):
        return np.array([scores[proxy.text] for proxy in proxies]).reshape(len(proxies), len(architectures))
    found, budgets = [], budgets_of(architectures)
    with np.errstate(all="ignore"):
        for proxy in proxies:
            own = [scores[part.text] for part in parts(proxy)]
            value = resolved(combined(proxy, own, budgets)) if proxy.reads_budget else own[0]
            found.append(np.where(np.isfinite(value), value, np.nan))
    return np.array(found)


def formula_costs(texts: Sequence[str]) -> Figures:
    """Seconds of formulas, each computed alone."""
    return Figures(tuple(texts), "cost", scoring_version, _costs)


def _scores(visited: Visited, texts: Sequence[str]) -> dict[str, Figure]:
    scorer = PassingScorer([parse(text) for text in texts])
    if not visited.overflows:
        for index, block in enumerate(visited.features.blocks):
            scorer.see(index, block)
    return _scored(scorer, texts, not visited.overflows)


def _scored(scorer: Scorer, texts: Sequence[str], finite: bool) -> dict[str, Figure]:
    """A network that overflows has no score, whatever of it the formulas read; only counts are asked without passes."""
    if not finite:
        return dict.fromkeys(texts, Figure(reason=Invalid.OVERFLOW.value))
    found = {text: scorer.score(parse(text)) for text in texts}
    return {text: Figure(reason=v.value) if isinstance(v, Invalid) else Figure(v) for text, v in found.items()}


def _costs(visited: Visited, texts: Sequence[str]) -> dict[str, Figure]:
    """Seconds of collecting the features, and of all branches and joins of one formula."""
    costs = {}
    for text in texts:
        start = time.perf_counter()
        if not visited.overflows:
            Scorer(visited.features.blocks).score(parse(text))
        costs[text] = Figure(seconds=round(visited.seconds + time.perf_counter() - start, 6))
    return costs
