"""Relatives of LLaMA from their config.json: sizes, what is left out, refusals."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from processes import program as zcp

from models.architecture import BadArchitecture
from models.candidates import read_candidates
from models.spaces import SPACES
from models.spaces.llama import relatives
from models.spaces.llama.relatives import RELATIVES, as_llama

SPACE = SPACES["llama"]
OPENELM_270M: dict[str, Any] = {
    "model_type": "openelm",
    "auto_map": {"AutoConfig": "configuration_openelm.OpenELMConfig"},
    "model_dim": 1280,
    "head_dim": 64,
    "num_query_heads": [12] * 5 + [16] * 7 + [20] * 4,
    "num_kv_heads": [3] * 5 + [4] * 7 + [5] * 4,
    "ffn_multipliers": [0.5 + round(i * 3.5 / 15, 2) for i in range(16)],
    "ffn_dim_divisor": 256,
    "ffn_with_glu": True,
    "normalize_qk_projections": True,
    "share_input_output_layers": True,
    "vocab_size": 32000,
    "max_context_length": 2048,
    "rope_freq_constant": 10000,
}
MOBILELLM_125M: dict[str, Any] = {
    "model_type": "mobilellm",
    "num_hidden_layers": 30,
    "hidden_size": 576,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "intermediate_size": 1536,
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
    "share_embedding": True,
    "layer_sharing": False,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
}
NAS: dict[str, Any] = {
    "model_type": "nemotron-nas",
    "hidden_size": 256,
    "num_attention_heads": 4,
    "vocab_size": 512,
    "rope_theta": 500000.0,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0},
    "block_configs": [
        {"attention": {"n_heads_in_group": 2, "no_op": False}, "ffn": {"ffn_mult": 1.3125, "no_op": False}},
        {"attention": {"n_heads_in_group": None, "no_op": True}, "ffn": {"ffn_mult": 2.625, "no_op": False}},
        {"attention": {"n_heads_in_group": 4}, "ffn": {"ffn_mult": None, "no_op": True}},
    ],
}


def changed(fields: dict[str, Any], **others: Any) -> dict[str, Any]:
    return json.loads(json.dumps({**fields, **others}))


def test_openelm_grows_with_depth() -> None:
    architecture = SPACE.architecture("openelm", as_llama(OPENELM_270M))
    config = architecture.config
    assert config["d_ffn"][:5] == (768, 1024, 1280, 1536, 1792) and config["d_ffn"][-1] == 5120
    assert config["n_head"][0] == 12 and config["n_kv_head"][-1] == 5 and config["head_dim"] == 64
    D, blocks = 1280, zip(config["n_head"], config["n_kv_head"], config["d_ffn"], strict=True)
    wanted = sum(2 * D * 64 * (heads + shared) + 3 * D * inner + 2 * D for heads, shared, inner in blocks)
    assert SPACE.parameters(architecture).total == wanted + D + 32000 * D == 271_525_120


def test_mobilellm_ties_its_tables() -> None:
    block = 2 * 576 * 64 * (9 + 3) + 3 * 576 * 1536 + 2 * 576
    wanted = 30 * block + 576 + 32000 * 576
    for tied, more in ((True, 0), (False, 32000 * 576)):
        architecture = SPACE.architecture("m", as_llama(changed(MOBILELLM_125M, share_embedding=tied)))
        assert SPACE.parameters(architecture).total == wanted + more
    assert round(wanted / 1e6, 1) == 124.6


def test_nemotron_nas_leaves_out_halves_of_blocks() -> None:
    config = SPACE.architecture("nas", as_llama(NAS)).config
    assert config["n_head"] == (4, 0, 4) and config["n_kv_head"] == (2, 0, 1)
    assert config["d_ffn"] == (256, 512, 0) and config["rope_theta"] == 500000 and config["norm_eps"] == 1e-5


@pytest.mark.parametrize("fields", [NAS, OPENELM_270M])
def test_what_is_left_out_is_said(fields: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "zcp"):
        as_llama(fields)
    assert [r.getMessage().split(":")[0] for r in caplog.records] == [fields["model_type"]]


BLOCK = {"attention": {"n_heads_in_group": 2}, "ffn": {"ffn_mult": 1.0}}
BAD = {
    "sharing of a kind of its own": (changed(MOBILELLM_125M, layer_sharing="adjacent"), "layer_sharing"),
    "no depth": (changed(MOBILELLM_125M, num_hidden_layers=None), "num_hidden_layers"),
    "more blocks than there are": (changed(MOBILELLM_125M, num_hidden_layers=2_000_000_000), "num_hidden_layers"),
    "heads as a text": (changed(MOBILELLM_125M, num_attention_heads="9"), "num_attention_heads"),
    "a linear map for attention": (
        changed(NAS, block_configs=[{**BLOCK, "attention": {"replace_with_linear": True}}]),
        "replace_with_linear",
    ),
    "blocks that are no list": (changed(NAS, block_configs={"0": BLOCK}), "block_configs"),
    "a block that is no mapping": (changed(NAS, block_configs=[3]), r"block_configs\[0\].attention"),
    "a group of none": (
        changed(NAS, block_configs=[{**BLOCK, "attention": {"n_heads_in_group": 0}}]),
        "n_heads_in_group",
    ),
    "a width of nothing": (changed(NAS, block_configs=[{**BLOCK, "ffn": {"ffn_mult": -1}}]), "ffn_mult"),
    "a width of zero": (changed(NAS, block_configs=[{**BLOCK, "ffn": {"ffn_mult": 0}}]), "ffn_mult"),
    "a factor of zero": (changed(OPENELM_270M, ffn_multipliers=[0] * 16), "ffn_multipliers"),
    "an endless width": (changed(NAS, block_configs=[{**BLOCK, "ffn": {"ffn_mult": 1e300}}]), "ffn_mult"),
    "heads for other blocks": (changed(OPENELM_270M, num_kv_heads=[3] * 5), "n_kv_head"),
    "a factor that is true": (changed(OPENELM_270M, ffn_multipliers=[True] * 16), "ffn_multipliers"),
    "no gate": (changed(OPENELM_270M, ffn_with_glu=False), "ffn_with_glu"),
    "no step": (changed(OPENELM_270M, ffn_dim_divisor=0), "ffn_dim_divisor"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_field_that_the_space_cannot_have_is_named(case: str, tmp_path: Path) -> None:
    fields, wanted = BAD[case]
    (tmp_path / "config.json").write_text(json.dumps(fields))
    refused: list[Any] = []
    assert read_candidates([tmp_path / "config.json"], "llama", refused) == []
    assert len(refused) == 1 and "Traceback" not in refused[0].reason
    assert wanted.replace("\\", "") in refused[0].reason


def test_rank_lists_the_relatives_beside_a_llama(tmp_path: Path) -> None:
    small = changed(OPENELM_270M, model_dim=64, head_dim=16, num_query_heads=[4, 8], num_kv_heads=[1, 2])
    small |= {"ffn_multipliers": [0.5, 4.0], "ffn_dim_divisor": 16, "vocab_size": 300}
    mobile = changed(MOBILELLM_125M, num_hidden_layers=2, hidden_size=36, intermediate_size=48, vocab_size=300)
    for name, fields in {"elm": small, "mobile": mobile, "nas": changed(NAS, rope_scaling=None)}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(fields))
    folders = [tmp_path / name for name in ("elm", "mobile", "nas")]
    done = zcp("rank", *folders, "--space", "llama", "--bank", tmp_path / "bank")
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in ("elm", "mobile", "nas")) and "norms" in done.stderr
    assert set(RELATIVES) == {"openelm", "mobilellm", "nemotron-nas"}


@pytest.mark.parametrize("fields", [NAS, OPENELM_270M, MOBILELLM_125M], ids=lambda fields: fields["model_type"])
def test_unless_asked_for_a_network_of_its_own_code_is_refused(fields: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**fields, "auto_map": {"AutoConfig": "own.Config"}}))
    refused: list[Any] = []
    assert read_candidates([tmp_path / "config.json"], refused=refused) == []
    assert "code" in refused[0].reason and "did you mean" not in refused[0].reason
    assert refused[0].reason.endswith("; --space llama reads its sizes as those of LLaMA's blocks")
    assert len(read_candidates([tmp_path / "config.json"], "llama")) == 1


@pytest.mark.parametrize(
    ("size", "step", "wanted"), [(640.0, 256, 768), (11, 8, 16), (12, 8, 16), (9, 8, 16), (17, 8, 16), (3, 8, 8)]
)
def test_a_width_is_the_nearest_multiple_but_no_tenth_less(size: float, step: int, wanted: int) -> None:
    assert relatives._divisible(size, step) == wanted


@pytest.mark.parametrize(("factor", "wanted"), [(1.3125, 7168), (2.625, 14336), (0.5, 2816), (0.046875, 256)])
def test_a_multiplied_width_is_the_next_multiple_of_256(factor: float, wanted: int) -> None:
    assert relatives._multiplied({"ffn_mult": factor}, 8192, "ffn") == wanted


def test_what_a_file_leaves_out_is_as_its_family_has_it() -> None:
    def without(fields: dict[str, Any], *names: str) -> dict[str, Any]:
        return as_llama({name: value for name, value in fields.items() if name not in names})

    assert without(NAS, "rope_theta")["tied"] is False and without(NAS, "rope_theta")["rope_theta"] == 10_000
    assert without(MOBILELLM_125M, "share_embedding")["tied"] is False
    assert as_llama(changed(NAS, tie_word_embeddings=True))["tied"] is True
    assert without(OPENELM_270M, "share_input_output_layers")["tied"] is True
    assert as_llama(changed(OPENELM_270M, share_input_output_layers=False))["tied"] is False
    assert as_llama(changed(OPENELM_270M, rope_freq_constant=20_000))["rope_theta"] == 20_000
    assert as_llama(changed(OPENELM_270M, max_context_length=99))["tgt_len"] == 99
    assert {without(fields, "rms_norm_eps")["norm_eps"] for fields in (NAS, MOBILELLM_125M)} == {1e-5}
    assert as_llama(changed(NAS, rms_norm_eps=1e-6))["norm_eps"] == 1e-6


def test_as_many_blocks_are_listed_as_a_file_may_have() -> None:
    assert as_llama(changed(MOBILELLM_125M, num_hidden_layers=relatives.MOST))["n_layer"] == 1024
    assert len(as_llama(changed(NAS, block_configs=[BLOCK] * relatives.MOST))["n_head"]) == 1024
    for fields in (changed(MOBILELLM_125M, num_hidden_layers=1025), changed(NAS, block_configs=[BLOCK] * 1025)):
        with pytest.raises(BadArchitecture):
            as_llama(fields)


def test_a_long_name_of_a_scaling_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "zcp"):
        as_llama(changed(NAS, rope_scaling={"type": "x" * 99}))
        as_llama(changed(NAS, rope_scaling={"rope_type": "default"}))
    assert [r.getMessage().count("x") for r in caplog.records] == [40]


def test_heads_are_a_share_of_the_width_unless_it_is_said() -> None:
    assert as_llama(NAS)["head_dim"] == 64 and as_llama(changed(NAS, head_dim=32))["head_dim"] == 32
    assert as_llama(MOBILELLM_125M)["head_dim"] == 64 and as_llama(changed(MOBILELLM_125M, head_dim=8))["head_dim"] == 8
    assert {as_llama(changed(fields, **{name: 7}))["tgt_len"] for fields, name in LENGTHS} == {7}
    bare = [{n: v for n, v in fields.items() if n != name} for fields, name in LENGTHS]
    assert {as_llama(fields)["tgt_len"] for fields in bare} == {2048}


LENGTHS = [(OPENELM_270M, "max_context_length"), (MOBILELLM_125M, "max_position_embeddings")]


def test_sizes_have_a_range() -> None:
    for value in (1, 1 << 20):
        assert relatives._whole({"n": value}, "n") == value
    for bad in (0, (1 << 20) + 1, True, 2.0, None):
        with pytest.raises(BadArchitecture, match=r"^n: got .*, wanted a whole number from 1"):
            relatives._whole({"n": bad}, "n")
    with pytest.raises(BadArchitecture, match=r"^l: got \[\], wanted a list"):
        relatives._list({"l": []}, "l")
    assert relatives._list({"l": [0]}, "l") == [0]
    for fields in (changed(NAS, block_configs=[{**BLOCK, "ffn": {"ffn_mult": 64.5}}]),
                   changed(OPENELM_270M, ffn_multipliers=[64.5] * 16)):  # fmt: skip
        with pytest.raises(BadArchitecture, match="wanted a number above 0"):
            as_llama(fields)
    assert relatives._multiplied({"ffn_mult": 64}, 768, "ffn") == 32768
    assert relatives._divisible(10, 9) == 9  # nine tenths are enough
