"""Features at the price `whole`: a whole network is visited once, and a subnet's quantities are those of the blocks and
units that it keeps, as they are in the whole network. A subnet is then a list of parts, two for each block that it
keeps: its attention with so many key-value groups, and its feed-forward layer with so many units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fitness.features.bank import MAX_TABLE, FeatureBank, SketchEntry, joined, sketch_features
from fitness.features.collect import FeatureError, Features
from fitness.features.streaming import Block
from fitness.features.takers import Reader
from fitness.features.visit import Visited
from models.architecture import Architecture
from models.spaces.llama.subnets import Whole
from models.spaces.llama.unit_order import UnitOrder, rows_of_groups
from primitives.inputs import LETTERS
from storage.files import BadFile
from storage.shelf import ArrayShelf

__all__ = ["ATTENTION", "FEEDING", "Part", "PartTaker", "Parts", "assembled", "cut_block", "needed_parts", "parts_of"]

Part = tuple[int, str, int]
"""A block of the whole network, ATTENTION or FEEDING, and how many groups or units are kept."""

ATTENTION, FEEDING = "attn", "ffn"


def parts_of(config: Mapping[str, Any]) -> list[tuple[Part, Part]]:
    """The attention and the feed-forward layer of every block that a configuration keeps."""
    keep = config.get("keep", range(config["n_layer"]))
    sizes = zip(keep, config["n_kv_head"], config["d_ffn"], strict=True)
    return [((block, ATTENTION, groups), (block, FEEDING, ffn)) for block, groups, ffn in sizes]


def cut_block(block: Block, part: Part, order: UnitOrder, sequences: int) -> dict[str, tuple[torch.Tensor, ...]]:
    """Arrays of a part of a block, cut from those of the whole block; the gradient at its input belongs to
    attention."""
    index, kind, count = part
    found: dict[str, tuple[torch.Tensor, ...]] = dict.fromkeys(
        (*LETTERS, *(f"{letter}.{role}" for letter in "WG" for role in (ATTENTION, FEEDING))), ()
    )
    if kind == FEEDING:
        units = order.ffn[index][:count]
        found["A"] = tuple(x[:, units] for x in block["A"])
        rows = [lambda w: w[units], lambda w: w[units], lambda w: w[:, units]]
    else:
        groups = order.groups[index]
        heads, keys = (_rows(block, place, groups, count) for place in (0, 1))
        found["H"], found["Q"] = (tuple(x[:, heads] for x in block[letter]) for letter in "HQ")
        found["S"] = tuple(_heads(x, sequences, len(groups), groups[:count]) for x in block["S"])
        found["J"] = block["J"]
        rows = [lambda w: w[heads], lambda w: w[keys], lambda w: w[keys], lambda w: w[:, heads]]
    for letter in "WG":
        cut = tuple(turn(w) for turn, w in zip(rows, block[f"{letter}.{kind}"], strict=True))
        found[letter] = found[f"{letter}.{kind}"] = cut
    return found


def _rows(block: Block, place: int, groups: torch.Tensor, count: int) -> torch.Tensor:
    """The rows of the query (0) or key (1) map that belong to the first groups."""
    return rows_of_groups(groups[:count], block["W.attn"][place].shape[0] // len(groups))


def _heads(attention: torch.Tensor, sequences: int, groups: int, kept: torch.Tensor) -> torch.Tensor:
    """The heads of these groups, of all sequences: (B * K, T, T)."""
    by_group = attention.unflatten(0, (sequences, groups, -1))
    return by_group[:, kept].flatten(0, 2)


@dataclass(frozen=True, eq=False)
class Parts:
    """Sketches of parts, each as of a network of one block, and the loss of the whole network."""

    sketches: Mapping[Part, SketchEntry]
    loss: float

    def arrays(self) -> dict[str, np.ndarray]:
        """As arrays by name."""
        found = {"loss": np.array([self.loss])}
        for (block, kind, count), entry in self.sketches.items():
            for letter in LETTERS:
                if len(entry.layout[letter]):
                    found[f"{block}.{kind}.{count}.{letter}.samples"] = entry.samples[letter]
                    found[f"{block}.{kind}.{count}.{letter}.layout"] = entry.layout[letter]
        return found

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray]) -> Parts:
        """Inverse of `arrays`; ValueError or KeyError if it cannot be that."""
        found: dict[Part, dict[str, dict[str, np.ndarray]]] = {}
        for name, values in arrays.items():
            if name == "loss":
                continue
            block, kind, count, letter, what = name.split(".")
            found.setdefault((int(block), kind, int(count)), {}).setdefault(letter, {})[what] = values
        loss = float(arrays["loss"][0])
        return cls({part: _entry(letters, loss) for part, letters in found.items()}, loss)

    def joined(self, config: Mapping[str, Any]) -> SketchEntry:
        """The sketch of a subnet."""
        blocks = [
            assembled(self.sketches[attention], self.sketches[feeding]) for attention, feeding in parts_of(config)
        ]
        return joined(blocks, self.loss)


def _entry(letters: Mapping[str, Mapping[str, np.ndarray]], loss: float) -> SketchEntry:
    width = next(iter(letters.values()))["samples"].shape[1]
    samples = {letter: np.empty((0, width), np.float32) for letter in LETTERS}
    layout = {letter: np.empty((0, 4), np.int64) for letter in LETTERS}
    samples |= {letter: np.asarray(found["samples"]) for letter, found in letters.items()}
    layout |= {letter: np.asarray(found["layout"]) for letter, found in letters.items()}
    return SketchEntry(samples, layout, 1, loss)


def assembled(attention: SketchEntry, feeding: SketchEntry) -> SketchEntry:
    """The sketch of a block, of those of its two parts."""
    samples = {name: np.concatenate([attention.samples[name], feeding.samples[name]]) for name in LETTERS}
    layout = {name: np.concatenate([attention.layout[name], feeding.layout[name]]) for name in LETTERS}
    return SketchEntry(samples, layout, 1, attention.loss)


class PartTaker:
    """Sketches of parts of a whole network; those that the bank has are kept."""

    def __init__(self, parts: Iterable[Part], whole: Whole) -> None:
        self.parts, self.whole = tuple(dict.fromkeys(parts)), whole

    def found(self, bank: FeatureBank, whole: Architecture) -> Parts:
        """The parts that were visited; BadFile if they are not there any more."""
        if (parts := self.load(bank, whole)) is None or not set(self.parts) <= set(parts.sketches):
            raise BadFile(f"{self.shelf(bank).path(self._key(bank, whole))}: is not what was written; run this again")
        return parts

    def load(self, bank: FeatureBank, whole: Architecture) -> Parts | None:
        """Entry of the whole network in the bank; None if there is none to trust."""
        arrays = self.shelf(bank).load(self._key(bank, whole))
        try:
            return None if arrays is None else Parts.read(arrays)
        except (ValueError, KeyError):
            return None

    def lacking(self, bank: FeatureBank, architecture: Architecture) -> PartTaker | None:
        known = self.load(bank, architecture)
        parts = [part for part in self.parts if known is None or part not in known.sketches]
        return PartTaker(parts, self.whole) if parts else None

    def take(self, visited: Visited) -> Parts:
        if visited.overflows:
            raise FeatureError("the whole network produces NaN or infinities, so its parts have no features")
        order, blocks = self.whole.order(), visited.features.blocks
        sketches = dict[Part, SketchEntry]()
        for part in self.parts:
            shown = cut_block(blocks[part[0]], part, order, visited.sequences)
            sketches[part] = sketch_features(Features((shown,), visited.features.loss))
        return Parts(sketches, visited.features.loss)

    def fits(self, taken: Any) -> bool:
        if not isinstance(taken, Parts) or not isinstance(taken.loss, float):
            return False
        entries = [taken.sketches.get(part) for part in self.parts] if isinstance(taken.sketches, dict) else [None]
        return all(isinstance(entry, SketchEntry) and entry.is_sound() for entry in entries)

    def keep(self, bank: FeatureBank, architecture: Architecture, taken: Parts) -> None:
        known = self.load(bank, architecture)
        both = Parts({**(known.sketches if known else {}), **taken.sketches}, taken.loss)
        self.shelf(bank).save(self._key(bank, architecture), both.arrays())

    def reader(self) -> Reader | None:
        return None

    def damaged(self, bank: FeatureBank, architecture: Architecture) -> Path | None:
        path = self.shelf(bank).path(self._key(bank, architecture))
        return path if path.exists() and self.load(bank, architecture) is None else None

    def shelf(self, bank: FeatureBank) -> ArrayShelf:
        """Shelf of the parts."""
        return ArrayShelf(bank.place / "parts", MAX_TABLE)

    def _key(self, bank: FeatureBank, whole: Architecture) -> str:
        return f"{bank.entry(whole)}:{self.whole.kind}"


def needed_parts(architectures: Sequence[Architecture]) -> list[Part]:
    """All parts of these subnets, each once."""
    found = (part for a in architectures for pair in parts_of(a.config) for part in pair)
    return sorted(set(found))
