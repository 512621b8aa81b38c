"""Context managers that watch a model while it runs, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from models.spaces.space import BlockTaps

__all__ = ["Recording", "recording"]


@dataclass
class Recording:
    """Tensors recorded at the taps during one forward pass, by block, in the order of the taps."""

    inputs: dict[int, torch.Tensor] = field(default_factory=dict)
    activations: dict[int, list[torch.Tensor]] = field(default_factory=dict)
    heads: dict[int, list[torch.Tensor]] = field(default_factory=dict)
    queries: dict[int, list[torch.Tensor]] = field(default_factory=dict)
    attentions: dict[int, list[torch.Tensor]] = field(default_factory=dict)


@contextmanager
def recording(taps: Sequence[BlockTaps]) -> Iterator[Recording]:
    """Hook every tap while the block of code runs; the hooks are gone afterwards, error or not."""
    record = Recording()
    with ExitStack() as hooks:
        for index, tap in enumerate(taps):
            hooks.enter_context(tap.block.register_forward_pre_hook(partial(_keep_input, record.inputs, index)))
            for store, modules, watch in (
                (record.activations, tap.activations, _watch_output),
                (record.heads, tap.heads, _watch_input),
                (record.queries, tap.queries, _watch_output),
                (record.attentions, tap.attentions, _watch_attention),
            ):
                kept = store.setdefault(index, [])
                for module in modules:
                    hooks.enter_context(watch(module, kept))
        yield record


def _keep_input(store: dict[int, torch.Tensor], index: int, module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
    store[index] = given[0]


def _watch_input(module: nn.Module, kept: list[torch.Tensor]) -> RemovableHandle:
    return module.register_forward_pre_hook(lambda module, given: kept.append(given[0].detach()))


def _watch_output(module: nn.Module, kept: list[torch.Tensor]) -> RemovableHandle:
    return module.register_forward_hook(lambda module, given, output: kept.append(output.detach()))


def _watch_attention(module: nn.Module, kept: list[torch.Tensor]) -> RemovableHandle:
    def hook(module: nn.Module, given: object, output: object) -> None:
        # Other attention implementations return None here without an error; `collect` checks for it.
        weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
        if weights is not None:
            kept.append(weights.detach())

    return module.register_forward_hook(hook)
