"""Checkpoints that the installed transformers saves, family by family: every tensor that formulas read is the one that
`from_pretrained` gives, whatever the file calls it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMaskedLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from models.architecture import Architecture
from models.spaces import SPACES, WEIGHTED
from models.spaces.checkpoint import BadWeights, Checkpoint

SIZES: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    "intermediate_size": 48, "vocab_size": 260, "max_position_embeddings": 64, "n_embd": 32, "n_layer": 2, "n_head": 4,
    "n_positions": 64, "d_model": 32, "n_heads": 4, "n_layers": 2, "ffn_dim": 48, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2,
}  # fmt: skip
RENAMED = ("gpt_neox", "exaone", "flint", "gte", "jina_embeddings_v3", "nomic_bert")
DECODERS = (
    *RENAMED[:3], "apertus", "arcee", "bert-generation", "biogpt", "bitnet", "cohere", "falcon", "gemma", "gemma2",
    "gemma3_text", "glm", "glm4", "gpt2", "gpt_bigcode", "granite", "llama", "mistral", "modernbert-decoder",
    "nemotron", "olmo", "olmo2", "opt", "phi", "phi3", "qwen2", "qwen3", "smollm3", "stablelm", "starcoder2",
)  # fmt: skip
MASKED = (
    *RENAMED[3:], "bert", "camembert", "data2vec-text", "distilbert", "electra", "ernie", "eurobert", "modernbert",
    "roberta", "roberta-prelayernorm", "xlm-roberta",
)  # fmt: skip
FAMILIES = [*((f, AutoModelForCausalLM) for f in DECODERS), *((f, AutoModelForMaskedLM) for f in MASKED)]


def tiny(family: str) -> dict[str, Any]:
    """Those of SIZES that the family has, by any of its names."""
    if family not in CONFIG_MAPPING_NAMES:
        pytest.skip(f"the installed transformers has no {family}")
    config = AutoConfig.for_model(family)
    known = config.to_dict().keys() | config.attribute_map.keys()
    return {"model_type": family, **{key: value for key, value in SIZES.items() if key in known}}


def saved(model: Any, folder: Path, **more: Any) -> Any:
    """A model in a folder, each of its numbers drawn, so that no two tensors are alike."""
    torch.manual_seed(5)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.normal_()
    model.save_pretrained(folder, **more)
    return model


def network(config: dict[str, Any], folder: Path) -> Any:
    """The library's network inside ours, filled from a checked checkpoint."""
    architecture, found = SPACES["hf"].architecture("net", config), Checkpoint.open(folder)
    WEIGHTED["hf"].check_weights(architecture, found)
    loaded: Any = WEIGHTED["hf"].loaded(architecture, found)
    return loaded.model


def assert_same(found: Any, wanted: Any) -> None:
    """All tensors but those of a pooler, which no formula reads."""
    ours, theirs = found.state_dict(), wanted.state_dict()
    assert ours.keys() == theirs.keys()
    assert [name for name in theirs if "pooler" not in name and not torch.equal(ours[name], theirs[name])] == []


@pytest.mark.parametrize(("family", "maker"), FAMILIES, ids=[family for family, _ in FAMILIES])
def test_what_the_library_saves_is_read_as_the_library_reads_it(family: str, maker: Any, tmp_path: Path) -> None:
    config = tiny(family)
    saved(maker.from_config(AutoConfig.for_model(**config), dtype=torch.float32), tmp_path)
    reader: Any = AutoModel if maker is AutoModelForMaskedLM else maker
    assert_same(network(config, tmp_path), reader.from_pretrained(tmp_path, dtype=torch.float32))


@pytest.mark.parametrize("family", ["gpt_neox", "nomic_bert", "bert"])
def test_shards_and_half_precision_of_a_family_are_read(family: str, tmp_path: Path) -> None:
    config, maker = tiny(family), AutoModelForCausalLM if family in DECODERS else AutoModel
    model = maker.from_config(AutoConfig.for_model(**config), dtype=torch.bfloat16)
    saved(model, tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    assert_same(network(config, tmp_path), maker.from_pretrained(tmp_path, dtype=torch.float32))


VISION = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2, "image_size": 32, "patch_size": 16,
          "intermediate_size": 64}  # fmt: skip
