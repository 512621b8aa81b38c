"""Context managers that watch a model while it runs, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from models.spaces.space import BlockTaps

__all__ = ["Recording", "recording"]


@dataclass
class Recording:
    """What one forward pass left at the taps, by block; lists are filled in the order of the taps."""

    inputs: dict[int, torch.Tensor] = field(default_factory=dict)
    activations: dict[int, list[torch.Tensor]] = field(default_factory=dict)
    heads: dict[int, list[torch.Tensor]] = field(default_factory=dict)
    attentions: dict[int, list[torch.Tensor]] = field(default_factory=dict)


@contextmanager
def recording(taps: Sequence[BlockTaps]) -> Iterator[Recording]:
    """Hook every tap while the block of code runs; the hooks are gone afterwards, error or not."""
    record = Recording()
    handles: list[Any] = []
    try:
        for index, tap in enumerate(taps):
            handles.append(tap.block.register_forward_pre_hook(_keep_input(record.inputs, index)))
            for modules, store in ((tap.activations, record.activations), (tap.heads, record.heads)):
                kept = store.setdefault(index, [])
                for module in modules:
                    hook = _append_output(kept) if store is record.activations else None
                    handles.append(
                        module.register_forward_hook(hook)
                        if hook
                        else module.register_forward_pre_hook(_append_input(kept))
                    )
            kept = record.attentions.setdefault(index, [])
            handles.extend(module.register_forward_hook(_append_attention(kept)) for module in tap.attentions)
        yield record
    finally:
        for handle in handles:
            handle.remove()


def _keep_input(store: dict[int, torch.Tensor], index: int) -> Any:
    def hook(module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        store[index] = args[0]

    return hook


def _append_input(store: list[torch.Tensor]) -> Any:
    def hook(module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        store.append(args[0].detach())

    return hook


def _append_output(store: list[torch.Tensor]) -> Any:
    def hook(module: nn.Module, args: Any, output: torch.Tensor) -> None:
        store.append(output.detach())

    return hook


def _append_attention(store: list[torch.Tensor]) -> Any:
    def hook(module: nn.Module, args: Any, output: Any) -> None:
        # Other attention implementations return None here without an error; features.py checks for it.
        weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
        if weights is not None:
            store.append(weights.detach())

    return hook
