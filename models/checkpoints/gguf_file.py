"""A LLaMA model in the GGUF format of llama.cpp, read with the package `gguf`: configuration, tensors and tokenizer
under Hugging Face's names. Quantised tensors become numbers again; what was lost by quantising stays lost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from storage.errors import WrongInput

if TYPE_CHECKING:
    from gguf import GGUFReader

__all__ = ["BadGguf", "GgufModel"]

NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
CONTROL = 3  # the kind of a token that no text contains, such as <|endoftext|>
SPLITS_DIGITS = "smollm"  # the one way of splitting a text that is read here: every digit alone, then as GPT-2 does


class BadGguf(WrongInput):
    """A GGUF file that cannot be turned into a checkpoint; the message names the field."""


class GgufModel:
    """An opened file; tensors are read when somebody asks for them."""

    def __init__(self, path: Path) -> None:
        try:
            from gguf import GGUFReader
        except ImportError:
            raise BadGguf(
                "the package gguf is missing, wanted to read a GGUF file; pip install -r requirements-checkpoint.txt"
            ) from None
        self.path = path
        self._reader: GGUFReader = GGUFReader(path)
        if (kind := self._field("general.architecture")) != "llama":
            raise BadGguf(f"{path}: general.architecture: got {kind!r}, wanted 'llama'")

    def config(self) -> dict[str, Any]:
        """The config.json of `LlamaForCausalLM`; the same bytes with every version of the library."""
        heads = self._field("llama.attention.head_count")
        return {
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": False,
            "bos_token_id": self._field("tokenizer.ggml.bos_token_id"),
            "eos_token_id": self._field("tokenizer.ggml.eos_token_id"),
            "head_dim": self._field("llama.rope.dimension_count"),
            "hidden_act": "silu",
            "hidden_size": self._field("llama.embedding_length"),
            "intermediate_size": self._field("llama.feed_forward_length"),
            "max_position_embeddings": self._field("llama.context_length"),
            "mlp_bias": False,
            "model_type": "llama",
            "num_attention_heads": heads,
            "num_hidden_layers": self._field("llama.block_count"),
            "num_key_value_heads": self._field("llama.attention.head_count_kv"),
            "rms_norm_eps": float(f"{self._field('llama.attention.layer_norm_rms_epsilon'):.6g}"),
            "rope_theta": float(self._field("llama.rope.freq_base")),
            "tie_word_embeddings": "output.weight" not in {tensor.name for tensor in self._reader.tensors},
            "vocab_size": len(self._field("tokenizer.ggml.tokens")),
        }

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Every tensor in float32, by Hugging Face's name."""
        from gguf.quants import dequantize

        heads = {
            "attn_q": self._field("llama.attention.head_count"),
            "attn_k": self._field("llama.attention.head_count_kv"),
        }
        for stored in self._reader.tensors:
            values = torch.from_numpy(dequantize(stored.data, stored.tensor_type).copy()).float()
            name, kind = _name(stored.name)
            yield name, _halves_together(values, heads[kind]) if kind in heads else values

    def tokenizer(self) -> dict[str, Any]:
        """The tokenizer.json of byte pairs."""
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers

        for field, wanted in (("tokenizer.ggml.model", "gpt2"), ("tokenizer.ggml.pre", SPLITS_DIGITS)):
            if (got := self._field(field)) != wanted:
                raise BadGguf(f"{self.path}: {field}: got {got!r}, wanted {wanted!r}")
        tokens = self._field("tokenizer.ggml.tokens")
        merges = [tuple(merge.split(" ")) for merge in self._field("tokenizer.ggml.merges")]
        made = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
        made.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        made.decoder = decoders.ByteLevel()
        kinds = zip(tokens, self._field("tokenizer.ggml.token_type"), strict=True)
        made.add_special_tokens([token for token, kind in kinds if kind == CONTROL])
        return json.loads(made.to_str())

    def tokenizer_config(self) -> Mapping[str, Any]:
        """The tokenizer_config.json, by which transformers knows how to load the tokenizer."""
        tokens = self._field("tokenizer.ggml.tokens")
        named = {
            name: tokens[self._field(f"tokenizer.ggml.{field}")]
            for name, field in (("bos_token", "bos_token_id"), ("eos_token", "eos_token_id"))
        }
        template = {"chat_template": self._field("tokenizer.chat_template")} if self._has_template() else {}
        return {"tokenizer_class": "PreTrainedTokenizerFast", **named, **template}

    def _has_template(self) -> bool:
        return "tokenizer.chat_template" in self._reader.fields

    def _field(self, name: str) -> Any:
        if (found := self._reader.fields.get(name)) is None:
            raise BadGguf(f"{self.path}: {name}: is missing, wanted a LLaMA model with its tokenizer")
        return found.contents()


def _name(stored: str) -> tuple[str, str]:
    """Hugging Face's name of a tensor, and what kind it is of: blk.3.attn_q.weight is
    model.layers.3.self_attn.q_proj.weight."""
    parts = stored.split(".")
    inside = parts[0] == "blk" and len(parts) == 4
    kind = parts[2] if inside else parts[0]
    if kind not in NAMES or parts[-1] != "weight":
        raise BadGguf(f"{stored}: got a tensor that LLaMA has not, wanted one of {', '.join(NAMES)}")
    return (f"model.layers.{parts[1]}." if inside else "") + NAMES[kind] + ".weight", kind


def _halves_together(values: torch.Tensor, heads: int) -> torch.Tensor:
    """A query or key map (heads * E, D) whose rotated pairs are neighbours, with the first of each pair in the first
    half of its head, as Hugging Face rotates them."""
    rows, width = values.shape
    return values.view(heads, rows // heads // 2, 2, width).transpose(1, 2).reshape(rows, width).contiguous()
