"""The space of FlexiBERT: how its configurations are drawn, read and refused."""

import json
import math
import random

import pytest
from test_models_flexibert import CONFIG, SPACE, sampled

from models.architecture import BadArchitecture
from models.spaces import SPACES
from models.spaces.flexibert.plans import OPERATIONS
from models.spaces.flexibert.space import FlexibertSpace

# The space


def test_the_space_is_registered_under_its_name():
    assert isinstance(SPACES["flexibert"], FlexibertSpace)


def test_the_published_space_has_10621440_architectures():
    assert SPACE.count() == 10_621_440


def test_sampling_is_valid_reproducible_and_reaches_every_choice():
    configs = [SPACE.sample(random.Random(seed)) for seed in range(60)]
    assert configs == [SPACE.sample(random.Random(seed)) for seed in range(60)]
    assert all(SPACE.check(config) == config for config in configs)
    assert {config["hidden_size"] for config in configs} == {128, 256}
    assert {len(config["operation"]) for config in configs} == {2, 4}
    assert {entry for config in configs for entry in config["operation"]} == set(OPERATIONS)


def test_a_configuration_survives_json_and_keeps_its_digest():
    for architecture in sampled(1):
        again = json.loads(json.dumps(dict(architecture.config)))
        assert SPACE.architecture("again", again) == architecture


def test_inert_fields_still_tell_architectures_apart():
    first = SPACE.architecture("a", CONFIG)
    second = SPACE.architecture("b", {**CONFIG, "operation": ["WMA", "DSC9"]})
    third = SPACE.architecture("c", {**CONFIG, "ffn_dim": [1024, 1024]})
    assert len({first, second, third}) == 3


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"hidden_size": 130.0}, "hidden_size"),
        ({"hidden_size": None}, "hidden_size"),
        ({"operation": []}, "operation"),
        ({"operation": "SDP"}, "operation"),
        ({"operation": ["SDP", "DSC7"]}, r"operation\[1\].*DSC7.*wanted one of SDP, WMA"),
        ({"operation": [["SDP"], "SDP"]}, r"operation\[0\]"),
        ({"heads": [2]}, "heads: got 1 entries, wanted a list of 2"),
        ({"heads": [2, 3]}, r"heads\[1\]: got 3, wanted a divisor of hidden_size = 128"),
        ({"heads": [2, True]}, r"heads\[1\]: got True, wanted a whole number"),
        ({"heads": [2.0, 4]}, r"heads\[0\]: got 2\.0, wanted a whole number"),
        ({"ffn_stack": [1.0, 3]}, r"ffn_stack\[0\]: got 1\.0, wanted a whole number"),
        ({"operation": [True, "SDP"]}, r"operation\[0\]: got True, wanted one of SDP"),
        ({"ffn_dim": [512, 0]}, r"ffn_dim\[1\]"),
        ({"ffn_stack": [1, 99]}, r"ffn_stack\[1\]"),
        ({"dropout": 0.1}, "dropout: unknown field"),
    ],
)
def test_a_bad_field_is_named(change, named):
    with pytest.raises(BadArchitecture, match=named):
        SPACE.check({**CONFIG, **change})


def test_a_missing_field_is_named():
    for field in CONFIG:
        with pytest.raises(BadArchitecture, match=field):
            SPACE.check({key: value for key, value in CONFIG.items() if key != field})


def test_heads_that_do_not_fit_width_256_are_refused_by_the_published_build_only():
    odd = SPACE.architecture("odd", {**CONFIG, "hidden_size": 96, "heads": [2, 3]})
    assert SPACE.parameters(odd).total > 0
    with pytest.raises(BadArchitecture, match=r"heads\[1\]: got 3, wanted an even divisor of 256"):
        SPACE.parameters(odd, "as_published")


def test_an_unknown_build_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"as_specified.*as_trained, as_published"):
        SPACE.build(SPACE.architecture("a", CONFIG), 0, "as_specified")


def test_numbers_of_an_encoder_are_logarithms_of_its_blocks():
    config = {**CONFIG, "heads": [2, 8], "ffn_dim": [512, 2048], "ffn_stack": [1, 4]}
    found = SPACE.numbers(SPACE.architecture("a", config))
    wanted = {"heads mean": 4, "ffn_dim mean": 1024, "ffn_dim first": 512, "ffn_dim last": 2048, "ffn_stack mean": 2,
              "ffn_stack first": 1, "ffn_stack last": 4}  # fmt: skip
    assert {name: round(math.exp(value), 9) for name, value in found.items()} == wanted
