"""Regressions on the labels of a split, and the predictor that adds formulas: what they read, what they never see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from test_ensemble import quick  # noqa: F401  (a fixture)

from fitness.evaluation import Evaluation, Split, split_groups
from fitness.positions import place_among
from fitness.predictors.ensemble import Ensemble, fit_ensemble
from fitness.predictors.figures import predictor_record
from fitness.predictors.members import GaussianMember
from fitness.predictors.numbers import COUNTS, BadNumbers, NumberTable, number_table
from fitness.predictors.positions import placed, quality_at
from fitness.predictors.predictor import BadPrediction, Predictor, Provenance, _beyond, _chosen
from fitness.predictors.rivals import RIVALS, rival_scores, rivals
from fitness.predictors.suggestion import GOALS, drawn, suggested
from fitness.predictors.tuning import folds
from fitness.ranking import kendall
from models.architecture import Architecture, BadArchitecture
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark
from models.candidates import drawn_candidates
from models.spaces import DRAWABLE, SPACES
from primitives.grammar import parse

TEXTS = ("sum[ frobenius_norm(W) ]", "mean[ l1_norm(G) ]")


@pytest.fixture(scope="module")
def benchmark(tiny_benchmark: Path) -> Benchmark:
    return load_benchmark(str(tiny_benchmark))


@pytest.fixture(scope="module")
def split(benchmark: Benchmark) -> Split:
    return split_groups(benchmark.groups, 20, 0)


def formulas(*signs: int) -> list[Evaluation]:
    return [Evaluation(parse(text), 0.9, sign) for text, sign in zip(TEXTS, signs, strict=False)]


def provenance(benchmark: Benchmark) -> Provenance:
    return Provenance("gpt2", None, "tiny", benchmark.digest, benchmark.metric, benchmark.higher_is_better, "key")


def fitted(benchmark: Benchmark, split: Split, scores: np.ndarray | None = None, kind: str | None = None) -> Predictor:
    chosen = formulas(*[1] * (0 if scores is None else len(scores)))
    own = None if scores is None else scores[:, list(split.search)]
    return Predictor.fit(benchmark, split.search, provenance(benchmark), chosen, own, kind)


@pytest.mark.parametrize("space", SPACES)
def test_every_space_gives_finite_numbers_with_the_counts_among_them(space: str) -> None:
    import random

    configs = [{"model_type": "gpt2", "n_embd": 16, "n_head": 2, "n_layer": layers} for layers in range(1, 5)]
    if space in DRAWABLE:
        configs = [SPACES[space].sample(random.Random(seed)) for seed in range(4)]
    table = number_table([SPACES[space].architecture(str(i), config) for i, config in enumerate(configs)])
    assert np.isfinite(table.values).all() and set(COUNTS) <= set(table.names) and len(table.names) > len(COUNTS) + 3
    assert table.of(COUNTS).shape == (4, len(COUNTS))
    with pytest.raises(BadNumbers, match=r"^nonsense: got a number that the space does not give"):
        table.of(["nonsense"])


def test_equal_architectures_are_left_out_together() -> None:
    inputs = np.repeat(np.arange(10.0)[:, None], 2, axis=0)
    for part in folds(inputs, 3):
        assert all((inputs[part] == inputs[i]).sum() == 2 for i in part)


@pytest.mark.parametrize("rival", RIVALS)
def test_a_rival_ranks_held_out_architectures_and_never_sees_their_labels(
    benchmark: Benchmark, split: Split, rival: str
) -> None:
    held = list(split.holdout)
    scores = rival_scores(benchmark, split)[rival]
    assert kendall(scores[held], benchmark.quality[held]) > 0.4
    truth = benchmark.ground_truth.copy()
    truth[held] = 1e6
    other = Benchmark("x", "gpt2", "loss", False, benchmark.architectures, truth, "d")
    assert (rival_scores(other, split)[rival] == scores).all()


def test_scores_of_the_search_split_are_no_self_praise(benchmark: Benchmark, split: Split) -> None:
    truth = np.random.default_rng(3).permutation(benchmark.ground_truth)
    noise = Benchmark("x", "gpt2", "loss", False, benchmark.architectures, truth, "d")
    seen = list(split.search)
    assert max(kendall(scores[seen], noise.quality[seen]) for scores in rival_scores(noise, split).values()) < 0.4


def test_rivals_are_records_like_baselines_and_need_a_split(benchmark: Benchmark, split: Split) -> None:
    found = rivals(benchmark, split, detail=True)
    assert [record["name"] for record in found] == list(RIVALS)
    assert all(set(r) == {"name", "all", "search", "holdout", "inside", "near_pairs"} for r in found)
    assert found[0]["holdout"]["ci95_kendall"] and rivals(benchmark, None) == []


def test_many_labels_do_not_make_a_regression_slow(benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    from fitness.predictors import predictor, rivals

    monkeypatch.setattr(rivals, "MOST", 12)
    monkeypatch.setattr(predictor, "MOST", 19)
    split = split_groups(benchmark.groups, 20, 0)
    few = Split(tuple(split.search[i] for i in np.linspace(0, 19, 12).astype(int)), split.holdout)
    held = list(split.holdout)
    assert (rival_scores(benchmark, split)["ridge"][held] == rival_scores(benchmark, few)["ridge"][held]).all()
    with pytest.raises(BadPrediction, match=r"^labels: got 20, wanted at most 19; take some of them$"):
        fitted(benchmark, split)


def test_positions_go_to_the_metric_and_back() -> None:
    labels = np.array([5.0, 1.0, 4.0, 2.0, 3.0] * 4) + np.arange(20) / 100
    assert np.allclose(quality_at(labels, placed(20)), np.sort(labels))
    assert np.allclose(place_among(labels, np.sort(labels)), placed(20))
    assert quality_at(labels, np.array([1.2]))[0] > labels.max() and quality_at(labels, np.array([-0.2]))[0] < 1
    assert place_among(labels, np.array([9.0]))[0] > 1 and place_among(labels, np.array([-9.0]))[0] < 0
    assert place_among(np.array([1.0, 1.0, 2.0]), np.array([1.0]))[0] == pytest.approx(1 / 3)


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize("kind", ["numbers", "numbers and committee", "champion"])
def test_a_predictor_speaks_in_units_of_the_metric(split: Split, benchmark: Benchmark, kind: str, higher: bool) -> None:
    truth = -benchmark.ground_truth if higher else benchmark.ground_truth
    data = Benchmark("x", "gpt2", "loss", higher, benchmark.architectures, truth, benchmark.digest)
    scores = np.stack([data.quality, data.quality + np.random.default_rng(0).normal(0, 1, len(data))])
    predictor = fitted(data, split, scores, kind)
    held = list(split.holdout)
    found = predictor.predict([data.architectures[i] for i in held], scores[: len(predictor.formulas)][:, held])
    assert (found.low <= found.values).all() and (found.values <= found.high).all()
    assert np.corrcoef(found.values, truth[held])[0, 1] > 0.6
    assert kendall(found.positions, data.quality[held]) > 0.4
    record = predictor_record(predictor, data, split, scores[: len(predictor.formulas)])
    assert record["kind"] == kind and 0.5 <= record["coverage"] <= 1
    assert record["holdout"]["kendall"] == pytest.approx(kendall(found.positions, data.quality[held]), abs=1e-6)


def test_the_committee_has_a_small_say_however_well_it_fits_its_own_labels(benchmark: Benchmark, split: Split) -> None:
    """It was chosen by these labels, so a perfect fit to them is no reason to believe it."""
    fine = np.stack([benchmark.quality, benchmark.quality])
    predictor = fitted(benchmark, split, fine)
    assert predictor.kind == "numbers and committee" and predictor.cv["committee"] == 1
    held_quality = fine[:, list(split.holdout)]
    reversed_elsewhere = held_quality.min() + held_quality.max() - held_quality
    held = [benchmark.architectures[i] for i in split.holdout]
    positions = predictor.predict(held, reversed_elsewhere).positions
    assert kendall(positions, benchmark.quality[list(split.holdout)]) > 0.3


@pytest.mark.parametrize(("good", "kind"), [(True, "champion"), (False, "numbers and committee")])
def test_a_coarse_champion_speaks_alone_if_it_ranks_labels_as_well(
    benchmark: Benchmark, split: Split, good: bool, kind: str
) -> None:
    """The labels are shuffled, so that numbers say nothing of them."""
    truth = np.random.default_rng(1).permutation(benchmark.ground_truth)
    data = Benchmark("x", "gpt2", "loss", False, benchmark.architectures, truth, "d")
    levels = np.digitize(data.quality, np.quantile(data.quality[list(split.search)], [0.25, 0.5, 0.75])).astype(float)
    scores = levels if good else -levels
    assert fitted(data, split, scores[None]).kind == kind
    fine = np.where(np.arange(len(levels)) == split.search[0], 9.0, scores)
    assert fitted(data, split, fine[None]).kind == "numbers and committee"


def test_without_formulas_there_are_numbers_only(benchmark: Benchmark, split: Split) -> None:
    assert fitted(benchmark, split).kind == "numbers" and fitted(benchmark, split).formulas == ()
    for kind in ("champion", "nonsense"):
        with pytest.raises(BadPrediction, match=rf"^kind: got '{kind}', wanted one of numbers, "):
            fitted(benchmark, split, kind=kind)


def test_a_formula_without_a_score_on_a_label_is_left_out(benchmark: Benchmark, split: Split) -> None:
    scores = np.stack([benchmark.quality, benchmark.quality])
    scores[0, split.search[0]] = np.nan
    assert [f.proxy.text for f in fitted(benchmark, split, scores).formulas] == [TEXTS[1]]


def test_predictions_refuse_other_spaces_and_other_shapes(benchmark: Benchmark, split: Split) -> None:
    import random

    predictor = fitted(benchmark, split, np.stack([benchmark.quality] * 2))
    stranger = SPACES["flexibert"].architecture("x", SPACES["flexibert"].sample(random.Random(0)))
    with pytest.raises(BadPrediction, match="x: got the space flexibert, wanted gpt2"):
        predictor.predict([stranger])
    with pytest.raises(BadPrediction, match=r"^architectures: got none, wanted at least one$"):
        predictor.predict([])
    with pytest.raises(BadPrediction, match=r"scores: got the shape \(0, 2\), wanted those of 2 formulas on 2 arch"):
        predictor.predict(benchmark.architectures[:2])


def test_what_lies_outside_the_measured_sizes_is_named(benchmark: Benchmark, split: Split) -> None:
    predictor = fitted(benchmark, split)
    config = dict(benchmark.architectures[0].config)
    deep = {**config, "n_layer": 40, "n_head": [2] * 40, "d_inner": [50] * 40}
    found = predictor.predict([benchmark.architectures[split.search[0]], SPACES["gpt2"].architecture("deep", deep)])
    assert found.beyond[0] == () and "log depth" in found.beyond[1]
    assert found.high[1] - found.low[1] > found.high[0] - found.low[0]


def standing(values: np.ndarray) -> np.ndarray:
    """Standardised ranks of values that all differ."""
    ranks = np.argsort(np.argsort(values)).astype(float)
    return (ranks - ranks.mean()) / ranks.std()


def least(left: np.ndarray, share: float) -> float:
    """The value below which this share of the residuals lies, between two of them in a straight line."""
    ordered, place = np.sort(left.ravel()), share * (left.size - 1)
    below = int(place)
    above = min(below + 1, left.size - 1)
    return float(ordered[below] + (place - below) * (ordered[above] - ordered[below]))


@pytest.mark.usefixtures("quick")
def test_half_an_interval_holds_nine_tenths_of_n_plus_1_left_out_labels(benchmark: Benchmark, split: Split) -> None:
    """20 labels: the 19th of 20, because 0.9 x 21 is 18.9; left-out errors are made with four fifths of the labels. The
    errors of a champion on the labels that chose it are too small, so the 20th counts."""
    noisy = benchmark.quality + np.random.default_rng(8).normal(0, 1, len(benchmark))
    seen = list(split.search)
    targets = standing(benchmark.quality[seen])
    champion = fitted(benchmark, split, noisy[None], "champion")
    assert champion.factor == pytest.approx(np.abs(standing(noisy[seen]) - targets).max(), abs=1e-6)
    numbers = fitted(benchmark, split, kind="numbers")
    _, out = fit_ensemble(numbers.numbers, targets)
    errors = np.abs(out.mean - targets) / out.deviation
    assert numbers.factor == pytest.approx(0.8**0.5 * least(errors, 19 / 20), abs=1e-6)


@pytest.mark.usefixtures("quick")
def test_a_committee_has_a_tenth_of_the_say(benchmark: Benchmark, split: Split) -> None:
    rng, seen = np.random.default_rng(9), list(split.search)
    scores = benchmark.quality + rng.normal(0, 1, (2, len(benchmark)))
    known = [benchmark.architectures[i] for i in seen]
    together = fitted(benchmark, split, scores, "numbers and committee").predict(known, scores[:, seen])
    alone = fitted(benchmark, split, kind="numbers").predict(known)
    mean = np.mean([np.argsort(np.argsort(row)) for row in scores[:, seen]], axis=0)
    committee = (mean - mean.mean()) / mean.std()
    assert together.positions == pytest.approx(0.9 * alone.positions + 0.1 * committee)


def test_a_number_is_beyond_from_a_tenth_of_the_range_on() -> None:
    seen = NumberTable(("x", "same"), np.array([[0.0, 3.0], [10.0, 3.0]]))
    asked = [[-1.0, 3.0], [-1.01, 3.0], [11.0, 3.0], [11.01, 3.0], [5.0, 3.0001], [5.0, 2.9999], [5.0, 3.0]]
    found = _beyond(seen, NumberTable(("x", "same"), np.array(asked)))
    assert found == ((), ("x",), (), ("x",), ("same",), ("same",), ())


@pytest.mark.parametrize("goal", GOALS)
def test_suggestions_differ_and_go_where_little_is_known(goal: str) -> None:
    seen = NumberTable(("x",), np.array([[0.0], [1.0], [2.0]]))
    asked = NumberTable(("x",), np.array([[0.5], [9.0], [9.01], [1.0], [-9.0]]))
    process = Ensemble(((GaussianMember(1.0, (1.0,), 0.01), 1.0),))
    chosen = suggested(process, seen, np.array([1.0, 2.0, 3.0]), asked, 3, goal)
    assert len(set(chosen)) == 3 and chosen[0] in (1, 2, 4)
    if goal == "interval":
        assert set(chosen[:2]) & {1, 2} and 4 in chosen[:2]
    assert len(suggested(process, seen, np.array([1.0, 2.0, 3.0]), asked, 99, goal)) == 5


def test_expected_improvement_is_that_of_the_textbook() -> None:
    mean, deviation = np.array([0.3]), np.array([0.5])
    draws = np.maximum(norm.ppf((np.arange(200_000) + 0.5) / 200_000, 0.3, 0.5) - 0.7, 0).mean()
    assert GOALS["improvement"](mean, deviation, 0.7)[0] == pytest.approx(draws, abs=1e-4)


def test_drawn_architectures_are_new_different_and_the_same_for_a_seed(benchmark: Benchmark) -> None:
    def digests(seed: int) -> Sequence[str]:
        return [a.digest for a in drawn(benchmark.architectures, 30, seed)]

    assert digests(1) == digests(1) != digests(2)
    assert len(set(digests(1))) == 30 and not {a.digest for a in benchmark.architectures} & set(digests(1))


@pytest.mark.parametrize(
    ("levels", "kind"), [((2, 2, 4, 12), "champion"), ((1, 3, 4, 12), "numbers and committee"), ((2,) * 10, "champion")]
)
def test_a_champion_is_coarse_if_every_level_holds_a_tenth_of_the_labels(levels: tuple[int, ...], kind: str) -> None:
    scores = np.repeat(np.arange(len(levels), dtype=float), levels)[None]
    assert scores.shape == (1, 20)
    assert _chosen({"champion": 0.9, "numbers": 0.5}, scores) == kind
    assert _chosen({"champion": 0.5, "numbers": 0.9}, scores) == "numbers and committee"


def test_what_cannot_be_counted_is_not_suggested(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = drawn_candidates("gpt2", 6, 1)
    assert len(drawn(measured, 3, 0)) == 3

    def refuse(self: Any, architecture: Architecture, build: str | None = None) -> None:
        raise BadArchitecture("n_layer: got a network that nothing counts")

    monkeypatch.setattr(type(SPACES["gpt2"]), "parameters", refuse)
    assert drawn(measured, 3, 0) == []
