"""Entries of the bank that carry a right checksum and still cannot be what they say; the layout; the claim."""

from __future__ import annotations

import logging
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from fitness.features.bank import FeatureBank, FeatureKey, SketchEntry, sketch_features
from fitness.features.collect import EXTRACTOR_VERSION, Features
from fitness.features.sketch import SKETCH_VERSION
from models.architecture import Architecture
from models.spaces import SPACES
from models.tokens import TokenBatch
from storage.files import BadFile

Arrays = dict[str, np.ndarray]


@pytest.fixture
def bank(tmp_path: Path, batch: TokenBatch) -> FeatureBank:
    return FeatureBank(tmp_path, FeatureKey.create("gpt2", batch.digest))


def place(column: int, value: int) -> Callable[[Arrays], None]:
    def spoil(arrays: Arrays) -> None:
        arrays["layout.W"][0, column] = value

    return spoil


def replace(name: str, value: Callable[[np.ndarray], np.ndarray]) -> Callable[[Arrays], None]:
    def spoil(arrays: Arrays) -> None:
        arrays[name] = value(arrays[name])

    return spoil


SPOILT = {
    "two depths": replace("blocks", lambda x: np.append(x, x)),
    "a depth in small numbers": replace("blocks", lambda x: x.astype(np.int32)),
    "two losses": replace("loss", lambda x: np.append(x, x)),
    "a loss in single precision": replace("loss", lambda x: x.astype(np.float32)),
    "no samples": lambda arrays: arrays.pop("samples.W"),
    "samples in double precision": replace("samples.W", lambda x: x.astype(np.float64)),
    "a sample fewer": replace("samples.W", lambda x: x[:-1]),
    "short samples": replace("samples.W", lambda x: x[:, :-1]),
    "a layout in small numbers": replace("layout.W", lambda x: x.astype(np.int32)),
    "a layout without lines": replace("layout.W", lambda x: x[:, :3]),
    "a block before the first": place(0, -1),
    "a block behind the last": place(0, 99),
    "a role before the first": place(1, -1),
    "a role behind the last": place(1, 2),
    "a tensor without entries": place(2, 0),
    "a line without entries": place(3, 0),
    "a fault in the last input": replace("samples.S", lambda x: x.astype(np.float64)),
}


def saved(bank: FeatureBank, architecture: Architecture, features: Features) -> Arrays:
    bank.save_sketch(architecture, sketch_features(features))
    arrays = bank.sketches.load(bank.entry(architecture))
    assert arrays is not None
    return {name: np.array(x) for name, x in arrays.items()}


@pytest.mark.parametrize("what", SPOILT)
def test_an_entry_that_cannot_be_a_sketch_counts_as_absent(
    what: str, bank: FeatureBank, tiny_features: Features, tiny_architectures: list[Architecture]
) -> None:
    arrays = saved(bank, tiny_architectures[0], tiny_features)
    bank.sketches.save(bank.entry(tiny_architectures[0]), arrays)
    assert bank.load_sketch(tiny_architectures[0]) is not None
    SPOILT[what](arrays)
    bank.sketches.save(bank.entry(tiny_architectures[0]), arrays)
    assert bank.load_sketch(tiny_architectures[0]) is None


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({}, ""), ({"blocks": 0}, "a value"), ({"loss": "much"}, "a value"), ({"samples": {}}, "a key"),
        ({"layout": None}, "a type"), ({"samples": dict.fromkeys("AJGHWSQ", 1.0)}, "an attribute"),
        ({"blocks": 1 << 70}, "a number that is too large"),
    ],
)  # fmt: skip
def test_a_sketch_is_sound_or_not(changed: dict, fault: str, tiny_features: Features) -> None:
    entry = sketch_features(tiny_features)
    assert SketchEntry(**{**vars(entry), **changed}).is_sound() is (not fault)


def test_the_least_and_the_last_of_everything_are_accepted(
    bank: FeatureBank, tiny_features: Features, tiny_architectures: list[Architecture]
) -> None:
    arrays = saved(bank, tiny_architectures[0], tiny_features)
    arrays["layout.W"][0] = (int(arrays["blocks"][0]) - 1, 1, 1, 1)
    bank.sketches.save(bank.entry(tiny_architectures[0]), arrays)
    assert bank.load_sketch(tiny_architectures[0]) is not None


