"""The bank gives back what was put in, and trusts nothing that was changed."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from fitness.features.bank import BadFeatures, FeatureBank, FeatureKey, sketch_features
from fitness.features.collect import Features
from fitness.features.soundness import overflowing
from fitness.features.workshop import Workshop
from models.architecture import Architecture
from models.tokens import TokenBatch
from primitives.grammar import parse

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
    assert bank.sketch(tiny_architectures[0]).layout.keys() == loaded.layout.keys()
    for name, samples in entry.samples.items():
        assert np.array_equal(samples, loaded.samples[name]) and np.array_equal(entry.layout[name], loaded.layout[name])


def test_any_changed_byte_makes_it_absent(
    bank: FeatureBank, tiny_features: Features, tiny_architectures: list[Architecture]
) -> None:
    bank.save_sketch(tiny_architectures[0], sketch_features(tiny_features))
    path = bank.sketches.path(bank.entry(tiny_architectures[0]))
    content, rng = path.read_bytes(), random.Random(0)
    broken = [content[:size] for size in (0, 5, 40, len(content) - 1)]
    for _ in range(60):
        flipped = bytearray(content)
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        broken.append(bytes(flipped))
    for damaged in broken:
        path.write_bytes(damaged)
        assert bank.load_sketch(tiny_architectures[0]) is None


def test_another_key_is_another_file(tmp_path: Path, tiny_architectures: list[Architecture]) -> None:
    keys = [FeatureKey.create("gpt2", "t", 0), FeatureKey.create("gpt2", "t", 1), FeatureKey.create("gpt2", "u", 0)]
    assert len({FeatureBank(tmp_path, key).entry(tiny_architectures[0]) for key in keys}) == 3


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


def test_a_visit_for_exact_scores_leaves_a_file_and_no_sketch(
    bank: FeatureBank, batch: TokenBatch, tiny_architectures: list[Architecture]
) -> None:
    workshop, visits = Workshop(bank, batch), []
    workshop.exact_scores(PROXIES[:1], tiny_architectures[:3], lambda done, total: visits.append((done, total)))
    assert visits == [(1, 3), (2, 3), (3, 3)] and len(list(bank.place.rglob("*.*"))) == 3
    assert overflowing(tiny_architectures[:3], workshop) == () and workshop.extract(tiny_architectures[:3]) == 3
    workshop.exact_scores(PROXIES[:1], tiny_architectures[:3], lambda done, total: visits.append((done, total)))
    assert len(visits) == 3


def test_an_entry_of_another_architecture_is_not_served_under_this_name(
    bank: FeatureBank, batch: TokenBatch, tiny_architectures: list[Architecture]
) -> None:
    workshop, (a, b) = Workshop(bank, batch), tiny_architectures[:2]
    before = workshop.exact_scores(PROXIES[:1], [a, b])
    workshop.extract([a, b])
    for file in bank.place.rglob("*.*"):
        other = next(path for path in file.parent.glob("*.*") if path != file)
        file.write_bytes(other.read_bytes())
        assert [entry.blocks for entry in map(bank.load_sketch, (a, b)) if entry] or file.suffix == ".json"
    assert sum(bank.load_sketch(x) is not None for x in (a, b)) == 1
    assert np.array_equal(workshop.exact_scores(PROXIES[:1], [a, b]), before) and before[0][0] != before[0][1]


@pytest.mark.parametrize(
    ("space", "build", "message"),
    [
        ("gtp2", None, r"--space: got 'gtp2', wanted one of .*; did you mean gpt2\?"),
        ("flexibert", "as_publishd", r"--build: got 'as_publishd', wanted one of .*; did you mean as_published\?"),
    ],
)
def test_a_workshop_for_what_no_space_offers_is_refused(
    tmp_path: Path, space: str, build: str | None, message: str
) -> None:
    with pytest.raises(BadFeatures, match=message):
        Workshop.open(space, build=build, bank=tmp_path)


def test_a_workshop_is_opened_with_a_sentence_of_settings(tmp_path: Path, batch: TokenBatch) -> None:
    workshop = Workshop.open("gpt2", batch=2, length=24, init_seed=3, devices="cpu", bank=tmp_path)
    assert workshop.bank.key == FeatureKey.create("gpt2", batch.digest, 3) and workshop.devices == ("cpu",)
    assert workshop.initialised(4).bank.key == FeatureKey.create("gpt2", batch.digest, 4)
