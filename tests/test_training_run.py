"""A training run: its corpus, loss, schedule and budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_models_training import TINY

from models.benchmarks.origins import load_benchmark
from models.spaces import SPACES
from models.training.corpus import bigram_loss, load_corpus
from models.training.learning import Budget, train_one, training_loss, validation_windows
from models.training.recipes import RECIPES
from models.training.sampling import DEPTHS, HEADS, LEVELS, WIDTHS, sample_architectures


def test_the_500_architectures_are_distinct_valid_and_always_the_same() -> None:
    architectures = sample_architectures()
    assert len({a.digest for a in architectures}) == len({a.id for a in architectures}) == 500
    assert [a.digest for a in architectures] == [a.digest for a in sample_architectures()]
    for config in (a.config for a in architectures):
        assert config["n_layer"] in DEPTHS and config["d_model"] in WIDTHS and set(config["n_head"]) <= set(HEADS)
        assert all(64 <= width <= 512 for width in config["d_inner"])


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipe_of_an_embedded_benchmark_draws_its_architectures(name: str) -> None:
    wanted = [(a.id, a.digest) for a in load_benchmark(name).architectures]
    assert [(a.id, a.digest) for a in RECIPES[name].architectures()] == wanted
    assert [a.digest for a in RECIPES[name].architectures(30)] != [digest for _, digest in wanted[:30]]


def test_architectures_of_one_level_have_one_size_and_many_shapes() -> None:
    architectures = sample_architectures()
    size = len(architectures) // LEVELS
    for level in (architectures[i : i + size] for i in range(0, 500, size)):
        decoders = [SPACES["gpt2"].parameters(a).decoder for a in level]
        assert max(decoders) <= 1.1 * min(decoders)
        assert len({SPACES["gpt2"].shape(a) for a in level}) >= 4


def test_corpus_parts_are_disjoint_files_and_follow_the_paths(tmp_path: Path) -> None:
    for i in range(40):
        (tmp_path / f"m{i}.py").write_bytes(b"x" * (i + 1))
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "skipped.py").write_bytes(b"x" * 1000)
    corpus = load_corpus(tmp_path)
    assert len(corpus.train) + len(corpus.validation) == sum(range(41))
    assert len(corpus.train) > len(corpus.validation) > 0


def test_bigram_loss_of_a_certain_text_is_that_of_add_one_smoothing(tmp_path: Path) -> None:
    (tmp_path / "m0.py").write_bytes(b"ab" * 1000)
    corpus = load_corpus(tmp_path)
    assert len(corpus.train) == 2000
    windows = torch.tensor([list(b"ab")])
    assert bigram_loss(corpus, windows) == pytest.approx(-np.log(1001 / 1256))


@pytest.mark.parametrize("index", [3, 160, 499])
def test_training_loss_and_its_gradient_equal_those_of_the_model(index: int) -> None:
    model = SPACES["gpt2"].build(sample_architectures()[index], 0).eval()
    tokens = torch.randint(256, (2, 40), generator=torch.Generator().manual_seed(1))
    fast, slow = training_loss(model, tokens), model.loss(tokens)
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-6)
    parameters = [p for p in model.parameters() if p.numel()]
    pairs = [torch.autograd.grad(loss, parameters, allow_unused=True) for loss in (fast, slow)]
    for a, b in zip(*pairs, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_a_run_depends_on_architecture_and_seed_alone() -> None:
    first, other = sample_architectures()[:2]
    corpus = load_corpus()
    run = train_one(first, 1, TINY, corpus)
    train_one(other, 1, TINY, corpus)
    torch.manual_seed(7)
    assert train_one(first, 1, TINY, corpus) == run
    assert train_one(first, 2, TINY, corpus) != run


def test_a_few_hundred_steps_beat_the_unigram_model_and_the_curve_falls() -> None:
    budget = Budget(steps=200, batch=4, curve_windows=64, final_windows=64)
    corpus = load_corpus()
    run = train_one(sample_architectures()[0], 0, budget, corpus)
    counts = np.bincount(corpus.train.numpy(), minlength=256) + 1.0
    windows = validation_windows(corpus, 64, budget.length).numpy()
    unigram = -np.log(counts / counts.sum())[windows[:, 1:]].mean()
    assert run.loss < unigram and run.curve[-1] < run.curve[0]
    assert len(run.curve) == budget.checkpoints


def test_learning_rate_warms_up_peaks_and_ends_near_zero() -> None:
    budget = Budget(steps=100)
    rates = [budget.rate(step, 64) for step in range(100)]
    assert max(rates) == pytest.approx(budget.learning_rate) and rates.index(max(rates)) in (9, 10)
    assert rates[0] < 0.2 * max(rates) and rates[-1] < 0.001 * max(rates)


@pytest.mark.parametrize("field", ["steps", "batch", "length", "checkpoints"])
def test_budget_names_a_field_below_one(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: got 0, wanted at least 1"):
        Budget(**{field: 0})
