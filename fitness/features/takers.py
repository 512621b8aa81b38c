"""Takers: requests for data of networks; a visit (`fitness/features/visit.py`) answers all of them together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fitness.features.bank import FeatureBank, SketchEntry, joined, sketch_features
from fitness.features.collect import Features
from fitness.features.streaming import Block
from models.architecture import Architecture
from primitives.inputs import INPUTS, LETTERS, Input

if TYPE_CHECKING:
    from fitness.features.visit import Visited

__all__ = ["Reader", "SketchTaker", "Taker", "counts_alone", "letters_of", "reads_gradients"]


class Reader(Protocol):
    """Reader of a network that is visited block by block, in any order."""

    @property
    def inputs(self) -> Collection[Input]:
        """The inputs that it reads."""
        ...

    def see(self, index: int, block: Block) -> None:
        """Reduce what block `index` shows to a few numbers."""
        ...

    def taken(self, loss: float, finite: bool) -> Any:
        """Result of `Taker.take`; `finite` unless the network overflows."""
        ...


class Taker(Protocol):
    """A request for data of networks. Workers compute it; its owner writes the results to the bank."""

    def lacking(self, bank: FeatureBank, architecture: Architecture) -> Taker | None:
        """The taker of what the bank lacks; None where it has all."""
        ...

    def take(self, visited: Visited) -> Any:
        """Results to store for a network: plain data and arrays."""
        ...

    def fits(self, taken: Any) -> bool:
        """True if an answer is one that `take` gives; it may be from a worker elsewhere, which runs anything."""
        ...

    def keep(self, bank: FeatureBank, architecture: Architecture, taken: Any) -> None:
        """Write what was taken."""
        ...

    def reader(self) -> Reader | None:
        """Reader for block-by-block visits; None if the whole network is needed."""
        ...

    def damaged(self, bank: FeatureBank, architecture: Architecture) -> Path | None:
        """The file that should hold it, if it is there and not to be trusted."""
        ...


def letters_of(readers: Sequence[Reader]) -> frozenset[str]:
    """The letters that some reader reads."""
    return frozenset(letter for reader in readers for each in reader.inputs for letter in each.letters)


def reads_gradients(takers: Sequence[Taker]) -> bool:
    """True if some taker reads J or G, or runs passes of its own."""
    readers = [taker.reader() for taker in takers]
    return any(reader is None or {"J", "G"} & letters_of([reader]) for reader in readers)


def counts_alone(takers: Sequence[Taker]) -> bool:
    """True if all takers read nothing but sizes of tensors, which need neither weights nor passes."""
    readers = [taker.reader() for taker in takers]
    return all(reader is not None and all(i.count is not None for i in reader.inputs) for reader in readers)


class SketchTaker:
    """The sketch of a network."""

    def lacking(self, bank: FeatureBank, architecture: Architecture) -> SketchTaker | None:
        return self if bank.load_sketch(architecture) is None else None

    def take(self, visited: Visited) -> SketchEntry:
        return sketch_features(visited.features)

    def fits(self, taken: Any) -> bool:
        return isinstance(taken, SketchEntry) and taken.is_sound()

    def keep(self, bank: FeatureBank, architecture: Architecture, taken: SketchEntry) -> None:
        bank.save_sketch(architecture, taken)

    def reader(self) -> Reader | None:
        return SketchReader()

    def damaged(self, bank: FeatureBank, architecture: Architecture) -> Path | None:
        path = bank.sketches.path(bank.entry(architecture))
        return path if path.exists() and bank.load_sketch(architecture) is None else None


class SketchReader:
    """The sketch of a network whose blocks pass by."""

    inputs = tuple(INPUTS[letter] for letter in LETTERS)

    def __init__(self) -> None:
        self.blocks = dict[int, SketchEntry]()

    def see(self, index: int, block: Block) -> None:
        self.blocks[index] = sketch_features(Features((dict(block),), 0.0))

    def taken(self, loss: float, finite: bool) -> SketchEntry:
        return joined([self.blocks[i] for i in sorted(self.blocks)], loss)
