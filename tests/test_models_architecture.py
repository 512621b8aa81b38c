"""An architecture: one digest per configuration, the same everywhere, and a seed of its own."""

from __future__ import annotations

import copy
import pickle

import pytest

from models.architecture import Architecture

CONFIG = {"n_layer": 2, "n_head": [2, 4], "name": "x"}
ONE = Architecture.create("one", "gpt2", CONFIG)


def test_equal_configurations_are_one_key_whatever_they_are_called() -> None:
    same = Architecture.create("two", "gpt2", {"name": "x", "n_head": (2, 4), "n_layer": 2})
    assert same == ONE and len({same, ONE}) == 1 and ONE != "one"
    others = [
        Architecture.create("one", "flexibert", CONFIG),
        Architecture.create("one", "gpt2", CONFIG | {"n_layer": 3}),
    ]
    assert len({ONE, *others}) == 3


def test_digest_and_seed_are_pinned() -> None:
    assert (
        ONE.digest.startswith("21edefaae3ab0fb6") and ONE.seed(0) == 5730083638147473218 and ONE.seed(1) != ONE.seed(0)
    )
    assert all(0 <= ONE.seed(seed) < 1 << 63 for seed in range(50))


def test_it_travels_to_other_processes_whole() -> None:
    for twin in (pickle.loads(pickle.dumps(ONE)), copy.deepcopy(ONE)):
        assert (twin.id, twin.space, dict(twin.config), twin.digest) == (
            ONE.id,
            ONE.space,
            dict(ONE.config),
            ONE.digest,
        )


def test_nobody_changes_it() -> None:
    given = {"n_head": [2, 4]}
    frozen = Architecture.create("x", "gpt2", given)
    given["n_head"][0] = 9
    assert frozen.config["n_head"] == (2, 4)
    with pytest.raises(TypeError):
        frozen.config["n_head"] = ()  # type: ignore[index]
    with pytest.raises(AttributeError):
        frozen.id = "y"  # type: ignore[misc]
