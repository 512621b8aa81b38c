"""Fields that a Hugging Face family does not have: the library drops them without a word, so they are named here, and
refused where they would say how deep or wide a network is, how many heads it has, or which weights are shared."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from models.architecture import BadArchitecture
from models.spaces.hf.fields import FamilyFields, is_noise
from storage.datum import is_number, is_whole

__all__ = ["known_fields"]

log = logging.getLogger("zcp.hf")
log.addHandler(logging.NullHandler())  # silent, unless the program that uses it listens

# What other dialects call the library's fields.
DIALECT = {
    "d_model": "hidden_size", "n_embd": "hidden_size", "dim": "hidden_size", "model_dim": "hidden_size",
    "embed_dim": "hidden_size", "width": "hidden_size",
    "n_layer": "num_hidden_layers", "n_layers": "num_hidden_layers", "num_layers": "num_hidden_layers",
    "depth": "num_hidden_layers", "num_blocks": "num_hidden_layers",
    "n_head": "num_attention_heads", "n_heads": "num_attention_heads", "num_heads": "num_attention_heads",
    "n_kv_head": "num_key_value_heads", "n_kv_heads": "num_key_value_heads", "num_kv_heads": "num_key_value_heads",
    "n_head_kv": "num_key_value_heads", "multi_query": "num_key_value_heads",
    "d_ffn": "intermediate_size", "d_ff": "intermediate_size", "ffn_dim": "intermediate_size",
    "hidden_dim": "intermediate_size", "ffn_hidden_size": "intermediate_size", "d_inner": "intermediate_size",
    "n_inner": "intermediate_size", "ffn_size": "intermediate_size",
    "share_embedding": "tie_word_embeddings", "share_embeddings": "tie_word_embeddings",
    "tied": "tie_word_embeddings", "weight_tying": "tie_word_embeddings", "tie_embeddings": "tie_word_embeddings",
    "share_input_output_embeddings": "tie_word_embeddings",
}  # fmt: skip
SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "head_dim",
)
SIZE_WORDS = frozenset((
    "layer", "layers", "depth", "block", "blocks", "hidden", "width", "embd", "head", "heads", "kv", "ffn", "mlp",
    "inner", "intermediate", "expert", "experts",
))  # fmt: skip
SHARING_WORDS = frozenset((
    "share", "shared", "sharing", "tie", "tied", "tying", "recurrent", "recurrence", "repeat", "repeats", "loop",
    "loops",
))  # fmt: skip
ASIDE = re.compile(  # other parts of a model, and what sizes nothing
    r"(pooler|vision|image|audio|classifier|head_dropout|cls|mtp|lora|quant|cache)_.*|.*(eps|epsilon|norm|init|std|bias)"
    r"|num_nextn_predict_layers|.*_to_.*|max_window_layers|.*(version|name|class|path|(?<!f)fn|act|function|type|types)"
)
METADATA = re.compile(  # what tools write, and generation settings of older files
    r"(transformers\.?js|unsloth|flash|use_flash|base_model|torch|gguf|onnx|trainer)\w*|"
    r"model_(name|id|max_length)|\w*_(version|date|license|author|tags)|prefix|finetuning_task|temperature|top_k|top_p|"
    r"do_sample|num_beams|num_beam_groups|num_return_sequences|diversity_penalty|encoder_no_repeat_ngram_size|"
    r"no_repeat_ngram_size|(min|max)_length|length_penalty|repetition_penalty|early_stopping|bad_words_ids|typical_p|"
    r"remove_invalid_values|exponential_decay_length_penalty|suppress_tokens|begin_suppress_tokens|"
    r"return_dict_in_generate|pruned_heads|tie_encoder_decoder|cross_attention_hidden_size|tf_legacy_loss|use_bfloat16|"
    r"is_decoder|add_cross_attention"
)


def known_fields(family: str, fields: FamilyFields, given: Mapping[str, Any], refuse: bool = True) -> dict[str, Any]:
    """The fields of a family among the given ones, without noise. A line for each other one; BadArchitecture for one
    that would size the network, unless told not to `refuse`."""
    found = {name: value for name, value in given.items() if not is_noise(name)}
    for name in sorted(found.keys() - fields.known):
        value = found.pop(name)
        if METADATA.fullmatch(name):
            continue
        near = nearest(name, fields)
        hint = f"; did you mean {near}?" if near else ""
        if refuse and _sizes(name, value, near) and not _said_already(name, value, near, fields, given):
            raise BadArchitecture(
                f"{name}: got {str(value)[:40]}, but {family} has no such field, so the network would be another one"
                f"{hint or '; remove it'}"
            )
        log.warning("%s: %s is no field of this family and is ignored%s", family, name, hint)
    return found


def nearest(name: str, fields: FamilyFields) -> str | None:
    """The field of the family that a name means, as another dialect calls it or misspelt; None if nothing is near."""
    lower = name.lower()
    meaning = DIALECT.get(lower, lower)
    for other in (meaning, *(spelt for spelt, means in DIALECT.items() if means == meaning)):
        if other in fields.declared or other in fields.aliases:
            return fields.aliases.get(other, other)
    return next(iter(get_close_matches(name, sorted({*fields.declared, *fields.aliases}), cutoff=0.8)), None)


def _sizes(name: str, value: Any, near: str | None) -> bool:
    """True if a field would size the network or share weights."""
    words = set(re.split(r"[_\W]+|(?<=[a-z])(?=[A-Z])", name.lower()))
    if value is None or value is False or value in ("", [], {}) or is_noise(name):
        return False
    if words & SHARING_WORDS or near == "tie_word_embeddings":
        return True
    counts = is_whole(value) or isinstance(value, list | tuple | Mapping)
    if ASIDE.fullmatch(name) and name.lower() not in DIALECT:
        return False
    if near in SIZES or DIALECT.get(str(near), near) in SIZES or DIALECT.get(name.lower(), name.lower()) in SIZES:
        return counts or is_number(value)
    return bool(words & SIZE_WORDS) and (counts or name.endswith(("ratio", "multiplier")))


def _said_already(name: str, value: Any, near: str | None, fields: FamilyFields, given: Mapping[str, Any]) -> bool:
    """True if the field that is meant is there as well, and says the same. A family without grouped heads has as many
    of keys and values as of queries."""
    names = {near, *(alias for alias, own in fields.aliases.items() if own == near)}
    if DIALECT.get(name.lower(), name) == "num_key_value_heads" and near is None:
        names = {"num_attention_heads", *(spelt for spelt, means in DIALECT.items() if means == "num_attention_heads")}
    return any(other in given and given[other] == value for other in names if other)
