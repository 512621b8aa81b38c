"""Labels whose noise is known: how they count in regressions, in the teacher, in intervals and in the fitness."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.linear_model import Ridge

from fitness.evaluation import Split, split_groups
from fitness.features.workshop import Workshop
from fitness.predictors.members import ERROR, GaussianMember, RidgeMember, rank_targets, shares
from fitness.predictors.numbers import COUNTS, NumberTable, number_table
from fitness.predictors.predictor import Predictor, Provenance
from fitness.predictors.predictor_file import (
    BadPredictor,
    load_predictor,
    predictor_from_dict,
    predictor_to_dict,
    save_predictor,
)
from fitness.predictors.suggestion import suggested
from fitness.predictors.teacher import taught
from fitness.predictors.tuning import left_out, tuned
from gp.case import Case
from gp.lesson import TRUST, Lesson
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark

RNG = np.random.default_rng(5)
SEEN, ASKED, TARGETS = RNG.normal(size=(20, 3)), RNG.normal(size=(7, 3)), RNG.normal(size=20)
NOISE = RNG.uniform(0, 2, 20)


@pytest.fixture(scope="module")
def benchmark(tiny_benchmark: Path) -> Benchmark:
    """Every third label is much noisier than the others."""
    found = load_benchmark(str(tiny_benchmark))
    spread = float(found.ground_truth.std())
    return replace(found, sd=np.where(np.arange(len(found)) % 3 == 0, 2 * spread, 0.1 * spread))


def test_noise_is_in_units_of_the_variance_of_the_labels(benchmark: Benchmark) -> None:
    few = replace(benchmark, ground_truth=np.array([1.0, 3.0, 9.0]), sd=np.array([2.0, np.nan, 4.0]))
    noise = few.noise([0, 1])
    assert noise is not None and noise.tolist() == [4.0, 4.0]  # 1 and 3 have the deviation 1; not known: the median
    assert few.noise(np.array([2, 0])).tolist() == [1.0, 0.25]  # type: ignore[union-attr]
    assert few.noise([1]) is None and replace(few, sd=None).noise([0, 1]) is None
    alike = replace(few, ground_truth=np.ones(3), sd=np.array([2.0, 1e200, 3.0])).noise([0, 1, 2])
    assert alike is not None and alike.tolist() == [4.0, 1e6, 9.0]


def test_a_label_counts_by_the_inverse_of_the_variance_of_its_error() -> None:
    assert shares(np.array([0.0, ERROR, 3 * ERROR])).tolist() == [1.0, 0.5, 0.25]


@pytest.mark.parametrize("penalty", [0.3, 10.0])
def test_a_ridge_weighs_its_rows_as_the_library_does(penalty: float) -> None:
    mean, deviation = RidgeMember(penalty).predict(SEEN, TARGETS, ASKED, NOISE)
    model = Ridge(penalty).fit(SEEN, TARGETS, ERROR / (ERROR + NOISE))
    assert np.allclose(mean, model.predict(ASKED))
    left = TARGETS - model.predict(SEEN)
    assert (deviation > np.sqrt(np.average(left**2, weights=shares(NOISE)))).all()
    plain = RidgeMember(penalty).predict(SEEN - SEEN.mean(0), TARGETS, ASKED - SEEN.mean(0))
    same = RidgeMember(penalty).predict(SEEN, TARGETS, ASKED, np.zeros(20))
    assert np.allclose(plain, same)
    far = RidgeMember(penalty).predict(SEEN, TARGETS, 100 * ASKED, NOISE)[1]
    assert (far > 3 * deviation).all()


def test_a_process_adds_the_noise_of_each_label_as_the_library_does() -> None:
    kernel = ConstantKernel(1.3, "fixed") * Matern(2.0, "fixed", nu=2.5) + WhiteKernel(0.1, "fixed")
    model = GaussianProcessRegressor(kernel, alpha=NOISE, optimizer=None).fit(SEEN, TARGETS)
    mean, deviation = model.predict(ASKED, return_std=True)
    found = GaussianMember(1.3, (2.0, 2.0, 2.0), 0.1).predict(SEEN, TARGETS, ASKED, NOISE)
    assert np.allclose(found[0], mean) and np.allclose(found[1], deviation)


@pytest.mark.parametrize("family", ["ridge", "process"])
def test_hyper_parameters_know_the_noise_and_a_left_out_label_has_its_own(family: str) -> None:
    truth = SEEN @ np.array([1.0, 2.0, 0.5])
    noise = np.where(np.arange(20) < 8, 4.0, 0.0)
    labels = truth + np.where(noise > 0, 6 * np.sign(RNG.normal(size=20)), 0)
    assert tuned(family, SEEN, labels, noise) != tuned(family, SEEN, labels)
    mean, deviation = left_out(family, SEEN, labels, 0, noise)
    assert (deviation >= np.sqrt(noise)).all() and deviation[:8].min() > 2
    blind = left_out(family, SEEN, labels, 0)[0]
    calm = noise == 0
    assert ((mean - truth)[calm] ** 2).mean() < ((blind - truth)[calm] ** 2).mean()


def test_a_teacher_learns_more_from_labels_whose_noise_it_knows(benchmark: Benchmark) -> None:
    numbers = number_table(benchmark.architectures)
    truth = rank_targets(numbers.of(["log total"])[:, 0])
    places, noise = np.arange(20), np.where(np.arange(20) % 2 == 0, 9.0, 0.0)
    labels = truth[:20] + np.sqrt(noise) * np.random.default_rng(1).normal(size=20)
    knows, blind = taught(numbers, places, labels, noise), taught(numbers, places, labels)
    assert np.corrcoef(knows[20:], truth[20:])[0, 1] > np.corrcoef(blind[20:], truth[20:])[0, 1]


def fitted(benchmark: Benchmark) -> Predictor:
    seen = split_groups(benchmark.groups, 18, 0).search
    where = Provenance("gpt2", "as_trained", "tiny", benchmark.digest, "loss", False, "key")
    return Predictor.fit(benchmark, seen, where)


def test_a_predictor_keeps_the_noise_in_its_file(benchmark: Benchmark, tmp_path: Path) -> None:
    knows, blind = fitted(benchmark), fitted(replace(benchmark, sd=None))
    asked = benchmark.architectures
    assert blind.noise is None and "noise" not in predictor_to_dict(blind)["labels"]
    assert knows.noise is not None and (knows.predict(asked).values != blind.predict(asked).values).any()
    save_predictor(tmp_path / "p.json", knows)
    back = load_predictor(tmp_path / "p.json")
    for field in ("values", "low", "high"):
        assert np.array_equal(getattr(back.predict(asked), field), getattr(knows.predict(asked), field))
    data = predictor_to_dict(knows)
    for bad, message in (([-1.0] + [0.0] * 17, "wanted variances from 0"), ([0.0] * 17, "17 numbers")):
        data["labels"]["noise"] = bad
        with pytest.raises(BadPredictor, match=message):
            predictor_from_dict(data)


def test_a_suggestion_asks_where_the_noise_left_most_open() -> None:
    names = (*COUNTS, "x")
    values = np.zeros((6, len(names)))
    values[:, -1] = [0, 1, 2, 10, 11, 12]
    seen, asked = NumberTable(names, values), NumberTable(names, values[[1, 4]])
    ensemble = fitted_process(len(names))
    quality, noise = np.arange(6.0), np.array([0.0, 0.0, 0.0, 50.0, 50.0, 50.0])
    assert suggested(ensemble, seen, quality, asked, 2, noise=noise) == [1, 0]
    assert suggested(ensemble, seen, quality, asked, 2, noise=noise[::-1]) == [0, 1]


def fitted_process(count: int):  # type: ignore[no-untyped-def]
    from fitness.predictors.ensemble import Ensemble

    return Ensemble(((GaussianMember(1.0, (1.0,) * count, 0.01), 1.0),))


@pytest.fixture
def case(benchmark: Benchmark, tmp_path: Path) -> Case:
    return Case(benchmark, Workshop.open("gpt2", devices="cpu", bank=tmp_path), Split(tuple(range(12)), ()))


def test_a_noisy_label_is_nearer_to_the_mean_rank_in_the_fitness(benchmark: Benchmark, case: Case) -> None:
    ranks = rank_targets(benchmark.quality[:12])
    assert case.noise is not None and np.allclose(case.target.values, ranks / (1 + case.noise))
    same = replace(case, benchmark=replace(benchmark, sd=np.full(len(benchmark), 0.3)))
    assert (np.argsort(same.target.values) == np.argsort(ranks)).all()
    unknown = replace(case, benchmark=replace(benchmark, sd=None))
    assert np.array_equal(unknown.target.values, benchmark.quality[:12])


def test_a_noisy_label_is_drawn_further_to_the_teacher(benchmark: Benchmark, case: Case) -> None:
    lesson = Lesson.on(case, list(benchmark.architectures[12:]))
    assert lesson.noise is not None
    said = lesson.says(np.arange(12))
    ranks, numbers = rank_targets(benchmark.quality[:12]), number_table(benchmark.architectures, "as_trained")
    assert np.array_equal(said, taught(numbers, np.arange(12), ranks, lesson.noise))
    trust = TRUST / (1 + lesson.noise)
    assert np.allclose(lesson.target().values[:12], trust * ranks + (1 - trust) * said[:12])
    part = np.array([0, 2, 5, 6, 7, 9])
    assert np.array_equal(
        lesson.says(part), taught(numbers, part, rank_targets(benchmark.quality[part]), lesson.noise[part])
    )