WHOLES: dict[str, tuple[str, dict[str, Any]]] = {
    "llava": ("llama", {"vision_config": {"model_type": "clip_vision_model", **VISION}, "image_token_index": 255}),
    "llava with qwen2": ("qwen2", {"vision_config": {"model_type": "clip_vision_model", **VISION},
                                   "image_token_index": 255}),
    "llava with gpt_neox": ("gpt_neox", {"vision_config": {"model_type": "clip_vision_model", **VISION},
                                         "image_token_index": 255, "tie_word_embeddings": False}),
    "gemma3": ("gemma3_text", {"vision_config": {"model_type": "siglip_vision_model", **VISION},
                               "mm_tokens_per_image": 4}),
    "paligemma": ("gemma", {"vision_config": {"model_type": "siglip_vision_model", **VISION, "projection_dim": 32},
                            "projection_dim": 32, "hidden_size": 32}),
    "mistral3": ("mistral", {"vision_config": {"model_type": "pixtral", "head_dim": 16, **VISION}}),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLES)
def test_the_text_part_of_a_model_of_several_parts_is_read(name: str, tmp_path: Path) -> None:
    family, parts = WHOLES[name]
    whole = AutoConfig.for_model(name.split()[0], text_config=tiny(family), **parts)
    model = saved(AutoModelForImageTextToText.from_config(whole, dtype=torch.float32), tmp_path)
    found = network(json.loads((tmp_path / "config.json").read_text()), tmp_path)
    base, text = found.base_model.state_dict(), model.model.language_model.state_dict()
    assert base.keys() == text.keys() and all(torch.equal(base[key], text[key]) for key in text)
    assert torch.equal(found.get_output_embeddings().weight, model.get_output_embeddings().weight)


def rewrite(folder: Path, edit: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    path = folder / "model.safetensors"
    save_file({name: tensor.clone() for name, tensor in edit(load_file(path)).items()}, path)


WRAPPED: dict[str, Callable[[str], str]] = {
    "compiled": lambda name: f"_orig_mod.{name}",
    "data parallel": lambda name: f"module.{name}",
    "compiled, then parallel": lambda name: f"module._orig_mod.{name}",
    "parallel, then compiled": lambda name: f"_orig_mod.module.{name}",
    "compiled block by block": lambda name: name.replace(".self_attn.", "._orig_mod.self_attn.", 1),
    "sharded by torch": lambda name: name.replace("model.", "model._fsdp_wrapped_module.", 1),
    "inside a trainer": lambda name: f"student.network.{name}",
    "the base alone": lambda name: name.removeprefix("model."),
}


@pytest.mark.parametrize("space", ["llama", "hf"])
@pytest.mark.parametrize("wrapper", WRAPPED)
def test_names_that_wrappers_leave_are_read(wrapper: str, space: str, tmp_path: Path) -> None:
    config = tiny("llama")
    model = saved(AutoModelForCausalLM.from_config(AutoConfig.for_model(**config), dtype=torch.float32), tmp_path)
    rewrite(tmp_path, lambda tensors: {WRAPPED[wrapper](name): tensor for name, tensor in tensors.items()})
    if space == "hf":
        assert_same(network(config, tmp_path), model)
        return
    found = Checkpoint.open(tmp_path)
    WEIGHTED["llama"].check_weights(llama_of(config), found)
    ours: dict[str, Any] = WEIGHTED["llama"].loaded(llama_of(config), found).state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in model.state_dict().items())


def llama_of(config: dict[str, Any]) -> Architecture:
    """The same network in the space `llama`."""
    fields = {"n_head": [4] * 2, "n_kv_head": [2] * 2, "d_ffn": [48] * 2}
    return SPACES["llama"].architecture("net", {"n_layer": 2, "d_model": 32, "n_token": 260, "tgt_len": 64, **fields})


def elsewhere(name: str) -> str:
    """The names that transformers 5.4 saves."""
    return name.replace("language_model.model.", "model.language_model.model.")


@pytest.mark.parametrize("heads", [1, 2])
def test_an_output_map_behind_another_prefix_is_read_if_it_is_the_only_one(heads: int, tmp_path: Path) -> None:
    family, parts = WHOLES["llava"]
    whole = AutoConfig.for_model("llava", text_config=tiny(family), **parts)
    model = saved(AutoModelForImageTextToText.from_config(whole, dtype=torch.float32), tmp_path)
    more = {"speech.lm_head.weight": model.lm_head.weight.detach()} if heads == 2 else {}
    rewrite(tmp_path, lambda tensors: {**{elsewhere(name): tensor for name, tensor in tensors.items()}, **more})
    config = json.loads((tmp_path / "config.json").read_text())
    if heads == 1:
        assert torch.equal(network(config, tmp_path).get_output_embeddings().weight, model.lm_head.weight)
        return
    with pytest.raises(BadWeights, match="not in the checkpoint"):
        network(config, tmp_path)


def masked_bert(folder: Path) -> tuple[dict[str, Any], Any]:
    config = tiny("bert")
    return config, saved(AutoModelForMaskedLM.from_config(AutoConfig.for_model(**config), dtype=torch.float32), folder)


