"""The embedded benchmark: sampling, one run, crash and resume with real processes, noise ceiling, verification."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from holding import start, stopped

import cli
from models.benchmarks.layouts import read_benchmark
from models.spaces import SPACES
from models.training.campaign import train
from models.training.corpus import bigram_loss, load_corpus
from models.training.learning import Budget, DivergedError, train_one, training_loss, validation_windows
from models.training.noise import noise_ceiling
from models.training.sampling import DEPTHS, HEADS, LEVELS, WIDTHS, sample_architectures
from models.training.verification import verify_by_training
from storage.errors import ZcpError
from storage.files import BadFile
from storage.log import OtherTask

ROOT = Path(__file__).resolve().parents[1]
TINY = Budget(steps=3, batch=2, length=16, checkpoints=3, curve_windows=2, final_windows=4)
ARGUMENTS = {"count": 12, "replicated": 3, "seeds": 2, "jobs": 1, "budget": TINY}
LAUNCH = (
    "import sys; from pathlib import Path; from models.training import Budget, train; "
    f"train(Path(sys.argv[1]), count=12, replicated=3, seeds=2, jobs=1, budget={TINY!r})"
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark of 12 architectures, trained without interruption."""
    return train(tmp_path_factory.mktemp("trained") / "tiny.jsonl", **ARGUMENTS)


def test_the_500_architectures_are_distinct_valid_and_always_the_same() -> None:
    architectures = sample_architectures()
    assert len({a.digest for a in architectures}) == len({a.id for a in architectures}) == 500
    assert [a.digest for a in architectures] == [a.digest for a in sample_architectures()]
    for config in (a.config for a in architectures):
        assert config["n_layer"] in DEPTHS and config["d_model"] in WIDTHS and set(config["n_head"]) <= set(HEADS)
        assert all(64 <= width <= 512 for width in config["d_inner"])


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


def test_the_trained_file_is_a_benchmark_with_replicates_and_parameters(trained: Path) -> None:
    benchmark = read_benchmark(trained)
    assert len(benchmark) == 12 and not benchmark.higher_is_better
    header, *records = map(json.loads, trained.read_text().splitlines())
    assert header["corpus"]["digest"] == load_corpus().digest and 1 < header["bigram_loss"] < 5
    replicated = [r for r in records if "replicates" in r]
    assert len(replicated) == 3 and all(len(r["replicates"]) == 2 for r in replicated)
    assert all(r["replicates"][0] == r["loss"] for r in replicated)
    assert all(r["bits_per_byte"] == pytest.approx(r["loss"] / np.log(2), abs=1e-5) for r in records)
    ranks = [sorted(x["loss"] for x in records).index(r["loss"]) for r in replicated]
    assert {0, 11} < set(ranks)


def test_seconds_are_beside_the_benchmark_and_not_in_it(trained: Path) -> None:
    assert "seconds" not in trained.read_text()
    lines = (trained.parent / "tiny.seconds.jsonl").read_text().splitlines()
    assert len(lines) == 1 + 15 and all(json.loads(line)["seconds"] > 0 for line in lines[1:])


@pytest.mark.slow
def test_killing_at_any_moment_and_resuming_gives_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    path, partial = tmp_path / "tiny.jsonl", tmp_path / "tiny.partial.jsonl"
    for wanted, delay in ((3, 0.0), (9, 0.03)):
        process = subprocess.Popen([sys.executable, "-B", "-c", LAUNCH, str(path)], cwd=ROOT)
        while len(_lines(partial)) < wanted and process.poll() is None:
            time.sleep(0.005)
        time.sleep(delay)
        process.kill()
        process.wait()
        assert len(_lines(partial)) >= wanted
    with partial.open("ab") as file:
        file.write(b'{"architecture": "torn')
    before = _lines(partial)[:-1]
    train(path, **ARGUMENTS)
    assert path.read_bytes() == trained.read_bytes()
    assert _lines(partial)[: len(before)] == before and len(_lines(partial)) == 16


