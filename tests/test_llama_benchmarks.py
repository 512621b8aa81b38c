"""The benchmarks of the space llama: the published grid and what is wrong with a damaged one, and the embedded table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models.benchmarks import origins
from models.benchmarks.benchmark import BadBenchmark
from models.benchmarks.layouts import read_benchmark
from models.benchmarks.layouts.grid import load_grid, shape_config, trainings
from models.benchmarks.origins import ORIGINS, fetch, load_benchmark, verify
from models.spaces import SPACES
from models.training.campaign import train
from models.training.corpus import load_corpus
from models.training.learning import Budget, train_one, training_loss
from models.training.recipes import RECIPES
from models.training.sampling import LEVELS
from models.training.verification import verify_by_training
from storage.errors import ZcpError
from storage.files import BadFile

SPACE = SPACES["llama"]
KEY = "d={}_l={}_h={}-{}-0.003-0.033-{}-{}-{}-3e-05"
# (width, blocks, heads): parameters, a twentieth of the tokens that the published keys state
SHAPES = {
    (96, 4, 4): 10_126_176, (96, 24, 12): 12_341_856, (320, 12, 8): 48_996_160, (488, 8, 12): 74_715_240,
    (1024, 24, 8): 411_616_256,
}  # fmt: skip


def grid(more: dict[str, Any] | None = None) -> dict[str, Any]:
    """Twelve shapes with batch 64, three warm-ups each, the second the best; one shape with batch 8 alone."""
    found = {
        KEY.format(96 + 96 * i, 4, 4, 64, 64, 1000, warmup): 3 + i / 20 + extra
        for i in range(12) for warmup, extra in ((100, 0.5), (400, 0.0), (2000, 0.1))
    }  # fmt: skip
    return found | {KEY.format(96, 12, 4, 8, 8, 1000, 400): 2.0} | (more or {})


def written(tmp_path: Path, content: object) -> Path:
    (path := tmp_path / "grid.json").write_text(json.dumps(content))
    return path


def test_a_shape_is_worth_its_best_warm_up_with_batch_64(tmp_path: Path) -> None:
    found = load_grid(written(tmp_path, grid({KEY.format(96, 4, 4, 8, 8, 1000, 400): 1.0})))
    assert len(found) == 12 and not found.higher_is_better and found.metric == "loss"
    assert found.ground_truth.tolist() == pytest.approx([3 + i / 20 for i in range(12)])
    assert [a.id for a in found.architectures][:2] == ["d96-l4-h4", "d192-l4-h4"]
    assert read_benchmark(tmp_path, "x").digest == read_benchmark(tmp_path / "grid.json", "x").digest == found.digest


def test_the_order_of_the_trainings_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    turned = dict(reversed(grid().items()))
    first, second = load_grid(written(tmp_path, grid())), load_grid(written(tmp_path / "other", turned))
    assert first.architectures == second.architectures and first.ground_truth.tolist() == second.ground_truth.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "got a list, wanted an object"),
        ({}, "got 0 architectures"),
        ({"d=96": 1.0}, "got the key 'd=96', wanted d=WIDTH_l=BLOCKS_h=HEADS-BATCH"),
        (grid({KEY.format(-96, 4, 4, 64, 64, 10, 1): 1.0}), "got the key 'd=-96"),
        (grid({KEY.format("9" * 40, 4, 4, 64, 64, 10, 1): 1.0}), "got the key 'd=999"),
        (grid({KEY.format(96, 4, 4, 64, 64, 10, 1) + "\n": 1.0}), "a name"),
        (grid({"\x1b[31m" + KEY.format(96, 4, 4, 64, 64, 10, 1): 1.0}), "a name"),
        (grid({KEY.format(96, 4, 4, 64, 64, 10, 1): "low"}), "10-1-3e-05: got 'low', wanted a number"),
        (grid({KEY.format(96, 4, 4, 64, 64, 10, 1): True}), "got True, wanted a number"),
        (grid({KEY.format(96, 4, 4, 64, 64, 10, 1): None}), "got None, wanted a number"),
        (grid({KEY.format(96, 4, 4, 64, 64, 10, 1): {}}), "got an object, wanted a number"),
        (grid({KEY.format(96, 0, 4, 64, 64, 10, 1): 1.0}), "n_layer: got 0"),
        (grid({KEY.format(96, 999, 4, 64, 64, 10, 1): 1.0}), "n_layer: got 999"),
        (grid({KEY.format(96, 4, 32, 64, 64, 10, 1): 1.0}), "so heads of 3 features"),
        (dict.fromkeys(grid(), 3.0), "which ranks nothing"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_a_damaged_grid_is_one_sentence(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(ZcpError, match=message) as caught:
        load_grid(written(tmp_path, content))
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": NaN}', b"\xff", b'{"a": 1, "a": 2}', b"[" * 5000])
def test_a_grid_that_is_no_json_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (path := tmp_path / "grid.json").write_bytes(content)
    with pytest.raises(BadFile):
        load_grid(path)


def test_a_grid_has_one_metric(tmp_path: Path) -> None:
    with pytest.raises(BadBenchmark, match="unknown metric 'los', wanted one of loss; did you mean loss"):
        load_grid(written(tmp_path, grid()), metric="los")


@pytest.mark.parametrize("shape", SHAPES)
def test_parameters_of_published_shapes(shape: tuple[int, int, int]) -> None:
    architecture = SPACE.architecture("x", shape_config(*shape))
    assert SPACE.parameters(architecture).total == SHAPES[shape]


def test_all_130_published_shapes_have_a_twentieth_of_their_tokens_as_parameters(published: Path) -> None:
    found = list(trainings(published / "openlm-grid" / "grid.json"))
    assert len(found) == 435 and len({training.shape for training in found}) == 130
    for training in {training.shape: training for training in found}.values():
        architecture = SPACE.architecture("x", shape_config(*training.shape))
        assert training.tokens == 20 * SPACE.parameters(architecture).total, training


def test_the_published_grid_is_the_pinned_one(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZCP_DATA", str(published))
    benchmark = verify("openlm-grid")
    assert len(benchmark) == 97 and benchmark.ground_truth.max() < 4
    uneven = [a for a in benchmark.architectures if a.config["d_model"] % a.config["n_head"][0]]
    assert len(uneven) == 5


def test_the_grid_is_fetched_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, grid())
    made = replace(ORIGINS["openlm-grid"], base=f"{tmp_path.as_uri()}/", digest=load_grid(path).digest)
    monkeypatch.setattr(origins, "PROJECT", tmp_path / "project")
    monkeypatch.delenv("ZCP_DATA", raising=False)
    (tmp_path / "project").mkdir()
    monkeypatch.setitem(ORIGINS, "openlm-grid", made)
    fetch("openlm-grid")
    assert len(load_benchmark("openlm-grid")) == 12
    monkeypatch.setitem(ORIGINS, "openlm-grid", replace(made, digest="0" * 64))
    with pytest.raises(BadBenchmark, match="nothing was kept"):
        fetch("openlm-grid")


def test_the_400_architectures_are_distinct_and_always_the_same() -> None:
    first, second = (RECIPES["llama-mini"].architectures() for _ in range(2))
    assert [a.digest for a in first] == [a.digest for a in second] and len({a.digest for a in first}) == 400
    assert {SPACE.shape(a)[0] for a in first} == {1, 2, 3, 4, 5}
    shared = [sum(a.config["n_kv_head"]) < sum(a.config["n_head"]) for a in first]
    varied = [len(set(a.config["d_ffn"])) > 1 for a in first]
    assert sum(shared) > 100 and sum(varied) > 100


def test_architectures_of_one_level_have_one_size_and_many_shapes() -> None:
    found = list(RECIPES["llama-mini"].architectures())
    for level in (found[i : i + 400 // LEVELS] for i in range(0, 400, 400 // LEVELS)):
        decoders = [SPACE.parameters(a).decoder for a in level]
        assert max(decoders) <= 1.1 * min(decoders) and len({SPACE.shape(a) for a in level}) >= 4


def test_a_run_of_the_recipe_learns_and_depends_on_its_arguments_alone() -> None:
    architecture, corpus = RECIPES["llama-mini"].architectures()[0], load_corpus()
    budget = Budget(steps=25, batch=4, curve_windows=32, final_windows=32)
    run = train_one(architecture, 0, budget, corpus)
    torch.manual_seed(3)
    assert run.curve[-1] < run.curve[0] - 0.5 and train_one(architecture, 0, budget, corpus) == run
    model: Any = SPACE.build(architecture, 0)
    tokens = torch.arange(64).reshape(2, 32)
    assert torch.equal(training_loss(model, tokens), model.loss(tokens))


def test_a_file_of_the_recipe_is_verified_by_training_again(tmp_path: Path) -> None:
    tiny = Budget(steps=3, batch=2, length=16, checkpoints=3, curve_windows=2, final_windows=4)
    recipe = RECIPES["llama-mini"]
    path = train(
        tmp_path / "tiny.jsonl", recipe=recipe, count=12, replicated=3, seeds=2, jobs=1, budget=tiny
    )  # fmt: skip
    assert read_benchmark(path).space == "llama" and verify_by_training(path, sample=12, jobs=1).agrees


def test_the_committed_table_is_verified_small_and_the_default() -> None:
    benchmark, embedded = verify("llama-mini"), ORIGINS["llama-mini"].embedded
    assert embedded is not None and embedded.stat().st_size < 2 << 20
    assert origins.default_benchmark("llama") == "llama-mini" and len(benchmark) >= 300
    known = {a.digest for a in RECIPES["llama-mini"].architectures()}
    assert {a.digest for a in benchmark.architectures} <= known
    assert benchmark.ground_truth.max() < benchmark.header["bigram_loss"]
