"""Predictor: from numbers of the configuration and scores of formulas to quality in the metric's own unit, with
intervals; fitted to the labels of one search split.

Three kinds. `numbers` reads no formula. `numbers and committee` adds the mean rank of the formulas with a small, fixed
share: the formulas were chosen by the same labels, so what they reach on these says nothing of what they are worth, and
no cross-validation of finished formulas can say it. `champion` is the first formula alone, where the search's own
cross-validation, made before it chose formulas, preferred coarse ones, and it is clearly better on the labels than
numbers are on labels left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from fitness.evaluation import Evaluation
from fitness.positions import place_among
from fitness.predictors.ensemble import Ensemble, LeftOut, fit_ensemble, useful
from fitness.predictors.members import rank_targets
from fitness.predictors.numbers import NumberTable, number_table
from fitness.predictors.positions import BEYOND, placed, quality_at
from fitness.predictors.tuning import FOLDS, Noise
from fitness.ranking import kendall
from fitness.seen import Seen, SeenCase
from models.architecture import Architecture
from models.benchmarks.benchmark import Benchmark
from storage.errors import WrongInput

__all__ = ["KINDS", "LEVEL", "BadPrediction", "Prediction", "Predictor", "Provenance"]

KINDS = ("numbers", "numbers and committee", "champion")
SHARE = 0.1  # of the committee; what paid on seeds from 100 on
MARGIN = -0.02  # of tau, by which a coarse champion on the labels must beat numbers on left-out ones
COARSE = 0.1  # share of the labels at each level of a coarse formula, as in the search
MOST = 1000  # labels; the price of a process goes with their third power
LEVEL = 0.9  # of the intervals
MARGINAL = 0.1  # of the measured range, how far outside it a number may lie


class BadPrediction(WrongInput):
    """A predictor that cannot be fitted or asked so; the message says what it wanted."""


@dataclass(frozen=True)
class Provenance:
    """Provenance of a predictor: its labels and the features of its formulas.

    `place` is the name or path that the benchmark was read by; `config` are the settings of the run behind the
    formulas, with the features that the fit used; `cases` are what that run saw.
    """

    space: str
    build: str | None
    name: str
    digest: str
    metric: str
    higher_is_better: bool
    feature_key: str
    config: Mapping[str, Any] = field(default_factory=dict)
    place: str = ""
    cases: tuple[SeenCase, ...] = ()


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted values (M,) of the metric with the ends of their 90% intervals; `positions` (M,) rank the
    architectures, larger is better; `beyond` names, for each, the numbers that lie outside what was measured."""

    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    positions: np.ndarray
    beyond: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False)
