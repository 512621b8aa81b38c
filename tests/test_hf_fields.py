"""Configurations of Hugging Face as people write them: one network has one digest, what would be another network is
refused, and nothing is made before its size is known."""

from __future__ import annotations

import copy
import json
import logging
import re
from typing import Any

import pytest
import torch

from bench.science.families import ours, theirs, tiny
from fitness.features.collect import collect
from models.architecture import Architecture, BadArchitecture
from models.spaces import SPACES
from models.spaces.hf.fields import plain, read_numbers
from models.spaces.hf.sizes import check_sizes
from models.tokens import TokenBatch
from primitives import parse, score

SPACE = SPACES["hf"]
LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4,
    "num_key_value_heads": 2, "num_hidden_layers": 2, "vocab_size": 300, "max_position_embeddings": 64,
    "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "tie_word_embeddings": True,
}  # fmt: skip
QWEN = LLAMA | {"model_type": "qwen2"}
BERT = {"model_type": "bert", "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4,
        "num_hidden_layers": 2, "vocab_size": 300, "max_position_embeddings": 64}  # fmt: skip
GPT2 = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 300, "n_positions": 64}
BATCH = TokenBatch.from_passage(2, 24)
FORMULA = parse("sum[ product( frobenius_norm(W), frobenius_norm(G) ) ]")


def made(config: dict[str, Any], **more: Any) -> Architecture:
    return SPACE.architecture("x", {**config, **more})


def score_of(architecture: Architecture, build: str | None = None) -> float:
    found = score(FORMULA, collect(SPACE.build(architecture, 0, build), BATCH).blocks)
    assert isinstance(found, float)
    return found


SPELLINGS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (LLAMA, {"rope_theta": 10000}),
    (LLAMA, {"tokenizer_class": "LlamaTokenizer", "transformers_version": "4.31.0", "torch_dtype": "bfloat16"}),
    (LLAMA, {"attention_dropout": 0.1, "hidden_dropout": 0.3}),
    (LLAMA, {"bos_token_id": 5, "eos_token_id": [6, 7], "pad_token_id": 0, "sep_token_id": 9}),
    (LLAMA, {"pretraining_tp": 4, "use_cache": False, "head_dim": 8, "attention_bias": False, "mlp_bias": False}),
    (LLAMA, {"rope_scaling": None, "hidden_act": "silu"}),
    (LLAMA, {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}),
    (LLAMA, {"rope_scaling": {"type": "default"}}),
    (LLAMA, {"unsloth_version": "2024.9", "_flash_attn_2_enabled": True, "gradient_checkpointing": True}),
    (LLAMA, {"id2label": {"0": "A", "1": "B", "2": "C"}, "label2id": {"A": 0}, "num_labels": 3}),
    (LLAMA, {"vocab_size": 300.0, "num_hidden_layers": 2.0}),
    (LLAMA, {"num_heads": 4, "n_layers": 2, "share_embedding": True, "layer_sharing": False}),
    (LLAMA, {"quantization_config": {"bits": 4}, "architectures": ["X"], "auto_map": {"AutoConfig": "x.Y"}}),
    (QWEN, {"use_sliding_window": False, "sliding_window": 32, "max_window_layers": 1}),
    (QWEN, {"attention_dropout": 0.2, "rope_theta": 10000}),
    (BERT, {"layer_norm_eps": 1e-12, "type_vocab_size": 2, "hidden_dropout_prob": 0.5, "pad_token_id": 7}),
    (BERT, {"directionality": "bidi", "pooler_num_attention_heads": 12, "pooler_num_fc_layers": 3}),
    (GPT2, {"n_ctx": 64, "summary_type": "mean", "resid_pdrop": 0.0, "task_specific_params": {"a": {"b": 1}}}),
    (GPT2, {"n_inner": None, "embd_pdrop": 0.3, "num_key_value_heads": 4}),
]


@pytest.mark.parametrize(("config", "more"), SPELLINGS, ids=lambda value: ",".join(value)[:50])
def test_spellings_of_one_network_have_one_digest(config: dict[str, Any], more: dict[str, Any]) -> None:
    plain, other = made(config), made(config, **more)
    assert dict(plain.config) == dict(other.config) and plain.digest == other.digest
    again = SPACE.architecture("again", json.loads(json.dumps(dict(other.config))))
    assert again.digest == plain.digest


