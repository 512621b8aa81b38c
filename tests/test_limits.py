"""Limits: of every field the least and the largest value are taken, and the next ones are refused with the field."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch

from models.architecture import BadArchitecture
from models.spaces import SPACES
from models.spaces.hf.config import _check_shape
from models.spaces.hf.sizes import check_sizes, check_written_table

GPT2: dict[str, Any] = {
    "n_layer": 1, "d_model": 4, "d_embed": 4, "div_val": 1, "n_head": [1], "d_inner": [8], "n_token": 300,
    "tgt_len": 64, "cutoffs": [],
}  # fmt: skip
LLAMA: dict[str, Any] = {
    "n_layer": 1, "d_model": 4, "n_head": [1], "n_kv_head": [1], "d_ffn": [8], "n_token": 300, "tgt_len": 64
}  # fmt: skip
FLEXIBERT: dict[str, Any] = {
    "hidden_size": 4, "operation": ["SDP"], "heads": [1], "ffn_dim": [8], "ffn_stack": [1]
}  # fmt: skip
BASES = {"gpt2": GPT2, "llama": LLAMA, "flexibert": FLEXIBERT}
NUMBERS = [
    ("gpt2", "d_model", 4, 16384), ("gpt2", "d_embed", 1, 16384), ("gpt2", "n_token", 2, 1_000_000),
    ("gpt2", "tgt_len", 1, 1 << 20), ("llama", "d_model", 4, 16384), ("llama", "n_token", 2, 1_000_000),
    ("llama", "tgt_len", 1, 1 << 20), ("llama", "rope_theta", 1, 10**9), ("llama", "head_dim", 2, 16384),
    ("flexibert", "hidden_size", 4, 16384),
]  # fmt: skip
LISTS = [
    ("gpt2", "d_inner", 1, 65536), ("llama", "d_ffn", 0, 65536), ("llama", "keep", 0, 1023),
    ("flexibert", "ffn_dim", 1, 65536), ("flexibert", "ffn_stack", 1, 16),
]  # fmt: skip


@pytest.mark.parametrize(("space", "field", "low", "high"), NUMBERS)
def test_a_size_of_a_network_has_a_range(space: str, field: str, low: int, high: int) -> None:
    for value in (low, high):
        assert SPACES[space].check(BASES[space] | {field: value}).get(field, value) == value
    for value in (low - 1, high + 1):
        with pytest.raises(BadArchitecture, match=f"^{field}: got {value}, wanted a whole number from {low} to {high}"):
            SPACES[space].check(BASES[space] | {field: value})


@pytest.mark.parametrize(("space", "field", "low", "high"), LISTS)
def test_a_size_of_a_block_has_a_range(space: str, field: str, low: int, high: int) -> None:
    for value in (low, high):
        assert SPACES[space].check(BASES[space] | {field: [value]})[field] == (value,)
    for value in (low - 1, high + 1):
        with pytest.raises(BadArchitecture, match=rf"^{field}\[0\]: got {value}, wanted"):
            SPACES[space].check(BASES[space] | {field: [value]})


def test_heads_have_a_range() -> None:
    llama = {"d_model": 2048, "n_head": [1024], "n_kv_head": [1024]}
    assert SPACES["llama"].check(LLAMA | llama)["n_head"] == (1024,)
    for field in ("n_head", "n_kv_head"):
        for value in (-1, 1025):
            said = rf"{field}\[0\]: got {value}, wanted a whole number from 0 to 1024"
            with pytest.raises(BadArchitecture, match=said):
                SPACES["llama"].check(LLAMA | llama | {field: [value]})
        with pytest.raises(BadArchitecture, match=r"n_kv_head\[0\]: got .*, wanted .* with n_head"):
            SPACES["llama"].check(LLAMA | llama | {field: [0]})
    for space, field in (("gpt2", "n_head"), ("flexibert", "heads")):
        assert SPACES[space].check(BASES[space] | {field: [4]})[field] == (4,)
        for value in (0, 5):
            with pytest.raises(BadArchitecture, match=rf"{field}\[0\]: got {value}, wanted a whole number from 1 to 4"):
                SPACES[space].check(BASES[space] | {field: [value]})


@pytest.mark.parametrize("space", BASES)
def test_a_network_has_at_most_128_blocks(space: str) -> None:
    base = BASES[space]

    def deep(blocks: int) -> dict[str, Any]:
        lists = {name: value * blocks for name, value in base.items() if isinstance(value, list)}
        return base | lists | ({"n_layer": blocks} if "n_layer" in base else {})

    assert SPACES[space].shape(SPACES[space].architecture("x", deep(128)))[0] == 128
    for blocks in (0, 129):
        with pytest.raises(BadArchitecture, match="128"):
            SPACES[space].check(deep(blocks))


def test_parts_of_a_vocabulary_are_inside_it_and_wide_enough() -> None:
    space = SPACES["gpt2"]
    assert space.check(GPT2 | {"cutoffs": [1, 299], "div_val": 2})["cutoffs"] == (1, 299)
    for cutoffs in ([0], [300], [True], 3):
        with pytest.raises(BadArchitecture, match="cutoffs: got .*, wanted a list of token numbers below 300"):
            space.check(GPT2 | {"cutoffs": cutoffs})
    for cutoffs in ([5, 5], [6, 5]):
        with pytest.raises(BadArchitecture, match="cutoffs: got .*, wanted increasing numbers"):
            space.check(GPT2 | {"cutoffs": cutoffs})
    with pytest.raises(BadArchitecture, match="d_embed: got 4, too narrow for 3 divisions by 2"):
        space.check(GPT2 | {"cutoffs": [1, 2, 3], "div_val": 2})
    for value in (0, 3, 5, 8):
        with pytest.raises(BadArchitecture, match=f"div_val: got {value}, wanted one of 1, 2, 4"):
            space.check(GPT2 | {"div_val": value})


# The names of fields of the library's configurations, and the largest number that each may have.
SIZES = [
    ("num_hidden_layers", 1024), ("n_layer", 1024), ("num_attention_heads", 1024), ("n_head", 1024), ("depth", 1024),
    ("num_experts", 1024), ("n_groups", 1024), ("num_blocks", 1024), ("vocab_size", 1 << 22), ("rope_theta", 1 << 50),
    ("position_base", 1 << 50), ("max_position_embeddings", 1 << 24), ("max_length", 1 << 24), ("n_ctx", 1 << 24),
    ("sliding_window", 1 << 24), ("max_seq_len", 1 << 24), ("hidden_size", 1 << 20),
]  # fmt: skip


@pytest.mark.parametrize(("name", "most"), SIZES)
def test_a_number_of_a_configuration_of_the_library_has_a_bound(name: str, most: int) -> None:
    for value in (most, -most, [most], {name: most}):
        check_sizes({name: value})
    for value in (most + 1, -most - 1, [1, most + 1], {name: most + 1}):
        with pytest.raises(BadArchitecture, match=rf"{name}: got -?{most + 1}, wanted at most {most:,}"):
            check_sizes({name: value})


def test_lists_that_stand_for_repeats_have_a_bound() -> None:
    check_sizes({"attention_types": [[["global", "local"], 512]]})
    with pytest.raises(
        BadArchitecture, match="attention_types: got 1,026 entries when written out, wanted at most 1,024"
    ):
        check_sizes({"attention_types": [[["global", "local"], 512], [["local"], 2]]})


def test_a_table_that_is_written_number_by_number_has_a_bound() -> None:
    check_written_table("x", 1 << 12, 1 << 12)
    with pytest.raises(BadArchitecture, match=r"x: got 4,097 positions of width 4,096.*wanted at most 16,777,216 num"):
        check_written_table("x", (1 << 12) + 1, 1 << 12)


@pytest.mark.parametrize(
    ("field", "low", "high"), [("num_hidden_layers", 1, 1024), ("hidden_size", 1, 1 << 16), ("vocab_size", 2, 1 << 22)]
)
def test_a_network_of_the_library_has_a_size(field: str, low: int, high: int) -> None:
    sizes = {"num_hidden_layers": 2, "hidden_size": 32, "vocab_size": 300}

    def config(value: Any) -> Any:
        return type("Config", (), sizes | {field: value})()

    for value in (low, high):
        _check_shape(config(value))
    for value in (low - 1, high + 1, None):
        with pytest.raises(BadArchitecture, match=f"{field}: got {value}, wanted a whole number from {low} to {high}"):
            _check_shape(config(value))


# Limits on what is read from files, and on what is built

LIMITS: dict[str, Any] = {
    "models.spaces.stored_tensors MAX_JSON": 32 * 2**20,
    "models.spaces.stored_tensors MAX_NAMES": 1_000_000,
    "models.tokenizer MAX_TOKENIZER": 64 * 2**20,
    "models.tokens MAX_TEXT": 64 * 2**20,
    "models.training.budgets MAX_FILE": 8 * 2**20,
    "models.training.cuts.table MAX_TABLE": 8 * 2**20,
    "models.benchmarks.layouts.table MAX_RECORDS": 50_000,
    "fitness.features.fitting MAX_PARAMETERS": 4_000_000_000,
    "fitness.features.fitting MAX_STREAMED": 100_000_000_000,
    "fitness.predictors.predictor_file MAX_CASES": 100,
    "fitness.predictors.predictor_file MAX_IDS": 100_000,
    "fitness.predictors.predictor_file MAX_PLACE": 4096,
    "gp.hall_file MAX_CASES": 100,
    "gp.hall_file MAX_PLACE": 4096,
    "gp.hall_cases _MAX_IDS": 100_000,
    "models.spaces.asked_region MOST": 100_000,
    "models.spaces.asked_region STEPS": (64, 8),
    "models.spaces.variation SPREAD": 24,
    "gp.case FEWEST": 3,
    "gp.pool FEWEST": 3,
    "gp.pool TRIES": 20,
    "gp.sweeps FEW": 40,
    "gp.lesson TRUST": 0.25,
    "gp.problem LIGHT": 0.003,
    "gp.problem PRICE": 0.0002,
    "gp.cut_selection NEAR": 0.97,
    "fitness.near_pairs NEAR": 0.1,
    "commands.search_plan REACH": 0.9,
    "commands.ranking NAMED": 20,
    "commands.cut_select MEASURED": (32, 128),
    "models.spaces.llama.subnets CALIBRATION": (16, 128),
    "models.benchmarks.benchmark ALIKE": 0.02,
    "models.benchmarks.benchmark NOISIEST": 1000.0,
    "fitness.predictors.members ERROR": 0.25,
    "primitives.budget USUAL": 20.0,
    "models.spaces.hf.drawing STANDARD_DEVIATION": 0.02,
}


@pytest.mark.parametrize("place", LIMITS)
def test_a_limit_stays_as_it_is(place: str) -> None:
    module, name = place.split()
    assert getattr(importlib.import_module(module), name) == LIMITS[place]


def test_a_network_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from fitness.features import fitting
    from fitness.features.collect import FeatureError
    from models.spaces import PARTED
    from models.tokens import TokenBatch

    some = SPACES["llama"].architecture("a", LLAMA)
    count = SPACES["llama"].parameters(some)
    plain, both = 4 * count.total, 4 * (count.total + count.decoder)
    assert (fitting.bytes_of(some, False), fitting.bytes_of(some), fitting.size_of(some)) == (plain, both, count.total)
    twice = SPACES["llama"].architecture("b", {**LLAMA, "runs": 2})
    assert (fitting.bytes_of(twice, False), fitting.bytes_of(twice)) == (plain, both + 4 * count.decoder)
    part = PARTED["llama"].largest_part(some)
    for streamed, gradients, need in (
        (False, False, plain),
        (False, True, both),
        (True, False, 8 * part),
        (True, True, 12 * part),
    ):
        fitting.check_size(some, streamed, gradients, need)
        fitting.check_size(some, streamed, gradients, None)
        what = "weights and gradients" if gradients else "weights"
        with pytest.raises(FeatureError, match=f"a: needs 0.0 GiB for {what}, but only 0.0 are free; use a machine"):
            fitting.check_size(some, streamed, gradients, need - 1)
    for name, streamed in (("MAX_PARAMETERS", False), ("MAX_STREAMED", True)):
        monkeypatch.setattr(fitting, name, count.total)
        fitting.check_size(some, streamed, False, None)
        monkeypatch.setattr(fitting, name, count.total - 1)
        with pytest.raises(
            FeatureError, match=f"a: got {count.total:,} parameters, wanted at most {count.total - 1:,}"
        ):
            fitting.check_size(some, streamed, False, None)
    fitting.check_batch(some, TokenBatch(torch.full((1, 64), 299), "x"))
    with pytest.raises(FeatureError, match="a: got sequences of 65 tokens, wanted at most 64; lower --seq-len"):
        fitting.check_batch(some, TokenBatch(torch.zeros(1, 65, dtype=torch.int64), "x"))
    with pytest.raises(FeatureError, match="a: got token 300, but its vocabulary has 300; use another --corpus"):
        fitting.check_batch(some, TokenBatch(torch.full((1, 2), 300), "x"))


def test_bytes_of_an_entry_are_those_of_torch() -> None:
    from models.spaces.stored_tensors import SIZES, WEIGHTS

    kinds = {
        "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "F8_E5M2": torch.float8_e5m2,
        "F8_E4M3": torch.float8_e4m3fn, "F8_E8M0": torch.float8_e8m0fnu, "I16": torch.int16, "U16": torch.uint16,
        "F16": torch.float16, "BF16": torch.bfloat16, "I32": torch.int32, "U32": torch.uint32, "F32": torch.float32,
        "I64": torch.int64, "U64": torch.uint64, "F64": torch.float64, "C64": torch.complex64,
    }  # fmt: skip
    assert {kind: dtype.itemsize for kind, dtype in kinds.items()} == SIZES
    assert {kind: kinds[kind] for kind in WEIGHTS} == WEIGHTS and set(WEIGHTS) == {"F64", "F32", "F16", "BF16"}


def test_logits_are_held_for_as_many_tokens_as_before() -> None:
    from models.spaces.llama import parts

    assert parts.LOGITS == 67_108_864  # 256 MiB of float32
