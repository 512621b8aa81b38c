"""Visits: each network is built once for whoever wants something of it; what is kept is of the present version."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import fitness.features.figures as figures_module
from fitness.features.bank import FeatureBank, FeatureKey
from fitness.features.collect import FeatureError, collect
from fitness.features.figures import Figure, Figures, formula_costs, formula_scores
from fitness.features.fitting import bytes_of
from fitness.features.takers import SketchTaker
from fitness.features.visit import Visited
from fitness.features.workshop import Workshop
from fitness.zoo import ZOO
from fitness.zoo.measuring import hand_made_figures
from fitness.zoo.registry import NoValue
from models.architecture import Architecture
from models.spaces import SPACES
from models.tokens import TokenBatch
from primitives.grammar import parse
from primitives.invalid import Invalid
from storage.files import dump_json, sealed

NAMES = ("SNIP", "GraSP", "Jacobian cosine")
TEXTS = ("sum[ frobenius_norm(G) ]", "mean[ exp(exp(exp(exp(S)))) ]")
TAKERS = hand_made_figures(NAMES), formula_scores(TEXTS), formula_costs(TEXTS)


@pytest.fixture
def workshop(tmp_path: Path, batch: TokenBatch) -> Workshop:
    return Workshop(FeatureBank(tmp_path, FeatureKey.create("gpt2", batch.digest)), batch)


def measured(workshop: Workshop, taker: Figures, architectures: Sequence[Architecture]) -> list[dict[str, Figure]]:
    workshop.visit([taker], architectures)
    return [taker.load(workshop.bank, a) for a in architectures]


def values(found: list[dict[str, Figure]]) -> list[dict[str, tuple[float | None, str]]]:
    return [{name: (m.value, m.reason) for name, m in record.items()} for record in found]


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the networks that are built, in order."""
    built: list[str] = []
    run = Visited.run.__func__  # type: ignore[attr-defined]

    def counting(cls: type[Visited], architecture: Architecture, *more: Any) -> Visited:
        built.append(architecture.id)
        return run(cls, architecture, *more)

    monkeypatch.setattr(Visited, "run", classmethod(counting))
    return built


def test_a_network_is_built_once_for_all_takers(
    workshop: Workshop, tiny_architectures: list[Architecture], builds: list[str]
) -> None:
    chosen, steps = tiny_architectures[:4], []
    takers = [*TAKERS, SketchTaker()]
    assert workshop.visit(takers, chosen, lambda done, total: steps.append((done, total))) == 4
    assert steps == [(n, 4) for n in (1, 2, 3, 4)] and sorted(builds) == sorted(a.id for a in chosen)
    assert workshop.visit(takers, chosen) == 0 and workshop.extract(chosen) == 0
    workshop.exact_scores([parse(text) for text in TEXTS], chosen)
    assert len(builds) == 4
    assert workshop.visit([hand_made_figures(["GradNorm"])], chosen[:1]) == 1


def test_figures_are_the_same_on_any_devices(
    workshop: Workshop, tmp_path: Path, tiny_architectures: list[Architecture]
) -> None:
    chosen = tiny_architectures[:4]
    other = Workshop(FeatureBank(tmp_path / "two", workshop.bank.key), workshop.batch, ("cpu", "cpu"))
    for taker in TAKERS[:2]:
        first = measured(workshop, taker, chosen)
        assert values(measured(other, taker, chosen[::-1])) == values(first)[::-1]
        assert all(set(record) == set(taker.names) for record in first)
    assert all(record["SNIP"].value and record["SNIP"].seconds for record in measured(workshop, TAKERS[0], chosen))
    assert all("overflows" in record[TEXTS[1]].reason for record in measured(workshop, TAKERS[1], chosen))