def test_the_score_of_a_network_is_the_same_under_all_spellings_of_its_file() -> None:
    wanted = score_of(made(LLAMA))
    spellings = [more for config, more in SPELLINGS if config is LLAMA]
    assert len(spellings) >= 10 and all(score_of(made(LLAMA, **more)) == wanted for more in spellings)


@pytest.mark.parametrize(
    "more",
    [{"rope_theta": 20000.0}, {"hidden_act": "gelu"}, {"tie_word_embeddings": False}, {"rms_norm_eps": 1e-6},
     {"attention_bias": True}, {"num_key_value_heads": 4}, {"max_position_embeddings": 128},
     {"rope_scaling": {"type": "linear", "factor": 2.0}}],
    ids=str,
)  # fmt: skip
def test_what_shapes_a_network_is_in_its_digest(more: dict[str, Any]) -> None:
    assert made(LLAMA, **more) != made(LLAMA)


@pytest.mark.parametrize("family", ["llama", "gpt_neo", "gemma3_text", "falcon", "codegen", "modernbert", "minicpm3"])
def test_the_checked_form_builds_the_network_of_the_file(family: str) -> None:
    mine, network = ours(tiny(family))
    assert mine.agrees(theirs(tiny(family), network))


@pytest.mark.parametrize(
    "family", ["gemma4_text", "deepseek_v32", "diffllama", "vaultgemma", "youtu", "starcoder2", "roberta"]
)
def test_counts_flops_and_loss_are_those_of_the_library(family: str) -> None:
    mine, network = ours(tiny(family))
    assert mine.agrees(theirs(tiny(family), network))


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (LLAMA, {"num_hidden_layer": 4}, "num_hidden_layer: got 4.*did you mean num_hidden_layers"),
    (LLAMA, {"layer_sharing": True}, "layer_sharing: got True"),
    (LLAMA, {"share_embedding": False, "cross_layer_sharing": "adjacent"}, "cross_layer_sharing: got adjacent"),
    (LLAMA, {"d_model": 64}, "d_model: got 64.*did you mean hidden_size"),
    (LLAMA, {"n_layer": 12}, "n_layer: got 12.*did you mean num_hidden_layers"),
    (LLAMA, {"hiden_size": 64}, "hiden_size: got 64.*did you mean hidden_size"),
    (LLAMA, {"num_kv_heads": 1}, "num_kv_heads: got 1.*did you mean num_key_value_heads"),
    (LLAMA, {"block_configs": [{"ffn": 1}]}, "block_configs: got"),
    (LLAMA, {"ffn_dim_multiplier": 1.3}, "ffn_dim_multiplier: got 1.3"),
    (BERT, {"num_key_value_heads": 2}, "num_key_value_heads: got 2"),
    (GPT2, {"d_inner": 64}, "d_inner: got 64.*did you mean n_inner"),
    (LLAMA, {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}}, "rope_theta: got 10000.*500000"),
    (LLAMA, {"rope_scaling": {"type": "linear", "rope_type": "dynamic", "factor": 2}}, "rope_scaling: type"),
    (LLAMA, {"rope_scaling": {"type": "linear", "factor": 2}, "rope_parameters": {"rope_type": "default"}}, "default"),
    (LLAMA, {"rope_scaling": {"type": "linear", "factor": 2}, "rope_parameters": {"type": "linear", "factor": 4}},
     "factor: got 4"),
    (LLAMA, {"rope_theta": 0}, "rope_theta: got '0', wanted a positive number"),
    (LLAMA, {"rope_scaling": {"type": "linear", "factor": -1.0}}, "factor: got '-1.0'"),
    (LLAMA, {"rms_norm_eps": {"__float__": "Infinity"}}, "rms_norm_eps: got inf, wanted a finite number"),
    ({**LLAMA, "model_type": "my-nas", "auto_map": {"AutoConfig": "a.B"}}, {}, "my-nas.*code of its own.*auto_map"),
    ({**LLAMA, "model_type": "llama5", "auto_map": {"AutoConfig": "a.B"}}, {}, "llama5.*code of its own"),
    ({**BERT, "model_type": "roberta"}, {"pad_token_id": 300}, "pad_token_id: got 300, wanted a whole number"),
    ({**BERT, "model_type": "camembert"}, {"pad_token_id": None}, "pad_token_id: got None, wanted a whole number"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "more", "message"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_would_be_another_network_is_refused_in_one_line(
    config: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadArchitecture, match=message) as caught:
        made(config, **more)
    text = str(caught.value)
    assert "\n" not in text and not ("auto_map" in config and "did you mean" in text)


@pytest.mark.parametrize(
    ("config", "more", "told"),
    [
        (LLAMA, {"n_ctx": 64, "my_note": 3}, ["my_note", "n_ctx"]),
        (GPT2, {"layer_norm_eps": 1e-5}, ["layer_norm_eps is no field of this family.*did you mean layer_norm_epsilon"]),
        (LLAMA, {"rope_scaling": {"type": "linear", "factor": 2.0, "facto": 3}}, ["llama: facto is no field of rotary positions"]),
        (LLAMA, {"num_heads": 4}, ["num_heads is no field.*did you mean num_attention_heads"]),
        (LLAMA, {"tokenizer_class": "T", "temperature": 0.7, "attn_pdrop": 0.1}, []),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_other_unknown_fields_are_named(
    config: dict[str, Any], more: dict[str, Any], told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "zcp.hf"):
        made(config, **more)
    found = sorted({record.getMessage() for record in caplog.records})
    assert len(found) == len(told)
    for line, part in zip(found, told, strict=True):
        assert re.search(part, line)


BOMBS: list[dict[str, Any]] = [
    {"model_type": "gpt_neo", "attention_types": [[["global"], 2_000_000_000]]},
    {"model_type": "gpt_neo", "attention_types": [[["global", "local"], 700], [["local"], 700]]},
    {"model_type": "gpt2", "n_positions": 30_000_000},
    {"model_type": "gpt_neo", "max_position_embeddings": 1_000_000},
    {"model_type": "codegen", "n_positions": 5_000_000},
    {"model_type": "distilbert", "max_position_embeddings": 1_000_000, "sinusoidal_pos_embds": True},
    {"model_type": "llama", "num_hidden_layers": 2_000_000_000},
    {"model_type": "gemma3", "text_config": {"num_hidden_layers": 2_000_000_000}},
    {"model_type": "llama", "intermediate_size": 2_000_000_000},
    {"model_type": "qwen2", "max_window_layers": 2_000_000_000},
]


@pytest.mark.parametrize(
    ("value", "said"),
    [(-(1 << 21), "got -2097152, wanted at most"), ([[["global"], -100_000]], "got 100,000 entries when written out")],
)
def test_sizes_are_bounded_below_zero_too(value: Any, said: str) -> None:
    with pytest.raises(BadArchitecture, match=f"attention_types: {said}"):
        check_sizes(value, "attention_types")


@pytest.mark.parametrize("sign", [1, -1])
def test_whole_numbers_that_a_float_cannot_hold_keep_their_kind(sign: int) -> None:
    near, far = sign * (1 << 52), sign * ((1 << 60) + 1)
    found = read_numbers({"near": "float", "far": "float"}, {"near": near, "far": far})
    assert (type(found["near"]), found["far"], type(found["far"])) == (float, far, int)
    assert [type(plain(float(x), "x")) for x in (near, far)] == [int, float]


@pytest.mark.parametrize("config", BOMBS, ids=str)
def test_a_size_beyond_memory_is_refused_before_anything_is_made(config: dict[str, Any]) -> None:
    with pytest.raises(BadArchitecture, match="wanted at most") as caught:
        SPACE.shape(SPACE.architecture("bomb", config))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "more", [{"num_labels": 2_000_000_000}, {"id2label": {str(i): "x" for i in range(3)}, "num_labels": 10**9}]
)
def test_labels_build_nothing(more: dict[str, Any]) -> None:
    assert made(LLAMA, **more) == made(LLAMA)
    text = {"model_type": "gemma3_text", **{k: v for k, v in LLAMA.items() if k != "model_type"}, "head_dim": 8}
    whole = SPACE.architecture("x", {"model_type": "gemma3", "text_config": text | more, "num_labels": 10**9})
    assert whole == SPACE.architecture("x", text)


def test_infinities_of_the_library_itself_are_no_fault_of_the_file() -> None:
    hybrid = LLAMA | {"model_type": "falcon_h1", "head_dim": 8, "mamba_d_ssm": 32, "mamba_n_heads": 4,
                      "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1}  # fmt: skip
    plain = made(hybrid)
    assert made(hybrid, time_step_limit=[0.0, {"__float__": "Infinity"}]) == plain
    with pytest.raises(BadArchitecture, match="falcon_h1: .*mamba.*of no linear map"):
        SPACE.shape(plain)


@pytest.mark.parametrize(
    "scaling",
    [{"type": "dynamic", "factor": 2.0}, {"rope_type": "dynamic", "factor": 4.0}, {"type": "linear", "factor": 2.0},
     {"rope_type": "yarn", "factor": 2.0},
     {"rope_type": "longrope", "factor": 2.0, "short_factor": [1.0] * 4, "long_factor": [2.0] * 4},
     {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
      "original_max_position_embeddings": 32}],
    ids=str,
)  # fmt: skip
def test_every_scaling_of_rotary_positions_is_traced_and_run(scaling: dict[str, Any]) -> None:
    scaled = made(LLAMA, rope_scaling=scaling)
    assert SPACE.multiply_adds(scaled, 24) == SPACE.multiply_adds(made(LLAMA), 24)
    assert torch.isfinite(torch.tensor(score_of(scaled)))


def test_dynamic_scaling_of_a_network_too_large_to_run_is_counted() -> None:
    large = SPACE.architecture("7b", {"model_type": "llama", "rope_scaling": {"type": "dynamic", "factor": 2.0}})
    assert SPACE.shape(large) == (32, 4096) and SPACE.parameters(large).total == 6_738_415_616


@pytest.mark.parametrize(
    ("family", "down"), [("gemma4_text", "mlp.down_proj"), ("llama", "mlp.down_proj"), ("phi3", "mlp.down_proj")]
)
def test_activations_are_those_of_the_ffn_here_and_in_the_exported_module(family: str, down: str) -> None:
    from report.portable.torch_taps import inputs_of

    model: Any = SPACE.build(SPACE.architecture(family, tiny(family)), 0)
    seen: dict[str, torch.Tensor] = {}
    for block in model.layout.blocks:
        assert block.down == f"{block.block}.{down}"
        model._named[block.down].register_forward_pre_hook(
            lambda m, given, name=block.block: seen.update({name: given[0].detach().flatten(0, -2)})
        )
    found = collect(model, BATCH).blocks
    exported = inputs_of(copy.deepcopy(model.model), BATCH.tokens) if family == "llama" else None
    for index, (block, name) in enumerate(zip(found, seen, strict=True)):
        assert torch.equal(block["A"][0], seen[name]) and seen[name].shape[1] == 48
        assert exported is None or torch.equal(exported[index]["A"][0], seen[name])


def test_the_exported_module_takes_the_activations_of_the_ffn_of_gemma4() -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    from report.portable.torch_taps import inputs_of

    fields = {name: value for name, value in tiny("gemma4_text").items() if name != "model_type"}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("gemma4_text", **fields))
    blocks = inputs_of(model, BATCH.tokens)
    assert [tuple(block["A"][0].shape) for block in blocks] == [(48, 48)] * 2


def test_activations_of_gemma3n_are_those_of_the_ffn_here_and_in_the_exported_module() -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    from report.portable.torch_taps import inputs_of

    config = tiny("gemma3n_text")
    model: Any = SPACE.build(SPACE.architecture("a", config), 0)
    assert [block.down for block in model.layout.blocks] == [f"model.layers.{i}.mlp.down_proj" for i in range(4)]
    fields = {name: value for name, value in config.items() if name != "model_type"}
    library = AutoModelForCausalLM.from_config(AutoConfig.for_model("gemma3n_text", **fields))
    for blocks in (collect(model, BATCH).blocks, inputs_of(library, BATCH.tokens)):
        assert [tuple(block["A"][0].shape) for block in blocks] == [(48, 48)] * 4


@pytest.mark.parametrize(
    ("family", "changed"),
    [
        ("gemma3n_text", {"num_kv_shared_layers": 1}),
        ("minicpm3", {"dim_model_base": 8}),
        ("jamba", {"attn_layer_period": 2, "attn_layer_offset": 1}),
    ],
)
def test_a_field_that_a_property_of_the_configuration_reads_shapes_the_network(
    family: str, changed: dict[str, Any]
) -> None:
    plain = tiny(family)
    assert made(plain | changed).digest != made(plain).digest


def test_attention_that_is_called_twice_in_a_block_shows_its_weights_once_and_what_the_last_map_reads() -> None:
    model: Any = SPACE.build(SPACE.architecture("d", tiny("diffllama")), 0)
    for _ in range(2):
        blocks = collect(model, BATCH).blocks
        assert [(len(b["S"]), tuple(b["S"][0].shape), tuple(b["H"][0].shape)) for b in blocks] == [
            (1, (8, 24, 24), (48, 32))
        ] * 2