class Predictor:
    """A fitted predictor as data.

    `numbers` are those of the n architectures called `ids`, `labels` (n,) their measured values, `scores` (F, n) the
    signed exact scores of the formulas, `left_out` (n,) what is predicted of each label without it. `factor` times
    the deviation is half an interval; `cv` are the figures of the choice, as tau on the labels; `noise` (n,) is that of
    the labels, where it is known.
    """

    kind: str
    provenance: Provenance
    ids: tuple[str, ...]
    labels: np.ndarray
    numbers: NumberTable
    ensemble: Ensemble
    all_formulas: tuple[Evaluation, ...]
    scores: np.ndarray
    left_out: np.ndarray
    factor: float
    cv: Mapping[str, float]
    noise: Noise = None

    @classmethod
    def fit(
        cls,
        benchmark: Benchmark,
        seen: Sequence[int],
        provenance: Provenance,
        formulas: Sequence[Evaluation] = (),
        scores: np.ndarray | None = None,
        kind: str | None = None,
    ) -> Predictor:
        """The predictor of the labels of the n architectures `seen`; `scores` (F, n) are the exact ones of the formulas
        there, without their sign; formulas that lack one are left out. `kind` is chosen if none is given."""
        chosen = list(seen)
        if len(chosen) > MOST:
            raise BadPrediction(f"labels: got {len(chosen):,}, wanted at most {MOST:,}; take some of them")
        quality, usable = benchmark.quality[chosen], _signed(formulas, scores, len(chosen))
        numbers = number_table([benchmark.architectures[i] for i in chosen], provenance.build)
        noise = benchmark.noise(chosen)
        numbers = useful(numbers, rank_targets(quality), noise)
        whole = np.isfinite(usable).all(-1)
        formulas, usable = tuple(f for f, w in zip(formulas, whole, strict=True) if w), usable[whole]
        targets = rank_targets(quality)
        ensemble, out = fit_ensemble(numbers, targets, noise)
        cv = _judged(quality, usable, out)
        kind = kind or _chosen(cv, usable)
        if kind not in KINDS or (kind != "numbers" and not len(usable)):
            raise BadPrediction(
                f"kind: got {kind!r}, wanted one of {', '.join(KINDS)}; all but the first need formulas"
            )
        ids = tuple(benchmark.architectures[i].id for i in chosen)
        left, factor = out.mean[0].round(9), _factor(kind, targets, usable, out)
        if kind == "champion":
            left = _standing(usable[0], usable[0])
        labels = benchmark.ground_truth[chosen]
        return cls(kind, provenance, ids, labels, numbers, ensemble, formulas, usable, left, factor, cv, noise)

    @property
    def formulas(self) -> tuple[Evaluation, ...]:
        """The formulas whose scores `predict` wants, in this order."""
        return self.all_formulas[: {"numbers": 0, "champion": 1}.get(self.kind, len(self.all_formulas))]

    @cached_property
    def seen(self) -> Seen:
        """The architectures whose labels it was fitted to, and those that its formulas were evolved on."""
        known = self.provenance
        ref = known.space, known.name, known.digest, known.metric, known.higher_is_better
        return Seen((SeenCase(known.place or known.name, *ref, self.ids), *known.cases))

    @property
    def quality(self) -> np.ndarray:
        """The labels turned so that larger is better, (n,)."""
        return self.labels if self.provenance.higher_is_better else -self.labels

    def predict(self, architectures: Sequence[Architecture], formula_scores: np.ndarray | None = None) -> Prediction:
        """Predictions for M architectures of the space; `formula_scores` (F, M) are the exact scores of
        `formulas`, without their sign. A score that is not finite makes a prediction of nan. Other shapes raise
        BadPrediction."""
        if not architectures:
            raise BadPrediction("architectures: got none, wanted at least one")
        for architecture in architectures:
            self.check(architecture)
        asked = number_table(architectures, self.provenance.build)
        scores = _signed(self.formulas, formula_scores, len(architectures))
        middle, deviation = self._standardised(asked, scores)
        half = self.factor * deviation
        quality = [quality_at(self.quality, self._positions(middle + shift)) for shift in (0.0, -half, half)]
        values, low, high = quality if self.provenance.higher_is_better else (-quality[0], -quality[2], -quality[1])
        return Prediction(values, low, high, middle, _beyond(self.numbers, asked))

    def check(self, architecture: Architecture) -> None:
        """BadPrediction for an architecture of another space than the labels."""
        if architecture.space != (wanted := self.provenance.space):
            raise BadPrediction(
                f"{architecture.id}: got the space {architecture.space}, wanted {wanted}, which the labels are of"
            )

    def _standardised(self, asked: NumberTable, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(mean (M,), deviation (M,)) in units of the standardised ranks of the labels."""
        if self.kind == "champion":
            return _standing(self.scores[0], scores[0]), np.ones(scores.shape[1])
        mean, deviation = self.ensemble.predict(self.numbers, rank_targets(self.quality), asked, self.noise)
        if self.kind == "numbers":
            return mean, deviation
        return (1 - SHARE) * mean + SHARE * _committee(self.scores, scores), deviation

    def _positions(self, standardised: np.ndarray) -> np.ndarray:
        return 0.5 + standardised * placed(len(self.ids)).std()


def _signed(formulas: Sequence[Evaluation], scores: np.ndarray | None, count: int) -> np.ndarray:
    """Scores times the signs of their formulas, (F, count)."""
    given = np.empty((0, count)) if scores is None else np.asarray(scores, dtype=float)
    if given.shape != (len(formulas), count):
        wanted = f"{len(formulas)} formulas on {count} architectures"
        raise BadPrediction(f"scores: got the shape {given.shape}, wanted those of {wanted}")
    return given * np.array([formula.sign for formula in formulas], dtype=float).reshape(-1, 1)


def _standing(seen: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The positions of `asked` (M,) among `seen` (n,), in units of standardised ranks."""
    return (place_among(seen, asked, BEYOND) - 0.5) / placed(len(seen)).std()


def _committee(seen: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The mean place of `asked` (F, M) among `seen` (F, n) over the formulas, in units of its deviation there; (M,)."""
    own = np.mean([place_among(row, row, BEYOND) for row in seen], axis=0)
    found = np.mean([place_among(row, other, BEYOND) for row, other in zip(seen, asked, strict=True)], axis=0)
    return (found - own.mean()) / max(own.std(), 1e-9)


def _judged(quality: np.ndarray, scores: np.ndarray, out: LeftOut) -> dict[str, float]:
    """tau-b on the labels: of numbers where each label is left out, of formulas where none is, which flatters them."""
    cv = {"numbers": float(np.mean([kendall(mean, quality) for mean in out.mean]))}
    ranked = {"champion": scores[0], "committee": _committee(scores, scores)} if len(scores) else {}
    cv |= {name: kendall(values, quality) for name, values in ranked.items() if np.ptp(values) > 0}
    return {name: round(value, 6) for name, value in cv.items()}


def _chosen(cv: Mapping[str, float], scores: np.ndarray) -> str:
    if "champion" not in cv:
        return "numbers"
    rarest = int(np.unique(scores[0], return_counts=True)[1].min())
    coarse = rarest >= COARSE * scores.shape[1]
    return "champion" if coarse and cv["champion"] > cv["numbers"] + MARGIN else "numbers and committee"


def _factor(kind: str, targets: np.ndarray, scores: np.ndarray, out: LeftOut) -> float:
    """Number of deviations that holds LEVEL of the left-out labels (split conformal prediction; Lei et al. 2018). What
    left them out saw 4 of 5 labels; the variance of an error is taken to go with the inverse of their number. A
    champion was chosen by all labels, so its errors on these are too small: the next larger one counts."""
    count = len(targets)
    level = min(1.0, np.ceil(LEVEL * (count + 1)) / count)
    if kind == "champion":
        left = np.abs(_standing(scores[0], scores[0]) - targets)
        return round(max(float(np.quantile(left, level, method="higher")), 1e-6), 6)
    left = np.abs(out.mean - targets) / out.deviation * np.sqrt(1 - 1 / FOLDS)
    return round(max(float(np.quantile(left, level)), 1e-6), 6)


def _beyond(seen: NumberTable, asked: NumberTable) -> tuple[tuple[str, ...], ...]:
    low, high = seen.values.min(0), seen.values.max(0)
    slack = MARGINAL * (high - low) + 1e-9
    values = asked.of(seen.names)
    outside = (values < low - slack) | (values > high + slack)
    return tuple(tuple(n for n, out in zip(seen.names, row, strict=True) if out) for row in outside)
