"""Measurements in the bank: made once per network and version, sealed, and failures kept with their reason."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from fitness.features.bank import FeatureBank, FeatureKey
from fitness.features.collect import FeatureError, collect
from fitness.features.workshop import Workshop
from fitness.zoo import ZOO
from fitness.zoo.registry import NoValue, Subject
from fitness.zoo.visits import Measurement, ZooShelf, measure_all, measurements
from models.architecture import Architecture
from models.spaces import SPACES
from models.tokens import TokenBatch

NAMES = ["SNIP", "GraSP", "Jacobian cosine", "sum[ frobenius_norm(G) ]", "mean[ exp(exp(exp(exp(S)))) ]"]


@pytest.fixture
def workshop(tmp_path: Path, batch: TokenBatch) -> Workshop:
    return Workshop(FeatureBank(tmp_path, FeatureKey.create("gpt2", batch.digest)), batch)


def values(found: list[dict[str, Measurement]]) -> list[dict[str, tuple[float | None, str]]]:
    return [{name: (m.value, m.reason) for name, m in record.items()} for record in found]


def test_a_network_is_visited_once_and_measured_the_same_everywhere(
    workshop: Workshop, tmp_path: Path, tiny_architectures: list[Architecture]
) -> None:
    chosen, visits = tiny_architectures[:4], []
    first = measure_all(workshop, NAMES, chosen, lambda done, total: visits.append((done, total)))
    assert visits == [(n, 4) for n in (1, 2, 3, 4)]
    assert measure_all(workshop, NAMES[:2], chosen, lambda done, total: visits.append((done, total))) == first
    assert len(visits) == 4
    other = Workshop(FeatureBank(tmp_path / "two", workshop.bank.key), workshop.batch, ("cpu", "cpu"))
    assert values(measure_all(other, NAMES, chosen[::-1])) == values(first)[::-1]
    for record in first:
        assert record["SNIP"].value is not None and all(m.seconds > 0 for m in record.values())
        assert record[NAMES[-1]].value is None and "overflows" in record[NAMES[-1]].reason


def test_a_formula_is_scored_as_the_workshop_scores_it(
    workshop: Workshop, tiny_architectures: list[Architecture]
) -> None:
    from primitives.grammar import parse

    chosen = tiny_architectures[:3]
    found = [record[NAMES[3]].value for record in measure_all(workshop, NAMES[3:4], chosen)]
    assert found == workshop.exact_scores([parse(NAMES[3])], chosen)[0].tolist()


def test_another_version_of_the_code_makes_a_measurement_void(
    workshop: Workshop, tiny_architectures: list[Architecture], monkeypatch: pytest.MonkeyPatch
) -> None:
    a = tiny_architectures[0]
    measure_all(workshop, ["SNIP", "GradNorm"], [a])
    changed = dataclasses.replace(ZOO["SNIP"], version=99, measure=lambda subject: 5)
    monkeypatch.setitem(ZOO, "SNIP", changed)
    assert set(ZooShelf(workshop.bank).load(a)) == {"GradNorm"}
    assert measure_all(workshop, ["SNIP"], [a])[0]["SNIP"].value == 5


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), NoValue("the moon is full")])
def test_a_failure_is_kept_with_its_reason(
    workshop: Workshop,
    tiny_architectures: list[Architecture],
    monkeypatch: pytest.MonkeyPatch,
    value: float | NoValue,
) -> None:
    def measure(subject: Subject) -> float:
        if isinstance(value, NoValue):
            raise value
        return value

    monkeypatch.setitem(ZOO, "SNIP", dataclasses.replace(ZOO["SNIP"], version=98, measure=measure))
    for _ in range(2):  # the second one comes from the disk
        found = measure_all(workshop, ["SNIP"], tiny_architectures[:1])[0]["SNIP"]
        assert found.value is None
        assert found.reason == (str(value) if isinstance(value, NoValue) else found.reason) and found.reason


def test_a_network_that_overflows_has_no_value(batch: TokenBatch, tiny_architectures: list[Architecture]) -> None:
    model = SPACES["gpt2"].build(tiny_architectures[0], 0).eval()
    with torch.no_grad():
        model.h[0].mlp.c_proj.weight.fill_(1e38)  # type: ignore[index]
    found = measurements(Subject(model, batch.tokens, collect(model, batch)), list(ZOO))
    assert found["Synflow"].value is not None  # reads the weights alone, and in float64
    for name, measurement in found.items():
        if not ZOO[name].own_pass:
            assert measurement.value is None and "overflows" in measurement.reason


def test_a_changed_file_is_not_trusted(workshop: Workshop, tiny_architectures: list[Architecture]) -> None:
    a, shelf = tiny_architectures[0], ZooShelf(workshop.bank)
    shelf.save(a, {"SNIP": Measurement(1.5, 0.1)})
    path = shelf.path(a)
    content = path.read_bytes()
    assert b"1.5" in content and shelf.load(a) == {"SNIP": Measurement(1.5, 0.1)}
    for broken in (content.replace(b"1.5", b"2.5"), content[:-9], b"[]", b"{}", b'{"records": 3, "sha256": 1}'):
        path.write_bytes(broken)
        assert shelf.load(a) == {}


def test_a_batch_that_is_too_long_is_refused_before_any_visit(
    tmp_path: Path, tiny_architectures: list[Architecture]
) -> None:
    long = TokenBatch.from_passage(2, 65)
    workshop = Workshop(FeatureBank(tmp_path, FeatureKey.create("gpt2", long.digest)), long)
    with pytest.raises(FeatureError, match="lower --seq-len"):
        measure_all(workshop, ["SNIP"], tiny_architectures[:2])