def test_a_formula_costs_its_features_and_its_own_branches(
    workshop: Workshop, tiny_architectures: list[Architecture], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(figures_module.time, "perf_counter", lambda: float(next(clock)))
    found = measured(workshop, formula_costs(TEXTS), tiny_architectures[:1])[0]
    # Collecting lies between the first two readings, each formula alone between two more.
    assert [found[text].seconds for text in TEXTS] == [2.0, 2.0]
    assert [found[text].value for text in TEXTS] == [None, None]  # scores live on the exact shelf only


@pytest.mark.parametrize("place", [0, 1, 2], ids=["hand-made", "exact", "cost"])
def test_another_version_of_the_code_makes_a_figure_void(
    place: int, workshop: Workshop, tiny_architectures: list[Architecture], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, bank, taker = tiny_architectures[0], workshop.bank, (hand_made_figures(["SNIP", "GraSP"]), *TAKERS[1:])[place]
    measured(workshop, taker, [a])
    before = set(taker.load(bank, a))
    monkeypatch.setattr(figures_module, "SCORING_VERSION", 99)
    monkeypatch.setitem(ZOO, "SNIP", dataclasses.replace(ZOO["SNIP"], version=99, measure=lambda network: 5))
    assert before == set(taker.names) and taker.lacking(bank, a) and taker.damaged(bank, a) is None
    assert set(taker.load(bank, a)) == ({"GraSP"} if place == 0 else set())
    found = measured(workshop, taker, [a])[0]
    assert set(found) == set(taker.names) and (place or found["SNIP"].value == 5)


def test_a_hand_made_proxy_that_is_a_formula_follows_the_version_of_scoring(
    workshop: Workshop, tiny_architectures: list[Architecture], monkeypatch: pytest.MonkeyPatch
) -> None:
    taker, a = hand_made_figures(["SNIP", "LPZero GPT-2"]), tiny_architectures[0]
    measured(workshop, taker, [a])
    monkeypatch.setattr(figures_module, "SCORING_VERSION", 99)
    assert set(taker.load(workshop.bank, a)) == {"SNIP"}


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), NoValue("the moon is full")])
def test_a_failure_is_kept_with_its_reason(
    workshop: Workshop, tiny_architectures: list[Architecture], monkeypatch: pytest.MonkeyPatch, value: float | NoValue
) -> None:
    def measure(network: Visited) -> float:
        if isinstance(value, NoValue):
            raise value
        return value

    monkeypatch.setitem(ZOO, "SNIP", dataclasses.replace(ZOO["SNIP"], version=98, measure=measure))
    for _ in range(2):  # the second one comes from the disk
        found = measured(workshop, hand_made_figures(["SNIP"]), tiny_architectures[:1])[0]["SNIP"]
        assert found.value is None
        assert found.reason == (str(value) if isinstance(value, NoValue) else found.reason) and found.reason


def test_a_network_that_overflows_has_no_figure(
    workshop: Workshop, batch: TokenBatch, tiny_architectures: list[Architecture]
) -> None:
    model = SPACES["gpt2"].build(tiny_architectures[0], 0).eval()
    with torch.no_grad():
        model.h[0].mlp.c_proj.weight.fill_(1e38)  # type: ignore[index]
    visited, found = Visited(model, batch.tokens, collect(model, batch)), dict[str, Figure]()
    for taker in (hand_made_figures(tuple(ZOO)), formula_scores(["sum[ abs(W) ]"])):
        taker.keep(workshop.bank, tiny_architectures[0], taker.take(visited))
        found |= taker.load(workshop.bank, tiny_architectures[0])
    assert found["Synflow"].value is not None  # reads the weights alone, and in float64
    for name, figure in found.items():
        if name not in ZOO or not ZOO[name].own_pass:
            assert figure.value is None and "network itself produces NaN" in figure.reason


