"""Candidates in order: a scorer's word on architectures that nobody measured.

A score depends on the candidate alone, never on who else is asked about: a formula gives its signed exact value, a
committee the mean position of the candidate among the architectures that the formulas were evolved on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fitness.costs import Costs
from fitness.evaluation import Evaluation
from fitness.features.figures import Figure, part_scores
from fitness.features.workshop import Progress, Refused, Workshop
from fitness.positions import place_among
from models.architecture import Architecture
from primitives.proxy import Proxy

if TYPE_CHECKING:
    from fitness.predictors.predictor import Predictor

__all__ = [
    "Candidate",
    "CandidateScorer",
    "CommitteeScorer",
    "FormulaScorer",
    "PredictorScorer",
    "beyond",
    "in_order",
    "ranges",
    "score_candidates",
]

COMPARED = {"params": "#params", "decoder_params": "decoder params", "depth": "depth", "width": "width"}


class CandidateScorer(Protocol):
    """Scorer of candidates from exact scores of formulas; larger is better."""

    @property
    def proxies(self) -> Sequence[Proxy]:
        """The formulas whose exact scores it wants."""
        ...

    def scores(self, architectures: Sequence[Architecture], exact: np.ndarray) -> np.ndarray:
        """(N,) from exact scores (P, N) of the formulas, without their signs; nan where there is none."""
        ...


@dataclass(frozen=True)
class FormulaScorer:
    """One formula with its sign."""

    formula: Evaluation

    @property
    def proxies(self) -> Sequence[Proxy]:
        return (self.formula.proxy,)

    def scores(self, architectures: Sequence[Architecture], exact: np.ndarray) -> np.ndarray:
        return self.formula.sign * exact[0]


@dataclass(frozen=True, eq=False)
class CommitteeScorer:
    """Several formulas; `reference` (P, R) are their exact scores on the architectures that they were evolved on."""

    formulas: tuple[Evaluation, ...]
    reference: np.ndarray

    @property
    def proxies(self) -> Sequence[Proxy]:
        return tuple(formula.proxy for formula in self.formulas)

    def scores(self, architectures: Sequence[Architecture], exact: np.ndarray) -> np.ndarray:
        signs = np.array([formula.sign for formula in self.formulas])[:, None]
        rows = zip(signs * self.reference, signs * exact, strict=True)
        return np.mean([place_among(seen[np.isfinite(seen)], asked) for seen, asked in rows], axis=0)


@dataclass(frozen=True, eq=False)
class PredictorScorer:
    """A predictor: the rank among its labels that it gives, standardised."""

    predictor: Predictor

    @property
    def proxies(self) -> Sequence[Proxy]:
        return tuple(formula.proxy for formula in self.predictor.formulas)

    def scores(self, architectures: Sequence[Architecture], exact: np.ndarray) -> np.ndarray:
        return self.predictor.predict(architectures, exact.reshape(len(self.proxies), -1)).positions


@dataclass(frozen=True)
class Candidate:
    """An architecture with its score, or the reason why it has none; what it costs; the sizes of it that are outside
    what the formula was evolved on, and the space that was, if it is another one; and the benchmark in which whoever
    scores has seen it."""

    architecture: Architecture
    costs: Costs
    score: float | None = None
    reason: str = ""
    outside: tuple[str, ...] = ()
    home: str | None = None
    seen: str | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the reader."""
        notes = [self.reason] if self.reason else []
        notes += [f"space {self.architecture.space}, not {self.home}"] if self.home else []
        notes += [f"outside in {', '.join(self.outside)}"] if self.outside else []
        return (*notes, *([f"seen in {self.seen}"] if self.seen else []))


def score_candidates(
    architectures: Sequence[Architecture],
    scorer: CandidateScorer,
    workshops: Callable[[str], Workshop],
    progress: Progress | None = None,
    refused: Refused | None = None,
) -> list[tuple[float | None, str]]:
    """(score, reason) of each; networks are visited in the workshop of their space, and each only once. A network that
    cannot be visited is an error, unless there are those `refused` to add it to."""
    found: dict[tuple[str, float | None], tuple[float | None, str]] = {}
    for space in dict.fromkeys(architecture.space for architecture in architectures):
        mine = list({_key(a): a for a in reversed(architectures) if a.space == space}.values())[::-1]
        workshop = workshops(space)
        exact = workshop.exact_scores(scorer.proxies, mine, progress, refused)
        values = scorer.scores(mine, exact)
        for architecture, value in zip(mine, values, strict=True):
            if refused and architecture in refused:
                found[_key(architecture)] = None, refused[architecture]
            elif np.isfinite(value):
                found[_key(architecture)] = float(value), ""
            else:
                found[_key(architecture)] = None, _reason(workshop, scorer, architecture)
    return [found[_key(architecture)] for architecture in architectures]


def _key(architecture: Architecture) -> tuple[str, float | None]:
    """Key of a score: the configuration and its training tokens."""
    return architecture.digest, architecture.tokens


def _reason(workshop: Workshop, scorer: CandidateScorer, architecture: Architecture) -> str:
    """Why a formula has no score, as its visit found."""
    figures: Mapping[str, Figure] = part_scores(scorer.proxies).load(workshop.bank, architecture)
    return next((figure.reason for figure in figures.values() if figure.reason), "no finite score")


def in_order(candidates: Sequence[Candidate]) -> list[tuple[int | None, Candidate]]:
    """(place, candidate), the best first; equal scores share a place and stand by size, then by id; those without a
    score come last, without a place."""

    def order(candidate: Candidate) -> tuple[Any, ...]:
        scored = candidate.score is not None
        return not scored, -(candidate.score or 0.0), candidate.costs.params, candidate.architecture.id

    ranked = sorted(candidates, key=order)
    first: dict[float | None, int] = {}
    places = [first.setdefault(candidate.score, place) for place, candidate in enumerate(ranked, start=1)]
    return [(None if c.score is None else place, c) for place, c in zip(places, ranked, strict=True)]


def ranges(known: Sequence[Costs]) -> dict[str, tuple[int, int]]:
    """The least and the most of each size, of architectures that a formula was evolved on."""
    sizes = {label: [getattr(costs, name) for costs in known] for name, label in COMPARED.items()} if known else {}
    return {label: (min(values), max(values)) for label, values in sizes.items()}


def beyond(costs: Costs, known: Mapping[str, tuple[int, int]]) -> tuple[str, ...]:
    """The sizes of a candidate that lie outside these ranges."""
    own = {label: getattr(costs, name) for name, label in COMPARED.items()}
    return tuple(label for label, (low, high) in known.items() if not low <= own[label] <= high)
