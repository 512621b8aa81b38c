"""Formulas of counts alone are scored from the shapes of a network's tensors: without weights, passes or workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pytest
import tiny_checkpoint
import torch
from test_models_hf import FAMILIES

from fitness.features import visit as visits
from fitness.features.collect import FeatureError
from fitness.features.figures import formula_scores
from fitness.features.takers import SketchTaker, counts_alone
from fitness.features.visit import Visit, Visited, visit
from fitness.features.workshop import Workshop
from models.architecture import Architecture
from models.benchmarks.origins import load_benchmark
from models.spaces import SPACES
from models.spaces.checkpoint import Checkpoint
from models.spaces.gpt2.network import Gpt2Model
from models.spaces.hf.layout import layout_of
from models.spaces.llama.checkpoint import whole_architecture
from models.spaces.shapes import shapes_alone
from primitives.grammar import parse
from primitives.inputs import COUNTS
from primitives.operators import AGGREGATION

TEXTS = (
    *(f"{name}[ log({count}) ]" for name in AGGREGATION for count in COUNTS),
    "mean[ product( params.attn, width ) ]",
    "product( T, log_depth[ block ] )",
    "sum( sum[ params ], 0.5*last[ heads ] )",
)
SEVENTY = {
    "model_type": "llama", "num_hidden_layers": 80, "hidden_size": 8192, "intermediate_size": 28672,
    "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 128256,
}  # fmt: skip


def few() -> list[Architecture]:
    """Networks of every space."""
    found = [load_benchmark(name).architectures[3] for name in ("gpt2-mini", "llama-mini", "llama-elastic")]
    found += [SPACES["hf"].architecture(name, {"model_type": name, **FAMILIES[name]}) for name in FAMILIES]
    return found


@pytest.mark.parametrize("architecture", few(), ids=lambda architecture: f"{architecture.space} {architecture.id}")
def test_shapes_give_the_scores_of_a_visit(architecture: Architecture, tmp_path: Path) -> None:
    here = Workshop.open(architecture.space, batch=2, length=16, bank=tmp_path, devices="cpu")
    whole = Visited.run(architecture, here.batch, gradients=False)
    parts = [text for text in TEXTS if "T," not in text]
    (found,) = visit(Visit(architecture, here.batch, 0, None, [formula_scores(parts)]), "cpu")
    assert found == formula_scores(parts).take(whole)
    assert all(figure.value is not None for figure in found.values())


@pytest.mark.parametrize("architecture", few(), ids=lambda architecture: f"{architecture.space} {architecture.id}")
def test_sizes_of_weights_and_the_number_of_blocks_need_no_pass(
    architecture: Architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Workshop.open(architecture.space, batch=2, length=16, bank=tmp_path, devices="cpu")
    texts = [f"sum[ log({name}) ]" for name, count in COUNTS.items() if not count.needs_pass]
    wanted = formula_scores(texts).take(Visited.run(architecture, here.batch, gradients=False))
    monkeypatch.setattr(visits, "collect", lambda *given, **more: pytest.fail("a pass"))
    assert visit(Visit(architecture, here.batch, 0, None, [formula_scores(texts)]), "cpu") == [wanted]
    assert texts == [f"sum[ log({name}) ]" for name in ("params", "params.attn", "params.ffn", "block")]


def test_nothing_is_built_with_numbers_and_no_worker_starts(
    tiny_architectures: list[Architecture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*given: Any, **more: Any) -> NoReturn:
        raise AssertionError("no network is visited, and nothing is sent to a worker")

    monkeypatch.setattr(Visited, "run", refused)
    monkeypatch.setattr(Workshop, "_run", refused)
    here = Workshop.open("gpt2", bank=tmp_path, devices="cpu,cpu")
    scores = here.exact_scores([parse(text) for text in TEXTS], tiny_architectures[:5])
    depths = [a.config["n_layer"] for a in tiny_architectures[:5]]
    assert scores.shape == (len(TEXTS), 5) and torch.isfinite(torch.from_numpy(scores)).all()
    assert here.exact_scores([parse("sum[ block ]")], tiny_architectures[:5])[0].tolist() == depths


def test_a_network_larger_than_the_memory_has_counts(tmp_path: Path) -> None:
    here = Workshop.open("hf", bank=tmp_path, devices="cpu")
    large = SPACES["hf"].architecture("seventy", SEVENTY)
    depth, entries = here.exact_scores([parse("sum[ block ]"), parse("sum[ params.ffn ]")], [large])[:, 0]
    assert depth == 80 and entries == pytest.approx(80 * 3 * 8192 * 28672, rel=1e-5)
    with pytest.raises(FeatureError, match="wanted at most"):
        here.exact_scores([parse("sum[ frobenius_norm(W) ]")], [large])


def test_an_operation_that_wants_numbers_is_run_with_numbers_if_it_fits(
    tiny_architectures: list[Architecture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*given: Any, **more: Any) -> NoReturn:
        raise RuntimeError("aten::nonzero has no shape without numbers")

    here = Workshop.open("gpt2", bank=tmp_path, devices="cpu")
    task = Visit(tiny_architectures[0], here.batch, 0, None, [formula_scores(["sum[ width ]", "sum[ block ]"])])
    wanted = visit(task, "cpu")
    monkeypatch.setattr(visits, "collect", failing)
    with pytest.raises(RuntimeError, match="nonzero"):
        visit(task, "cpu")  # this time also the visit with numbers fails
    real = visits.Visited.run
    monkeypatch.setattr(visits.Visited, "run", lambda *given, **more: (monkeypatch.undo(), real(*given, **more))[1])
    assert visit(task, "cpu") == wanted
    monkeypatch.setattr(visits, "collect", failing)
    monkeypatch.setattr(visits, "free_on", lambda devices: 1000)
    with pytest.raises(FeatureError, match="needs .* GiB for weights"):
        visit(task, "cpu")


def test_subnets_of_a_checkpoint_are_read_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_checkpoint.write(tmp_path / "tiny")
    here = Workshop.open("llama", bank=tmp_path / "bank", devices="cpu", batch=1, length=8, weights=folder)
    whole = whole_architecture(Checkpoint.open(folder))
    monkeypatch.setattr(visits, "_by_shapes", lambda task: pytest.fail("the checkpoint says what the network is"))
    assert here.exact_scores([parse("sum[ block ]")], [whole])[0, 0] == len(whole.config["n_head"])


def test_a_batch_that_a_network_cannot_read_is_refused_all_the_same(
    tiny_architectures: list[Architecture], tmp_path: Path
) -> None:
    longest = SPACES["gpt2"].limits(tiny_architectures[0])[0]
    here = Workshop.open("gpt2", bank=tmp_path, devices="cpu", batch=1, length=longest + 1)
    with pytest.raises(FeatureError, match=f"wanted at most {longest}"):
        here.exact_scores([parse("sum[ block ]")], tiny_architectures[:1])


def test_only_counts_are_asked_of_shapes() -> None:
    assert counts_alone([formula_scores(["sum[ params ]"])])
    assert not counts_alone([formula_scores(["sum( sum[ params ], sum[ W ] )"])])
    assert not counts_alone([formula_scores(["sum[ params ]"]), SketchTaker()])


def test_numbers_that_are_asked_of_shapes_are_zero() -> None:
    with shapes_alone():
        x = torch.ones(3)
        assert x.device.type == "meta" and float(x.sum()) == 0 and bool((x > 0).all()) is False


def test_weights_without_numbers_are_not_drawn(
    tiny_architectures: list[Architecture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gpt2Model, "initialise", lambda model, generator: pytest.fail("drawn"))
    with shapes_alone(passes=False):
        assert next(SPACES["gpt2"].build(tiny_architectures[0], 0).parameters()).is_meta


def test_networks_that_differ_in_their_initialiser_share_a_layout() -> None:
    made = [
        SPACES["hf"].architecture("a", {"model_type": "gpt2", "n_layer": 1, "initializer_range": r}) for r in (1, 2)
    ]
    assert made[0].digest != made[1].digest and layout_of(made[0]) is layout_of(made[1])