def test_a_changed_file_is_not_trusted(workshop: Workshop, tiny_architectures: list[Architecture]) -> None:
    a, taker = tiny_architectures[0], hand_made_figures(["SNIP"])
    shelf, key = taker.shelf(workshop.bank), workshop.bank.entry(a)
    shelf.save(key, {"SNIP": Figure(1.5, seconds=0.1)})
    content = shelf.path(key).read_bytes()
    assert b"1.5" in content and taker.load(workshop.bank, a) == {"SNIP": Figure(1.5, seconds=0.1)}
    for broken in (content.replace(b"1.5", b"2.5"), content[:-9], b"[]", b"{}", b'{"records": 3, "sha256": 1}'):
        shelf.path(key).write_bytes(broken)
        assert taker.load(workshop.bank, a) == {} and taker.damaged(workshop.bank, a) == shelf.path(key)


SNIP_1 = {"version": "1", "figures": {"value": 1.5, "seconds": 0.5}}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"SNIP": SNIP_1}).replace("1.5", "1e400"),
        json.dumps({"SNIP": SNIP_1}).replace("1.5", "5"),
        json.dumps({"SNIP": SNIP_1}).replace("1.5", "9" * 500),
        json.dumps({"SNIP": SNIP_1}).replace("1.5", "true"),
        json.dumps({"SNIP": SNIP_1}).replace("1.5", "NaN"),
        json.dumps({"SNIP": {"version": "1", "figures": {"reason": "\ud800"}}}),
        json.dumps({"SNIP": {"version": "1", "figures": {"reason": "a\x1b[2J"}}}),
        json.dumps({"SNIP": {"version": 1, "figures": {"value": 1.5}}}),
        json.dumps({"SNIP": {"version": "1", "figures": {"value": 1.5, "more": 1}}}),
        json.dumps({"SNIP": 3}),
        "[]",
    ],
)
def test_what_is_no_number_is_damaged_and_made_again(
    workshop: Workshop, tiny_architectures: list[Architecture], text: str
) -> None:
    a, taker = tiny_architectures[0], hand_made_figures(["SNIP"])
    key = workshop.bank.entry(a)
    path = taker.shelf(workshop.bank).path(key)
    path.parent.mkdir(parents=True)
    try:  # with a digest that agrees, wherever there can be one
        path.write_bytes(dump_json(sealed({"key": key, "records": json.loads(text)})))
    except ValueError:
        path.write_text(f'{{"key": "{key}", "records": {text}, "digest": "0"}}')
    assert taker.load(workshop.bank, a) == {} and taker.damaged(workshop.bank, a) == path
    again = measured(workshop, taker, [a])[0]["SNIP"]
    assert again.value is not None and again.value != 1.5 and taker.damaged(workshop.bank, a) is None


def test_a_batch_that_is_too_long_is_refused_before_any_visit(
    tmp_path: Path, tiny_architectures: list[Architecture]
) -> None:
    long = TokenBatch.from_passage(2, 65)
    workshop = Workshop(FeatureBank(tmp_path, FeatureKey.create("gpt2", long.digest)), long)
    with pytest.raises(FeatureError, match="lower --seq-len"):
        workshop.visit([hand_made_figures(["SNIP"])], tiny_architectures[:2])