def test_the_layout_says_block_role_size_and_line_of_every_tensor(tiny_features: Features) -> None:
    entry = sketch_features(tiny_features)
    block = tiny_features.blocks[0]
    assert entry.layout["W"][:4].tolist() == [
        [0, role, w.numel(), w.shape[1]] for role, w in zip((0, 0, 1, 1), block["W"], strict=True)
    ]
    assert entry.layout["J"].tolist() == [
        [at, 0, b["J"][0].numel(), b["J"][0].shape[0]] for at, b in enumerate(tiny_features.blocks)
    ]
    assert entry.layout["S"][0].tolist() == [0, 0, block["S"][0].numel(), block["S"][0].shape[-1]]
    without = Features(tuple({**b, "S": ()} for b in tiny_features.blocks), 1.0)
    assert sketch_features(without).samples["S"].shape == (0, entry.samples["S"].shape[1])


@pytest.mark.parametrize(("loss", "entry", "finite"), [(1.0, 1.0, True), (np.nan, 1.0, False), (1.0, np.inf, False)])
def test_a_sketch_knows_an_overflow(loss: float, entry: float, finite: bool) -> None:
    samples = {"W": np.ones((2, 3), np.float32), "A": np.ones((2, 3), np.float32)}
    samples["A"][1, 2] = entry
    assert SketchEntry(samples, {}, 1, loss).finite is finite


def test_everything_that_features_depend_on_is_in_the_key() -> None:
    key = FeatureKey.create("flexibert", "tokens")
    assert (key.build, key.init_seed, key.space_version) == ("as_trained", 0, 1)
    others = [{"space": "gpt2"}, {"build": "as_published"}, {"tokens": "t"}, {"init_seed": 1}, {"space_version": 2},
              {"extractor_version": 99}, {"sketch_version": 99}]  # fmt: skip
    assert len({key.digest, *(FeatureKey(**{**vars(key), **other}).digest for other in others)}) == 8  # type: ignore[arg-type]


def test_what_is_as_it_always_was_is_not_in_the_name_of_a_key() -> None:
    key = FeatureKey.create("gpt2", "t")
    plain = (
        f'{{"build": "{SPACES["gpt2"].builds[0]}", "extractor_version": {EXTRACTOR_VERSION}, "init_seed": 0, '
        f'"sketch_version": {SKETCH_VERSION}, "space": "gpt2", "space_version": {SPACES["gpt2"].version}, "tokens": "t"}}'
    )
    assert key.digest == sha256(plain.encode()).hexdigest()
    priced = plain.replace('"sketch_version"', '"price": "whole", "sketch_version"')
    assert FeatureKey.create("gpt2", "t", price="whole").digest == sha256(priced.encode()).hexdigest()
    weighed = plain[:-1] + ', "weights": "w"}'
    assert FeatureKey.create("gpt2", "t", weights="w").digest == sha256(weighed.encode()).hexdigest()


def test_a_sketch_that_vanished_is_a_sentence(bank: FeatureBank, tiny_architectures: list[Architecture]) -> None:
    with pytest.raises(BadFile, match="is not what was written; run this again"):
        bank.sketch(tiny_architectures[0])


def test_damage_is_told_once_and_only_if_there_is_some(
    bank: FeatureBank, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "zcp.bank"):
        bank.tell_damaged([])
        bank.tell_damaged([tmp_path / "one", tmp_path / "two"])
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: 2 damaged in the bank (such as one); made again"
    ]


def test_only_one_holds_the_claim_on_an_architecture(bank: FeatureBank, tiny_architectures: list[Architecture]) -> None:
    one, other = tiny_architectures[:2]
    with bank.claim(one) as first, bank.claim(one) as second, bank.claim(other) as third:
        assert (first, second, third) == (True, False, True)
    with bank.claim(one) as again:
        assert again


def test_a_bank_that_is_a_file_is_refused(tmp_path: Path, tiny_architectures: list[Architecture]) -> None:
    (tmp_path / "file").write_text("x")
    bank = FeatureBank(tmp_path / "file", FeatureKey.create("gpt2", "t"))
    with pytest.raises(BadFile, match="choose another --bank"), bank.claim(tiny_architectures[0]):
        pytest.fail("claimed")
