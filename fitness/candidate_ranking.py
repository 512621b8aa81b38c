"""A ranking of architectures that nobody measured, for Python: scored, put in order, and given as records or a data
frame with the names of columns that the command `rank` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fitness.candidates import Candidate, CandidateScorer, FormulaScorer, PredictorScorer, in_order, score_candidates
from fitness.costs import costs_of
from fitness.evaluation import Evaluation
from fitness.features.workshop import Workshop
from models.architecture import Architecture
from primitives.grammar import parse
from storage.errors import MissingData

__all__ = ["CandidateRanking", "NoPandas", "rank_candidates"]


class NoPandas(MissingData, ImportError):
    """Pandas is not installed."""


@dataclass(frozen=True)
class CandidateRanking:
    """Candidates with their places, the best first, and what a predictor says of each."""

    rows: tuple[tuple[int | None, Candidate], ...]
    predicted: Mapping[Architecture, Mapping[str, float]] = field(default_factory=dict)

    def records(self) -> list[dict[str, Any]]:
        """A record per candidate."""
        return [
            {
                "place": place,
                "id": c.architecture.id,
                "score": c.score,
                **self.predicted.get(c.architecture, {}),
                **vars(c.costs),
                "notes": "; ".join(c.notes),
            }
            for place, c in self.rows
        ]

    def to_frame(self) -> Any:
        """A data frame of pandas, a row per candidate; NoPandas where it is not installed."""
        try:
            import pandas
        except ImportError:
            raise NoPandas("to_frame: wanted pandas: pip install 'pandas>=2'; records() needs nothing") from None
        return pandas.DataFrame(self.records())


def rank_candidates(
    architectures: Sequence[Architecture], scorer: CandidateScorer | str, workshop: Workshop
) -> CandidateRanking:
    """Rank architectures of one space by a scorer, or by a formula as text, more of which is taken as better."""
    if isinstance(scorer, str):
        scorer = FormulaScorer(Evaluation(parse(scorer), 0.0, 1))
    length, build = workshop.batch.tokens.shape[1], workshop.bank.key.build
    scores = score_candidates(architectures, scorer, lambda space: workshop)
    found = [
        Candidate(a, costs_of(a, length, build), score, reason)
        for a, (score, reason) in zip(architectures, scores, strict=True)
    ]
    return CandidateRanking(tuple(in_order(found)), _predictions(architectures, scorer, workshop))


def _predictions(
    architectures: Sequence[Architecture], scorer: CandidateScorer, workshop: Workshop
) -> dict[Architecture, dict[str, float]]:
    if not isinstance(scorer, PredictorScorer):
        return {}
    said = scorer.predictor.predict(architectures, workshop.exact_scores(scorer.proxies, architectures))
    names = ("predicted", "predicted_low", "predicted_high")
    columns = zip(said.values, said.low, said.high, strict=True)
    return {a: dict(zip(names, map(float, row), strict=True)) for a, row in zip(architectures, columns, strict=True)}