def test_a_staffed_workshop_makes_the_same_bank_with_workers_that_stay(
    workshop: Workshop, tiny_architectures: list[Architecture], tmp_path: Path
) -> None:
    workshop.extract(tiny_architectures)
    bank = FeatureBank(tmp_path / "staffed", workshop.bank.key)
    with dataclasses.replace(workshop, bank=bank, devices=("cpu", "cpu")).staffed() as staffed:
        assert staffed.extract(tiny_architectures[:2]) == 2
        workers = {worker.process.pid for worker in staffed.engine.idle}  # type: ignore[union-attr]
        assert staffed.extract(tiny_architectures) == len(tiny_architectures) - 2
        assert staffed.initialised(1).engine is staffed.engine
        assert workers <= {worker.process.pid for worker in staffed.engine.idle}  # type: ignore[union-attr]
    for architecture in tiny_architectures:
        paths = [b.sketches.path(b.entry(architecture)) for b in (workshop.bank, bank)]
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_network_that_needs_more_memory_than_is_free_is_refused_at_once(
    tmp_path: Path, tiny_architectures: list[Architecture], monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = Workshop.open("gpt2", batch=2, length=24, devices="cpu", bank=tmp_path)
    monkeypatch.setattr("engine.memory.free_memory", lambda: 4096)
    with pytest.raises(FeatureError, match=r"tiny0: needs 0\.0 GiB for weights and gradients, but only 0\.0 are free"):
        workshop.extract(tiny_architectures[:1])
    monkeypatch.setattr("engine.memory.free_memory", lambda: None)
    assert workshop.extract(tiny_architectures[:1]) == 1


SPARING = formula_scores(["product( mean[ frobenius_norm(W.attn) ], sum[ frobenius_norm(H) ] )"])


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each visit took gradients, in order."""
    seen: list[bool] = []

    def telling(model: torch.nn.Module, batch: TokenBatch, gradients: bool = True) -> Any:
        seen.append(gradients)
        return collect(model, batch, gradients)

    monkeypatch.setattr("fitness.features.visit.collect", telling)
    return seen


def test_no_backward_pass_is_made_where_nobody_reads_gradients(
    workshop: Workshop, tiny_architectures: list[Architecture], passes: list[bool], tmp_path: Path
) -> None:
    one = tiny_architectures[:1]
    (text,) = SPARING.names
    sparing = measured(workshop, SPARING, one)[0][text]
    assert passes == [False] and sparing.value
    for more in (SketchTaker(), formula_scores(["mean[ abs(J) ]"]), hand_made_figures(["SNIP"])):
        other = dataclasses.replace(workshop, bank=FeatureBank(tmp_path / str(len(passes)), workshop.bank.key))
        other.visit([SPARING, more], one)
        assert passes[1:] == [True] * len(passes[1:]) and SPARING.load(other.bank, one[0])[text] == sparing
    assert len(passes) == 4


def test_a_network_with_large_entries_is_visited_with_gradients_if_they_fit(
    workshop: Workshop, tiny_architectures: list[Architecture], passes: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry just below what is large is no reason; one as large is, and so is a NaN."""
    architecture = tiny_architectures[0]
    model: Any = SPACES["gpt2"].build(architecture, 0).eval()
    blocks = collect(model, workshop.batch, gradients=False).blocks
    largest = max(float(x.abs().max()) for block in blocks for tensors in block.values() for x in tensors)
    monkeypatch.setattr("fitness.features.visit.LOUD", largest)
    monkeypatch.setattr("fitness.features.visit.free_on", lambda devices: bytes_of(architecture) - 1)
    with pytest.raises(FeatureError, match=f"{architecture.id}: has entries of .* and more, so that its gradients"):
        workshop.visit([SPARING], [architecture])
    for free in (bytes_of(architecture), None):
        monkeypatch.setattr("fitness.features.visit.free_on", lambda devices, free=free: free)
        passes.clear()
        other = dataclasses.replace(workshop, bank=FeatureBank(workshop.bank.folder / str(free), workshop.bank.key))
        other.visit([SPARING], [architecture])
        assert passes == [False, True] and SPARING.load(other.bank, architecture)
    monkeypatch.setattr("fitness.features.visit.LOUD", largest * 1.000001)
    passes.clear()
    workshop.visit([SPARING], [architecture])
    assert passes == [False]


def test_a_network_that_overflows_without_gradients_has_no_score(
    workshop: Workshop, tiny_architectures: list[Architecture], passes: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    build = SPACES["gpt2"].build

    def broken(*asked: Any) -> Any:
        model = build(*asked)
        with torch.no_grad():
            next(p for p in model.parameters() if p.ndim == 2).fill_(float("nan"))
        return model

    monkeypatch.setattr(type(SPACES["gpt2"]), "build", lambda self, *asked: broken(*asked))
    found = measured(workshop, SPARING, tiny_architectures[:1])
    assert [figure.reason for figure in found[0].values()] == [Invalid.OVERFLOW.value] and passes == [False, True]
