"""The stand-alone module finds the library's model inside torch's wrappers, and says what it cannot score."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from report.portable.torch_taps import unwrapped

SIZES = {"n_embd": 8, "n_layer": 1, "n_head": 1, "vocab_size": 64, "n_positions": 16}


def model(**changes: Any) -> Any:
    return AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt2", **SIZES | changes))


class Holder(nn.Module):
    """A wrapper of a user's own, whose part is called `module` as well."""

    def __init__(self, module: nn.Module, **more: Any) -> None:
        super().__init__()
        self.module = module
        for name, value in more.items():
            setattr(self, name, value)


def test_wrappers_of_torch_are_taken_off() -> None:
    inside = model()
    for wrapped in (
        inside,
        nn.DataParallel(inside),
        torch.compile(inside),
        torch.compile(nn.DataParallel(inside)),
        nn.DataParallel(torch.compile(inside)),  # type: ignore[arg-type]
        Holder(inside),
    ):
        assert unwrapped(wrapped) is inside
    assert unwrapped(AutoModel.from_config(inside.config)).config is inside.config


def refused(given: Any) -> str:
    with pytest.raises(ValueError, match="got ") as caught:
        unwrapped(given)
    return str(caught.value)


def test_what_is_no_model_of_the_library_is_named() -> None:
    wanted = "wanted a model of Hugging Face's transformers"
    assert refused(3) == f"got int, {wanted}" and refused(nn.Linear(2, 2)) == f"got Linear, {wanted}"
    assert refused(Holder(nn.Linear(2, 2))) == f"got Linear, {wanted}"
    assert refused(Holder(model(), config=SimpleNamespace())) == f"got Holder, {wanted}"


def test_a_model_that_cannot_be_scored_says_why() -> None:
    with torch.device("meta"):
        empty = model()
    assert refused(empty) == "got GPT2LMHeadModel without layers or without weights, wanted one model of text"
    parts = model()
    parts.transformer.h[0] = torch.compile(parts.transformer.h[0])
    assert refused(parts) == "got a model with compiled parts, wanted it as it was before torch.compile"
    pair = model()
    pair.config.is_encoder_decoder = True
    assert refused(pair) == "got GPT2LMHeadModel, an encoder with a decoder, wanted one of them"
