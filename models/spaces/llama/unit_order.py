"""The order by which the units of a checkpoint are kept: of every block the feed-forward units and the key-value
groups, the best first. A narrower layer keeps the first ones in that order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from models.spaces.abilities import NetworkParts
from models.spaces.llama.blocks import LlamaBlock

__all__ = ["UnitOrder", "ordered", "rows_of_groups", "unit_order"]

Scores = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, eq=False)
class UnitOrder:
    """Per block of the checkpoint: `ffn`, the indices (F,) of its feed-forward units, and `groups`, those of its
    key-value groups with the query heads that they serve, both best first."""

    ffn: tuple[torch.Tensor, ...]
    groups: tuple[torch.Tensor, ...]


@torch.no_grad()
def unit_order(kind: str, parts: NetworkParts, tokens: torch.Tensor) -> UnitOrder:
    """The order of a `kind` (`models.spaces.llama.configuration.ORDERS`) of all units of a whole network in pieces.

    first: as they are stored (Munoz et al. 2024, arXiv 2404.10934). magnitude: the norm of all weights of a unit.
    activation: the norm of what a unit gives out on tokens (B, T), times the norm of the weights that read it (after
    Sun et al. 2023, arXiv 2306.11695).
    """
    seen, x = list[Scores](), parts.embed(tokens)
    for index in range(parts.blocks):
        block: Any = parts.block(index)
        if kind == "activation":
            x, scores = _watched(block, x)
        else:
            scores = _magnitudes(block) if kind == "magnitude" else _stored(block)
        seen.append(scores)
    ranked = [tuple(torch.argsort(score, descending=True, stable=True) for score in scores) for scores in seen]
    return UnitOrder(tuple(ffn for ffn, _ in ranked), tuple(groups for _, groups in ranked))


def _stored(block: LlamaBlock) -> Scores:
    sizes = block.self_attn.sizes
    return -torch.arange(float(sizes.ffn)), -torch.arange(float(sizes.kv_heads))


def _magnitudes(block: LlamaBlock) -> Scores:
    """The sum of the squared weights of every unit."""
    mlp, attention = block.mlp, block.self_attn
    ffn = _rows(mlp.gate_proj.weight) + _rows(mlp.up_proj.weight) + _rows(mlp.down_proj.weight.T)
    maps = (attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight, attention.o_proj.weight.T)
    return ffn, sum((_grouped(_rows(weight), block) for weight in maps), torch.zeros(attention.sizes.kv_heads))


def _watched(block: LlamaBlock, x: torch.Tensor) -> tuple[torch.Tensor, Scores]:
    """Output of a block, and the squared activation times the squared weights of every unit."""
    energy: dict[str, torch.Tensor] = {}

    def note(name: str, module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        energy[name] = given[0].flatten(0, -2).double().pow(2).sum(0)

    readers = {"ffn": block.mlp.down_proj, "attn": block.self_attn.o_proj}
    hooks = [module.register_forward_pre_hook(partial(note, name)) for name, module in readers.items()]
    try:
        output: torch.Tensor = block(x)
    finally:
        for hook in hooks:
            hook.remove()
    ffn, attn = (energy[name] * _rows(module.weight.T) for name, module in readers.items())
    return output, (ffn, _grouped(attn, block))


def _rows(weight: torch.Tensor) -> torch.Tensor:
    """(units, D) -> (units,): squared norms."""
    return weight.double().pow(2).sum(1)


def _grouped(units: torch.Tensor, block: LlamaBlock) -> torch.Tensor:
    """(heads * E,) or (kv_heads * E,) -> (kv_heads,): sums over what belongs to a key-value group."""
    return units.view(block.self_attn.sizes.kv_heads, -1).sum(1)


def ordered(block: LlamaBlock, ffn: torch.Tensor, groups: torch.Tensor) -> dict[str, torch.Tensor]:
    """The weights of the seven maps of a block, by their names in it, with these units and key-value groups alone, in
    their order."""
    sizes = block.self_attn.sizes
    keys = rows_of_groups(groups, sizes.head_width)
    queries = rows_of_groups(groups, sizes.head_width * (sizes.heads // sizes.kv_heads))
    rows = {"q_proj": queries, "k_proj": keys, "v_proj": keys, "gate_proj": ffn, "up_proj": ffn}
    columns = {"o_proj": queries, "down_proj": ffn}
    found: dict[str, torch.Tensor] = {}
    for name, parameter in block.named_parameters():
        kind = name.split(".")[-2]
        if kind in rows or kind in columns:
            found[name] = parameter[rows[kind]] if kind in rows else parameter[:, columns[kind]]
    return found


def rows_of_groups(groups: torch.Tensor, size: int) -> torch.Tensor:
    """The rows of groups that are `size` rows each."""
    return (groups[:, None] * size + torch.arange(size)).flatten()