QUICK = f"""
from functools import partial
from models.training import campaign, learning
campaign.Budget = partial(learning.Budget, **{asdict(TINY)!r})
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_interrupt_ends_a_training_after_the_runs_in_progress(tmp_path: Path, number: int) -> None:
    path = tmp_path / "mine.jsonl"
    asked = ["benchmarks", "train", "gpt2-mini", "--out", path, "--jobs", 1]
    process, _ = start("5/620", *asked, before=QUICK)
    error = stopped(process, number)
    assert f"benchmarks train gpt2-mini --resume --out {path} --jobs 1" in error
    assert len(_lines(tmp_path / "mine.partial.jsonl")) == 1 + 5 and not path.exists()


def test_resuming_a_finished_training_trains_nothing(trained: Path) -> None:
    seen: list[object] = []
    content = trained.read_bytes()
    train(trained, **ARGUMENTS, on_progress=seen.append)
    assert seen == [] and trained.read_bytes() == content


def test_chosen_architectures_are_trained_by_the_same_recipe_with_every_seed(trained: Path, tmp_path: Path) -> None:
    known = [json.loads(line) for line in trained.read_text().splitlines()[1:]]
    again = [SPACES["gpt2"].architecture(f"again-{i}", record["config"]) for i, record in enumerate(known[:2])]
    path = train(tmp_path / "chosen.jsonl", chosen=again, seeds=2, jobs=1, budget=TINY)
    records = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    assert [r["id"] for r in records] == ["again-0", "again-1"] and all(len(r["replicates"]) == 2 for r in records)
    assert [r["loss"] for r in records] == [r["loss"] for r in known[:2]]
    with pytest.raises(OtherTask, match="begun with other values of chosen; restore them"):
        train(path, chosen=again[::-1], seeds=2, jobs=1, budget=TINY)


def test_what_the_recipe_cannot_train_is_refused_before_anything_is_trained(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (configs := tmp_path / "two.json").write_text(json.dumps({"model_type": "gpt2", "n_layer": 1}))
    for more, words in ((("--out", tmp_path / "x.jsonl"), "got the space hf, wanted gpt2"), ((), "wanted --out FILE")):
        asked = ["benchmarks", "train", "gpt2-mini", "--configs", configs, *more]
        assert cli.main([str(word) for word in asked]) in (1, 2) and words in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["two.json"]


def test_a_partial_file_of_another_budget_is_refused_by_name(trained: Path) -> None:
    with pytest.raises(OtherTask, match="begun with other values of budget; restore them, or remove the file"):
        train(trained, **{**ARGUMENTS, "budget": Budget(steps=4)})


def test_noise_ceiling_is_one_without_noise_and_falls_with_it() -> None:
    quiet, low, high = (noise_ceiling(_synthetic(sd)) for sd in (0.0, 0.05, 0.5))
    assert quiet is not None and low is not None and high is not None
    assert quiet.kendall == quiet.spearman == 1.0 and quiet.sd == pytest.approx(0, abs=1e-12)
    assert 1 > low.kendall > high.kendall > 0.3 and 1 > low.spearman > high.spearman > 0.5


def test_noise_ceiling_recovers_the_noise_and_ignores_the_effect_of_a_seed() -> None:
    plain, shifted = noise_ceiling(_synthetic(0.1)), noise_ceiling(_synthetic(0.1, effect=3.0))
    assert plain is not None and shifted is not None
    assert plain.sd_at(0.0) == pytest.approx(0.1, rel=0.25)
    assert shifted.sd == pytest.approx(plain.sd, rel=0.01)


def test_noise_ceiling_sees_noise_that_grows_with_the_loss() -> None:
    ceiling = noise_ceiling(_synthetic(0.05, slope=1.0))
    assert ceiling is not None and ceiling.slope == pytest.approx(1.0, abs=0.4)
    assert ceiling.sd_at(2.0) > 4 * ceiling.sd_at(-1.0)


def test_noise_ceiling_predicts_what_a_perfect_oracle_scores() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(3)
    truth = rng.normal(size=400)
    records = [{"loss": x + 0.4 * rng.normal()} for x in truth]
    for record, x in zip(records[:40], truth, strict=False):
        record["replicates"] = [record["loss"], *(x + 0.4 * rng.normal(size=4))]
    ceiling = noise_ceiling(records)
    assert ceiling is not None
    assert ceiling.spearman == pytest.approx(spearmanr(truth, [r["loss"] for r in records])[0], abs=0.03)


def test_noise_ceiling_is_unknown_without_replicates() -> None:
    assert noise_ceiling([{"loss": 1.0}, {"loss": 2.0}]) is None


def test_verify_agrees_exactly_on_the_same_machine_and_catches_one_false_loss(trained: Path, tmp_path: Path) -> None:
    header, *records = map(json.loads, trained.read_text().splitlines())
    records[4]["loss"] = round(records[4]["loss"] - 0.5, 6)
    result = verify_by_training(_written(tmp_path / "forged.jsonl", header, records), sample=12, jobs=1)
    assert result.corpus_matches and not result.agrees and len(result.checks) == 12
    assert [check.id for check in result.checks if not check.agrees] == [records[4]["id"]]
    assert sum(check.measured == check.recorded for check in result.checks) == 11


def test_verify_tells_that_the_text_of_another_python_differs(trained: Path, tmp_path: Path) -> None:
    header, *records = map(json.loads, trained.read_text().splitlines())
    header["corpus"]["digest"] = "of another Python"
    assert not verify_by_training(_written(tmp_path / "other.jsonl", header, records), sample=0).corpus_matches


def test_verify_says_that_a_budget_diverges(trained: Path, tmp_path: Path) -> None:
    header, *records = map(json.loads, trained.read_text().splitlines())
    header["budget"] |= {"learning_rate": 1e30, "warmup": 0.0}
    with pytest.raises(DivergedError, match="mini-.*, seed 0, step .*lower the learning rate"):
        verify_by_training(_written(tmp_path / "far.jsonl", header, records), sample=1, jobs=1)


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ("budget more", 1, "budget: got the field 'more'"),
        ("budget steps", 0, "budget: steps: got 0, wanted a whole number from 1"),
        ("budget steps", "3", "budget: steps: got '3', wanted a whole number"),
        ("budget steps", True, "budget: steps: got True, wanted a whole number"),
        ("budget length", 4096, "reads 128 tokens of 256, wanted 4096"),
        ("budget warmup", 1e308, "warmup: got 1e.308, wanted a number from 0 to 1"),
        ("budget learning_rate", -1, "learning_rate: got -1.0, wanted"),
        ("budget weight_decay", None, "budget: weight_decay: got None, wanted a number"),
        ("budget", [], "budget: got a list, wanted an object"),
        ("corpus", None, "corpus: got None, wanted an object"),
        ("corpus digest", ["x"], "corpus: digest: got a list, wanted a text"),
        ("noise_ceiling", None, "noise_ceiling: not measured, wanted replicates"),
        ("noise_ceiling", {"kendall": 1.0}, "noise_ceiling: spearman is missing"),
        ("noise_ceiling sd", 1e308, "noise_ceiling: got noise of inf at the loss"),
        ("noise_ceiling sd", -1.0, "noise_ceiling: got noise of -"),
        ("noise_ceiling slope", 1e300, "noise_ceiling: got noise of"),
        ("space", ["gpt2"], "space: got a list, wanted gpt2"),
        ("space", "flexibert", "space: got 'flexibert', wanted gpt2"),
        ("0 seed", None, "line 2: seed: got None, wanted a whole number"),
        ("0 loss", "low", "line 2: loss: got 'low', wanted a number"),
        ("0 config", [], "line 2: config: got a list, wanted an object"),
    ],
)
def test_verify_names_what_is_wrong_in_a_file(
    trained: Path, tmp_path: Path, where: str, value: object, message: str
) -> None:
    header, *records = map(json.loads, trained.read_text().splitlines())
    *path, field = where.split()
    place = records[0] if path == ["0"] else header[path[0]] if path else header
    place[field] = value
    with pytest.raises(ZcpError, match=message):
        verify_by_training(_written(tmp_path / "bad.jsonl", header, records), sample=12, jobs=1)


def test_verify_refuses_a_file_without_a_budget(tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text('{"schema": 1}\n')
    with pytest.raises(BadFile, match="no training budget"):
        verify_by_training(path)


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def _written(path: Path, header: dict[str, Any], records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in (header, *records)))
    return path


def _synthetic(sd: float, effect: float = 0.0, slope: float = 0.0) -> list[dict[str, object]]:
    """200 records with normal losses, 40 of them with 5 replicates of noise sd * exp(slope * loss)."""
    rng = np.random.default_rng(0)
    records: list[dict[str, object]] = []
    for i, truth in enumerate(rng.normal(size=200)):
        noisy = truth + sd * np.exp(slope * truth) * rng.standard_normal(5) + effect * np.arange(5)
        records.append({"loss": float(noisy[0])} | ({"replicates": noisy.tolist()} if i < 40 else {}))
    return records
