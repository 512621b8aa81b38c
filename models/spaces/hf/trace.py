"""Trace of a pass through a Hugging Face network: attention modules, linear maps and their inputs, in call order.

The pass runs on the device `meta`, without memory or numbers. Where the library branches on a number of a tensor, such
as the largest position, it is answered 0; where that is not enough, a network that is small runs on the CPU.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers.pytorch_utils import Conv1D

from models.spaces.hf.config import LIBRARY_FAULTS
from models.spaces.hf.library import TAP, by_output, make, run
from models.spaces.shapes import Answers

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

__all__ = ["LENGTH", "Trace", "block_name", "is_map", "trace"]

LENGTH = 3  # tokens of the pass
MOST_RUN = 1 << 27  # parameters of a network that is run on the CPU


@dataclass
class Trace:
    """Record of a pass, in order. By block: its attention module, the heads that it put out first, the width of its
    queries, and the multiply-adds of attention for a pair of tokens. By linear map: what it read first, and how often
    it was called. `runs`: how often each other module was called. `flops`: what torch counts inside each module."""

    attentions: dict[str, str] = field(default_factory=dict)
    heads: dict[str, torch.Tensor | None] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)
    pairs: Counter[str] = field(default_factory=Counter)
    maps: dict[str, torch.Tensor] = field(default_factory=dict)
    runs: Counter[str] = field(default_factory=Counter)
    flops: dict[str, int] = field(default_factory=dict)


def trace(model: PreTrainedModel, config: PretrainedConfig, length: int = LENGTH) -> Trace:
    """One pass of a few tokens through a network on the device `meta`."""
    tokens = torch.empty(1, length, dtype=torch.long, device="meta")
    mask = torch.empty(1, 1, length, length, device="meta")  # ready-made, else most of the library asks for values
    ways: list[Callable[[], Trace]] = [
        lambda: _pass(model, input_ids=tokens, attention_mask=mask),
        lambda: _pass(model, input_ids=tokens, attention_mask=mask[0, 0, :1].long()),  # ALiBi wants none ready-made
        lambda: _pass(model, answers=True, input_ids=tokens, attention_mask=mask),
        lambda: _small_pass(model, config, length),
    ]
    first: BaseException | None = None
    for way in ways:
        try:
            return way()
        except LIBRARY_FAULTS as error:
            first = first or error
    raise first or RuntimeError("no pass was tried")


def _small_pass(model: PreTrainedModel, config: PretrainedConfig, length: int) -> Trace:
    """A pass with numbers, on the CPU, of a network that is small."""
    if (size := sum(parameter.numel() for parameter in model.parameters())) > MOST_RUN:
        raise ValueError(f"{size:,} parameters are too many for a pass with numbers")
    with torch.random.fork_rng(devices=[]):
        return _pass(make(config), input_ids=torch.zeros(1, length, dtype=torch.long))


def _pass(model: PreTrainedModel, answers: bool = False, **given: torch.Tensor) -> Trace:
    seen = Trace()
    counter, answering = FlopCounterMode(display=False), Answers() if answers else nullcontext()
    with _watched(model, seen), torch.no_grad(), answering, counter:
        run(model, **given)
    counts = counter.get_flop_counts()
    seen.flops = {name.partition(".")[2]: sum(found.values()) for name, found in counts.items()}
    return seen


def _tapped(seen: Trace, name: str, heads: torch.Tensor, weights: torch.Tensor, queries: torch.Tensor) -> None:
    _attended(seen, name, heads, queries.shape[-1], heads.shape[-1])


def _attended(seen: Trace, name: str, heads: torch.Tensor | None, width: int, value_width: int) -> None:
    """Q K^T takes a product for each feature of the queries, S V one for each of the values."""
    block = block_name(name)
    seen.pairs[block] += width + value_width
    if block not in seen.attentions:
        seen.attentions[block], seen.heads[block], seen.widths[block] = name, heads, width


def block_name(name: str) -> str:
    """The name of a module up to the first number: the place in the list of blocks."""
    parts = name.split(".")
    for place, part in enumerate(parts, start=1):
        if part.isdigit():
            return ".".join(parts[:place])
    return name


@contextmanager
def _watched(model: PreTrainedModel, seen: Trace) -> Iterator[None]:
    with ExitStack() as stack:
        for name, module in dict(model.named_modules()).items():
            stack.enter_context(module.register_forward_pre_hook(partial(_called, seen, name)))
            if is_map(module):
                continue
            if by_output(model.config):
                stack.enter_context(module.register_forward_hook(partial(_gave, seen, name)))
            else:
                module.__dict__[TAP] = partial(_tapped, seen, name)
                stack.callback(module.__dict__.pop, TAP)
        yield


def is_map(module: nn.Module) -> bool:
    """True if a module is a linear map with a weight matrix."""
    return isinstance(module, nn.Linear | Conv1D)


def _called(seen: Trace, name: str, module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
    seen.runs[name] += 1
    if is_map(module):
        seen.maps.setdefault(name, given[0])


def _gave(seen: Trace, name: str, module: nn.Module, given: object, output: object) -> None:
    """An attention module is the innermost one whose second output is weights (B, K, T, T)."""
    if isinstance(output, tuple) and len(output) > 1 and isinstance(output[1], torch.Tensor) and output[1].dim() == 4:
        width = output[0].shape[-1]
        if seen.attentions.get(block_name(name), name) == name:
            _attended(seen, name, None, width, width)
