"""The bank gives back what was put in, and trusts nothing that was changed."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from fitness.features.bank import FeatureBank, FeatureKey, sketch_features
from fitness.features.collect import Features
from fitness.features.workshop import Workshop
from models.architecture import Architecture
from models.tokens import TokenBatch
from primitives.grammar import parse
from primitives.invalid import Invalid

PROXIES = [
    parse("sum[ frobenius_norm(W) ]"),
    parse("mean[ product( abs(W), abs(G) ) ]"),
    parse("mean[ exp(exp(exp(exp(S)))) ]"),
]


@pytest.fixture
def bank(tmp_path: Path, batch: TokenBatch) -> FeatureBank:
    return FeatureBank(tmp_path, FeatureKey.create("gpt2", batch.digest))


def test_a_sketch_survives_the_disk(
    bank: FeatureBank, tiny_features: Features, tiny_architectures: list[Architecture]
) -> None:
    entry = sketch_features(tiny_features)
    bank.save_sketch(tiny_architectures[0], entry)
    loaded = bank.load_sketch(tiny_architectures[0])
    assert loaded is not None and loaded.blocks == entry.blocks == len(tiny_features.blocks)
    for name, samples in entry.samples.items():
        assert np.array_equal(samples, loaded.samples[name]) and np.array_equal(entry.layout[name], loaded.layout[name])


def test_any_changed_byte_makes_it_absent(
    bank: FeatureBank, tiny_features: Features, tiny_architectures: list[Architecture]
) -> None:
    a = tiny_architectures[0]
    bank.save_sketch(a, sketch_features(tiny_features))
    bank.save_exact(a, {"sum[ W ]": 0.1 + 0.2, "mean[ A ]": Invalid.NON_FINITE})
    rng = random.Random(0)
    for path, load in ((bank.sketch_path(a), bank.load_sketch), (bank.exact_path(a), bank.load_exact)):
        content = path.read_bytes()
        for _ in range(60):
            broken = bytearray(content)
            broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
            path.write_bytes(bytes(broken))
            assert not load(a) or load(a) == {"sum[ W ]": 0.1 + 0.2, "mean[ A ]": Invalid.NON_FINITE}
        for size in (0, 5, 40, len(content) - 1):
            path.write_bytes(content[:size])
            assert not load(a) or path.suffix == ".json"


def test_exact_scores_are_added_and_exact(bank: FeatureBank, tiny_architectures: list[Architecture]) -> None:
    bank.save_exact(tiny_architectures[0], {"sum[ W ]": 0.1 + 0.2})
    bank.save_exact(tiny_architectures[0], {"mean[ A ]": Invalid.NON_FINITE})
    assert bank.load_exact(tiny_architectures[0]) == {"sum[ W ]": 0.1 + 0.2, "mean[ A ]": Invalid.NON_FINITE}


def test_another_key_is_another_file(tmp_path: Path, tiny_architectures: list[Architecture]) -> None:
    keys = [FeatureKey.create("gpt2", "t", 0), FeatureKey.create("gpt2", "t", 1), FeatureKey.create("gpt2", "u", 0)]
    assert len({FeatureBank(tmp_path, key).sketch_path(tiny_architectures[0]) for key in keys}) == 3


def test_devices_and_order_change_no_byte(
    tmp_path: Path, batch: TokenBatch, tiny_architectures: list[Architecture]
) -> None:
    key, chosen = FeatureKey.create("gpt2", batch.digest), tiny_architectures[:6]
    one = Workshop(FeatureBank(tmp_path / "one", key), batch, ("cpu",))
    two = Workshop(FeatureBank(tmp_path / "two", key), batch, ("cpu", "cpu"))
    assert one.extract(chosen) == two.extract(chosen[::-1]) == 6
    assert one.extract(chosen) == 0
    scores = one.exact_scores(PROXIES, chosen)
    assert np.array_equal(scores, two.exact_scores(PROXIES, chosen), equal_nan=True)
    assert np.isnan(scores[2]).all() and np.isfinite(scores[:2]).all()
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 12 and not [f for f in files if f.suffix == ".tmp"]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_visit_for_exact_scores_leaves_the_sketch_as_well(
    bank: FeatureBank, batch: TokenBatch, tiny_architectures: list[Architecture]
) -> None:
    workshop, visits = Workshop(bank, batch), []
    workshop.exact_scores(PROXIES[:1], tiny_architectures[:3], lambda done, total: visits.append((done, total)))
    assert visits == [(1, 3), (2, 3), (3, 3)] and bank.missing(tiny_architectures[:3]) == []
    workshop.exact_scores(PROXIES[:1], tiny_architectures[:3], lambda done, total: visits.append((done, total)))
    assert len(visits) == 3
