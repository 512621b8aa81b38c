"""A tiny LLaMA checkpoint with a tokenizer of its own, made without our code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

SIZES: dict[str, Any] = {
    "hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 6, "num_key_value_heads": 3, "head_dim": 4,
    "intermediate_size": 40, "vocab_size": 300, "max_position_embeddings": 256, "rms_norm_eps": 1e-5,
    "rope_theta": 10_000.0, "tie_word_embeddings": True,
}  # fmt: skip
MERGES = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("i", "n"), ("Ġ", "a"), ("e", "r")]


def tokenizer() -> Tokenizer:
    """Bytes and a few pairs of them."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *("".join(pair) for pair in MERGES)]
    made = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, MERGES))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def network() -> LlamaForCausalLM:
    """A library's network whose units differ in size, so that their order is clear."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SIZES, attn_implementation="eager")).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.mul_(torch.linspace(0.8, 1.2, len(parameter)))
            else:
                parameter.mul_(torch.linspace(2.0, 12.0, len(parameter))[torch.randperm(len(parameter))][:, None])
    return model


def write(folder: Path) -> Path:
    """The folder of the checkpoint."""
    network().save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"))
    return folder
