"""Subnets of trained LLaMA networks: the whole network that they are cut from, and the order by which its units are
kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.architecture import Architecture
from models.prose import load_prose
from models.spaces.checkpoint import BadWeights, Checkpoint
from models.spaces.llama.checkpoint import check_checkpoint, library_names, whole_architecture
from models.spaces.llama.configuration import ORDERS, described, head_widths
from models.spaces.llama.parts import LlamaParts
from models.spaces.llama.unit_order import UnitOrder, ordered, unit_order
from models.spaces.llama.weights import SUPERNET
from models.spaces.space import Fill
from models.tokenizer import TOKENIZER_FILE, TextTokenizer
from models.tokens import spread

__all__ = ["CALIBRATION", "Whole", "calibration_tokens", "check_subnet", "order_of", "subnet_fill"]

LAYER = "model.layers."
CALIBRATION = (16, 128)  # windows, and tokens of each, on which activations are taken


@dataclass(frozen=True)
class Whole:
    """The trained network that subnets are cut from, that of a checkpoint or the supernet of llama-elastic, and the
    kind of order by which its units are kept."""

    architecture: Architecture
    kind: str
    weights: Checkpoint | None = None

    @classmethod
    def of(cls, subnets: Sequence[Architecture], weights: Checkpoint | None) -> Whole:
        """The whole network of some subnets, whose units must be kept in one order; BadWeights if they are not."""
        kinds = sorted({a.config.get("order", ORDERS[0]) for a in subnets if a.config != _plain(a)})
        kinds = kinds or [ORDERS[0]]
        if len(kinds) > 1:
            raise BadWeights(f"order: got subnets whose units are kept by {' and by '.join(kinds)}, wanted one of them")
        supernet = described("supernet", SUPERNET)
        return cls(supernet if weights is None else whole_architecture(weights), kinds[0], weights)

    def order(self) -> UnitOrder:
        """The order of its units."""
        config = self.architecture.config
        if self.weights is not None and self.kind != ORDERS[0]:
            return order_of(self.weights, self.kind)
        ffn, groups = (tuple(torch.arange(n) for n in config[field]) for field in ("d_ffn", "n_kv_head"))
        return UnitOrder(ffn, groups)


def _plain(architecture: Architecture) -> dict[str, object]:
    """The configuration of a network that is no subnet by its own words."""
    return {name: value for name, value in architecture.config.items() if name not in ("keep", "order")}


def order_of(weights: Checkpoint, kind: str) -> UnitOrder:
    """The order of the units of a checkpoint; activations are those on its calibration tokens."""
    tokens = calibration_tokens(weights).tolist() if kind == "activation" else ()
    return _ordered(_Known(weights.digest, weights), kind, tuple(map(tuple, tokens)))


@dataclass(frozen=True)
class _Known:
    """A checkpoint that equals every other one of its digest."""

    digest: str
    weights: Checkpoint = field(compare=False)


@lru_cache(maxsize=4)
def _ordered(known: _Known, kind: str, tokens: tuple[tuple[int, ...], ...]) -> UnitOrder:
    parts = _whole_parts(whole_architecture(known.weights), known.weights)
    return unit_order(kind, parts, torch.tensor(tokens, dtype=torch.int64))


def _whole_parts(whole: Architecture, weights: Checkpoint) -> LlamaParts:
    """The whole network of a checkpoint in pieces."""
    return LlamaParts(whole.config, library_names(weights).fill)


def calibration_tokens(weights: Checkpoint) -> torch.Tensor:
    """Evenly spread windows (16, 128) of the calibration text, by the checkpoint's tokenizer; BadWeights if it has
    none."""
    path = weights.folder / TOKENIZER_FILE
    if not path.exists():
        raise BadWeights(
            f"{weights.folder}: order: got activation, but there is no tokenizer.json to show text to the network; "
            "copy it into the folder, or take the order magnitude"
        )
    stat = path.stat()
    return _calibration(path, (stat.st_size, stat.st_mtime_ns, stat.st_ino))


@lru_cache(maxsize=4)
def _calibration(path: Path, version: tuple[int, ...]) -> torch.Tensor:
    """The windows by the tokenizer in a file of this version; every block of every subnet asks for them."""
    return torch.tensor(
        spread(TextTokenizer.read(path).encode(load_prose().calibration), *CALIBRATION, "calibration text")
    )


def check_subnet(architecture: Architecture, weights: Checkpoint) -> None:
    """Refuse a subnet that is none of the checkpoint; BadWeights names the field, or the block."""
    whole, where = whole_architecture(weights), f"{weights.folder / 'config.json'}"
    check_checkpoint(whole, weights)
    ours, theirs = architecture.config, whole.config
    for name in ("d_model", "n_token", "tied", "norm", "norm_eps", "rope_theta"):
        if ours[name] != theirs[name]:
            raise BadWeights(f"{where}: {name}: got {theirs[name]!r}, wanted {ours[name]!r} for {architecture.id}")
    for place, block in enumerate(ours.get("keep", range(ours["n_layer"]))):
        said = f"{weights.folder}: block {block}, which {architecture.id} keeps"
        if block >= theirs["n_layer"]:
            raise BadWeights(f"{said}: is not there, wanted one of the {theirs['n_layer']} from 0 on")
        if reason := _too_large(ours, place, theirs):
            raise BadWeights(f"{said}: {reason}")


def _too_large(ours: Mapping[str, Any], place: int, theirs: Mapping[str, Any]) -> str | None:
    """Why a block is no part of one of a whole network, if it is none."""
    if (got := ours["d_ffn"][place]) > (most := theirs["d_ffn"][0]):
        return f"d_ffn: got {got}, wanted at most {most}, the units of the checkpoint"
    heads, shared, width = ours["n_head"][place], ours["n_kv_head"][place], head_widths(ours)[place]
    most, usual = theirs["n_kv_head"][0], head_widths(theirs)[0]
    group = theirs["n_head"][0] // most
    if shared > most or heads != shared * group or width != usual:
        return (
            f"got {heads} heads of {width} on {shared}, wanted at most {most} groups of {group} heads of {usual} on "
            "one; give n_head, n_kv_head and head_dim"
        )
    return None


def subnet_fill(architecture: Architecture, weights: Checkpoint) -> Fill:
    """A function that fills the network of a subnet, or a part of it, with weights: those of the blocks that it keeps,
    with the units that it keeps in their order."""
    whole, config = Whole.of([architecture], weights), architecture.config
    parts = _whole_parts(whole.architecture, weights)
    keep = config.get("keep", range(config["n_layer"]))

    @torch.no_grad()
    def fill_block(module: nn.Module, place: int) -> None:
        order, block = whole.order(), keep[place]
        source = parts.block(block)
        ffn, groups = order.ffn[block][: config["d_ffn"][place]], order.groups[block][: config["n_kv_head"][place]]
        found = dict(source.named_parameters()) | ordered(source, ffn, groups)
        for name, parameter in module.named_parameters():
            parameter.copy_(found[name])

    def fill(module: nn.Module, prefix: str) -> None:
        if prefix.startswith(LAYER):
            fill_block(module, int(prefix.removeprefix(LAYER).split(".")[0]))
        elif prefix:
            parts.fill(module, prefix)
        else:
            network: Any = module
            for place, block in enumerate(network.model.layers):
                fill_block(block, place)
            ends = {"model.embed_tokens.": network.model.embed_tokens, "model.norm.": network.model.norm}
            for name, end in (ends | ({"lm_head.": network.lm_head} if network.lm_head is not None else {})).items():
                parts.fill(end, name)

    return fill
