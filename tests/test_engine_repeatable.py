"""Whatever computes on a device goes through one place; on a CPU the same tests run as on CUDA, where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine import free_memory, repeatable
from engine.devices import kind_of
from engine.memory import free_on
from fitness.costs import latency_of
from fitness.features.bank import FeatureBank, FeatureKey
from fitness.features.collect import FeatureError
from fitness.features.takers import SketchTaker
from fitness.features.visit import Visit, Visited, visit
from fitness.features.workshop import Workshop
from gp.runs.settings import BadRun, RunCase, RunSettings
from models.architecture import Architecture
from models.tokens import TokenBatch
from primitives.grammar import parse

NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")
DEVICES = ["cpu", pytest.param("cuda:0", marks=[pytest.mark.cuda, NEEDS_CUDA])]
FORMULAS = [parse("sum[ frobenius_norm(G) ]"), parse("mean[ softmax(S) ]")]


def settings() -> tuple[object, ...]:
    """What the block may change of this process."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    numbers = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    return *numbers, cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_settings_are_those_of_before_after_the_block(device: str) -> None:
    before = settings()
    with pytest.raises(ValueError), repeatable(device):
        assert torch.get_num_threads() == 1
        expected = (1, True, True, False, False, False) if device != "cpu" else (1, *before[1:])
        assert settings() == expected
        raise ValueError
    assert settings() == before


@pytest.mark.parametrize("device", DEVICES)
def test_features_are_the_same_bytes_every_time(
    device: str, tiny_architectures: list[Architecture], tmp_path: Path
) -> None:
    banks = []
    for name in ("first", "second"):
        workshop = Workshop.open("gpt2", batch=2, length=24, devices=device, bank=tmp_path / name)
        assert workshop.bank.key.device == kind_of([device]) and workshop.extract(tiny_architectures[:6]) == 6
        workshop.exact_scores(FORMULAS, tiny_architectures[:6])
        banks.append({p.name: p.read_bytes() for p in sorted((tmp_path / name).rglob("*.*")) if p.is_file()})
    assert len(banks[0]) == 12 and banks[0] == banks[1]


@pytest.mark.parametrize("device", DEVICES)
def test_scores_of_a_device_are_those_of_the_cpu_to_five_digits(
    device: str, tiny_architectures: list[Architecture], tmp_path: Path
) -> None:
    shops = [Workshop.open("gpt2", batch=2, length=24, devices=d, bank=tmp_path) for d in ("cpu", device)]
    cpu, other = (shop.exact_scores(FORMULAS, tiny_architectures[:6]) for shop in shops)
    assert cpu == pytest.approx(other, rel=1e-5)
    assert latency_of(tiny_architectures[0], shops[0].batch, device=device).median > 0


@pytest.mark.parametrize("device", DEVICES)
def test_memory_of_a_device_is_bounded_by_what_is_free_on_it(device: str) -> None:
    free = free_on([device])
    assert free is None or 0 < free <= (free_memory() or free) * 1.5


def test_a_network_that_a_device_cannot_hold_is_one_line(
    tiny_architectures: list[Architecture], batch: TokenBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Visited, "run", full)
    task = Visit(tiny_architectures[0], batch, 0, "default", (SketchTaker(),))
    with pytest.raises(FeatureError, match="tiny0: takes more memory than cpu has; use a larger device"):
        visit(task, "cpu")


def test_a_run_goes_on_with_the_kind_of_device_that_it_began_with(tmp_path: Path, batch: TokenBatch) -> None:
    from types import SimpleNamespace

    from fitness.evaluation import Split
    from gp.case import Case
    from gp.config import SearchConfig

    asked = RunCase("b", "loss", "d", batch.digest)
    begun = RunSettings((asked,), SearchConfig(), device="cuda")
    workshop = Workshop(FeatureBank(tmp_path, FeatureKey.create("gpt2", batch.digest)), batch)
    case = Case(SimpleNamespace(digest="d", name="b"), workshop, Split((), ()))  # type: ignore[arg-type]
    with pytest.raises(BadRun, match="devices: got cpu, wanted cuda, with which the run began"):
        begun.check(case, asked)
    assert RunSettings.from_dict(begun.to_dict()) == begun
    plain = RunSettings((asked,), SearchConfig())
    assert "device" not in plain.to_dict() and RunSettings.from_dict(plain.to_dict()) == plain
    plain.check(case, asked)