def test_norms_of_old_files_are_read(tmp_path: Path) -> None:
    config, model = masked_bert(tmp_path)
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    rewrite(tmp_path, lambda tensors: {
        name.replace(end, old[end]) if (end := ".".join(name.split(".")[-2:])) in old else name: tensor
        for name, tensor in tensors.items()
    })  # fmt: skip
    assert any(name.endswith("gamma") for name in load_file(tmp_path / "model.safetensors"))
    found = network(config, tmp_path).state_dict()
    assert all(torch.equal(found[n], t) for n, t in model.base_model.state_dict().items() if "pooler" not in n)


EXTRA = {
    "positions": torch.arange(64)[None],
    "a mask": torch.ones(8, 8, dtype=torch.bool).tril(),
    "bytes": torch.zeros(3, dtype=torch.uint8),
    "eight bits": torch.zeros(4).to(torch.float8_e4m3fn),
    "nothing": torch.empty(0, dtype=torch.int32),
}


@pytest.mark.parametrize("what", EXTRA)
def test_tensors_that_no_network_needs_may_be_of_any_kind(what: str, tmp_path: Path) -> None:
    config, _ = masked_bert(tmp_path)
    before = network(config, tmp_path).state_dict()
    rewrite(tmp_path, lambda tensors: {**tensors, "bert.embeddings.more": EXTRA[what]})
    after = network(config, tmp_path).state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before if "pooler" not in name)


def test_a_pooler_that_is_there_is_read(tmp_path: Path) -> None:
    config = tiny("bert")
    model = saved(AutoModel.from_config(AutoConfig.for_model(**config), dtype=torch.float32), tmp_path)
    assert torch.equal(network(config, tmp_path).pooler.dense.weight, model.pooler.dense.weight)


def quantised(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": {"quant_method": "fp8"}}))


NORM = "model.norm.weight"
REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no norm": (lambda f: rewrite(f, lambda t: {n: x for n, x in t.items() if n != NORM}), f"{NORM}: not in the check"),
    "whole numbers": (lambda f: rewrite(f, lambda t: {**t, NORM: torch.ones(32, dtype=torch.int64)}),
                      f"{NORM}: dtype: got 'I64', wanted one of F64, F32, F16, BF16; convert the checkpoint"),
    "eight bits": (lambda f: rewrite(f, lambda t: {**t, NORM: torch.ones(32).to(torch.float8_e4m3fn)}),
                   f"{NORM}: dtype: got 'F8_E4M3', wanted one of F64"),
    "a wrapper, no norm": (lambda f: rewrite(f, lambda t: {f"module.{n}": x for n, x in t.items() if n != NORM}),
                           "not in the checkpoint, but net has it"),
    "two networks": (lambda f: rewrite(f, lambda t: {f"{p}.{n}": x for p in ("teacher", "student")
                                                     for n, x in t.items()}),
                     "got the network 2 times, behind student. and teacher.; save the one that is wanted alone"),
    "quantised": (quantised, "quantization_config: got {'quant_method': 'fp8'}, wanted none; save the plain weights"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_read_is_refused_in_one_line(what: str, tmp_path: Path) -> None:
    spoil, message = REFUSED[what]
    config = tiny("llama")
    saved(AutoModelForCausalLM.from_config(AutoConfig.for_model(**config), dtype=torch.float32), tmp_path)
    spoil(tmp_path)
    with pytest.raises(BadWeights) as caught:
        network(config, tmp_path)
    assert message in str(caught.value) and str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", ["lm_head.weight", "model.embed_tokens.weight"])
def test_a_tied_table_is_read_by_either_name(kept: str, tmp_path: Path) -> None:
    config = {**tiny("llama"), "tie_word_embeddings": True}
    model = saved(AutoModelForCausalLM.from_config(AutoConfig.for_model(**config), dtype=torch.float32), tmp_path)
    rewrite(tmp_path, lambda t: {kept if n == "model.embed_tokens.weight" else n: x for n, x in t.items()})
    assert_same(network(config, tmp_path), model)


def test_tied_tables_that_differ_are_refused(tmp_path: Path) -> None:
    config = {**tiny("llama"), "tie_word_embeddings": True}
    saved(AutoModelForCausalLM.from_config(AutoConfig.for_model(**config), dtype=torch.float32), tmp_path)
    table = "model.embed_tokens.weight"
    rewrite(tmp_path, lambda t: {**t, "lm_head.weight": t[table]})
    network(config, tmp_path)
    rewrite(tmp_path, lambda t: {**t, "lm_head.weight": t[table] + 1})
    with pytest.raises(BadWeights, match="got tensors that differ, but config.json ties them; set tie_word_embeddings"):
        network(config, tmp_path)
