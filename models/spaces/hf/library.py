"""Networks of Hugging Face's library, made so that attention can be watched.

No family has a line of its own: attention goes through a function that is registered with the library
(`transformers.AttentionInterface`). Three families compute it themselves and are watched by what they put out.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, AutoModel, AutoModelForCausalLM
from transformers.masking_utils import eager_mask
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

__all__ = ["TAP", "attend", "by_output", "is_decoder", "make", "run"]

TAP = "zcp_tap"
BY_OUTPUT = ("falcon", "gptj", "gpt_neo")  # checked: attention of their own, which gives out its weights


def is_decoder(config: PretrainedConfig) -> bool:
    """True if the family predicts next tokens; what fills in masked ones is an encoder unless it says otherwise."""
    family = config.model_type
    causal = family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    return causal and (family not in MODEL_FOR_MASKED_LM_MAPPING_NAMES or bool(getattr(config, "is_decoder", False)))


def by_output(config: PretrainedConfig) -> bool:
    """True if S is read from what the attention modules put out."""
    return config.model_type in BY_OUTPUT


def make(config: PretrainedConfig) -> PreTrainedModel:
    """The library's network in float32 and eval mode, with attention that can be watched."""
    AttentionInterface.register(TAP, attend)
    AttentionMaskInterface.register(TAP, eager_mask)
    maker = AutoModelForCausalLM if is_decoder(config) else AutoModel
    attention = "eager" if by_output(config) else TAP
    return maker.from_config(config, attn_implementation=attention, dtype=torch.float32).eval()


def run(model: PreTrainedModel, **given: torch.Tensor) -> Any:
    """One forward pass of what `make` made: logits of a decoder, last hidden state of an encoder."""
    more = {"output_attentions": True} if by_output(model.config) else {}
    if is_decoder(model.config):
        more["use_cache"] = False
    return model(**given, **more)


def attend(module: nn.Module, query: torch.Tensor, *given: Any, **more: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The family's own eager attention, which lies in the module's file; what it puts out, heads (B, T, K, E) and
    weights (B, K, T, T), goes by the module's `zcp_tap` if it has one."""
    eager = sys.modules[type(module).__module__].eager_attention_forward
    heads, weights = eager(module, query, *given, **more)
    if (tap := module.__dict__.get(TAP)) is not None:
        tap(heads.flatten(2), weights, query.transpose(1, 2).flatten(2))
    return heads, weights
