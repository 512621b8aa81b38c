"""Losses of many subnets of one checkpoint on the same tokens. Subnets are sorted into a tree by their blocks, the
first block first; whatever several of them begin with is computed once, depth first, so that memory holds one path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, cast

import torch

from models.spaces.llama.blocks import LlamaBlock
from models.spaces.llama.parts import LlamaParts
from models.spaces.llama.unit_order import UnitOrder, ordered

__all__ = ["Cut", "CutNetwork", "Kept", "cut_of", "keys_of"]

Kept = tuple[int, int]
"""A block that is kept: its feed-forward width and its number of key-value groups."""

Cut = tuple[Kept | None, ...]
"""The kept sizes of each block of the whole network; None where the block is dropped."""


def cut_of(config: Mapping[str, Any], blocks: int) -> Cut:
    """The cut that a configuration of the space `llama` describes, of a network of so many `blocks`."""
    keep = config.get("keep", range(blocks))
    kept = dict(zip(keep, zip(config["d_ffn"], config["n_kv_head"], strict=True), strict=True))
    return tuple(kept.get(block) for block in range(blocks))


def keys_of(cut: Cut) -> tuple[Kept, ...]:
    """A cut as something that can be sorted."""
    return tuple(kept or (0, 0) for kept in cut)


class CutNetwork:
    """A whole network with its units in order, float32, whose cuts share their weights."""

    def __init__(self, parts: Any, order: UnitOrder) -> None:
        self.parts: LlamaParts = parts
        self._whole = [self._ordered(index, order) for index in range(parts.blocks)]
        self._cut = dict[tuple[int, Kept], LlamaBlock]()
        self._head = self.parts.head()

    @torch.no_grad()
    def _ordered(self, index: int, order: UnitOrder) -> LlamaBlock:
        block = self.parts.block(index)
        parameters = dict(block.named_parameters())
        for name, value in ordered(block, order.ffn[index], order.groups[index]).items():
            parameters[name].copy_(value)
        return block

    def block(self, index: int, kept: Kept) -> LlamaBlock:
        """A block with the first units and groups of the whole one; its weights are views."""
        if (index, kept) not in self._cut:
            self._cut[index, kept] = self._narrowed(self._whole[index], kept)
        return self._cut[index, kept]

    def _narrowed(self, whole: LlamaBlock, kept: Kept) -> LlamaBlock:
        ffn, groups = kept
        full = whole.self_attn.sizes
        heads = groups * (full.heads // full.kv_heads)
        with torch.device("meta"):
            narrow = LlamaBlock(replace(full, ffn=ffn, kv_heads=groups, heads=heads))
        source = dict(whole.named_parameters())
        for name, parameter in list(narrow.named_parameters()):
            owner = cast(Any, narrow.get_submodule(name.rpartition(".")[0]))
            view = source[name].detach()[tuple(slice(0, size) for size in parameter.shape)]
            owner.weight = torch.nn.Parameter(view, requires_grad=False)
        return narrow.eval()

    @torch.no_grad()
    def losses(self, cuts: Sequence[Cut], tokens: torch.Tensor) -> list[list[float]]:
        """The mean loss (N, B) of each cut on each sequence of tokens (B, T), nats per token."""
        order = sorted(range(len(cuts)), key=lambda i: keys_of(cuts[i]))
        found = dict[int, list[float]]()

        def descend(x: torch.Tensor, depth: int, members: Sequence[int]) -> None:
            if depth == len(self._whole):
                rows = zip(x.split(1), tokens.split(1), strict=True)
                losses = [float(self._head(part, seen, 1)) for part, seen in rows]
                found.update(dict.fromkeys(members, losses))
                return
            for kept, group in groupby(members, key=lambda i: cuts[i][depth]):
                descend(x if kept is None else self.block(depth, kept)(x), depth + 1, list(group))

        descend(self.parts.embed(tokens), 0, order)
        return [found[i] for i in range(len(cuts))]
