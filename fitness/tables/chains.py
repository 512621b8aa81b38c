"""Chains of operators over all sketches of one input at once. Chains with a common beginning share its work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fitness.features.bank import ROLES, SketchEntry
from fitness.features.sketch import NODES, SketchFrame, grid_shape
from primitives.along import Chain, along
from primitives.frames import ScalarFrame
from primitives.inputs import INPUTS, TERMINALS, Count
from primitives.operators import UNARY, Kind

__all__ = ["Chain", "Tensors", "Values", "chains_of", "run", "walk"]

PART = 128  # tensors


@dataclass(frozen=True, eq=False)
class Tensors:
    """All tensors of one input: samples (M, NODES + GRID), true sizes (M, 1), block of each (M,), place of each among
    all tensors of its letter (M,). Samples (M, 1) of a count are its numbers."""

    name: str
    samples: torch.Tensor
    size: torch.Tensor
    line_size: torch.Tensor
    block: np.ndarray
    places: np.ndarray

    @classmethod
    def gather(cls, entries: Sequence[SketchEntry], name: str, starts: np.ndarray) -> Tensors:
        """Tensors of all architectures; blocks are numbered consecutively, those of architecture n from `starts[n]`.

        A role terminal is a selection of its letter.
        """
        letter, _, role = name.partition(".")
        samples, layouts, kept = [], [], []
        for entry, start in zip(entries, starts, strict=False):
            layout = entry.layout[letter].copy()
            keep = np.ones(len(layout), bool) if not role else layout[:, 1] == ROLES[role]
            layout[:, 0] += start
            samples.append(entry.samples[letter][keep])
            layouts.append(layout[keep])
            kept.append(keep)
        layout = np.concatenate(layouts)
        sizes = torch.from_numpy(layout[:, 2:].astype(np.float64))
        stacked = torch.from_numpy(np.concatenate(samples))
        return cls(name, stacked, sizes[:, :1], sizes[:, 1:], layout[:, 0], np.flatnonzero(np.concatenate(kept)))

    @classmethod
    def counted(cls, name: str, count: Count, beside: Sequence[Tensors]) -> Tensors:
        """The tensors of a count from those that it counts: a number for each, or for the first of each block; of two
        inputs where a block has both."""
        picks = [np.arange(len(beside[0].block))]
        if len(beside) == 2:
            _, *picks = np.intersect1d(beside[0].block, beside[1].block, return_indices=True)
        sizes = (x[rows].long() for t, rows in zip(beside, picks, strict=True) for x in (t.size, t.line_size))
        counted = count.value(*sizes).double()
        block, places = beside[0].block[picks[0]], beside[0].places[picks[0]]
        first = np.unique(block, return_index=True)[1] if count.once else np.arange(len(block))
        size, line_size = beside[0].size[picks[0]][first], beside[0].line_size[picks[0]][first]
        return cls(name, counted[first], size, line_size, block[first], places[first])

    def parts(self) -> Iterator[Tensors]:
        """The tensors in runs of PART, which a processor's cache can hold."""
        for at in range(0, max(1, len(self.samples)), PART):
            yield self.rows(slice(at, at + PART))

    def rows(self, chosen: slice) -> Tensors:
        """Some of the tensors."""
        samples, sizes = self.samples[chosen], (self.size[chosen], self.line_size[chosen])
        return Tensors(self.name, samples, *sizes, self.block[chosen], self.places[chosen])

    @property
    def columns(self) -> np.ndarray:
        """True number of columns of each tensor, (M,): the length of the rows that a matrix product sums over."""
        along = INPUTS[self.name].axis == -2
        return (self.size / self.line_size if along else self.line_size).squeeze(-1).numpy()


@dataclass(frozen=True, eq=False)
class Values:
    """Values of a chain on M tensors: entries (M, NODES + GRID) or (M, NODES), or numbers (M, 1)."""

    name: str
    x: torch.Tensor
    frame: SketchFrame | ScalarFrame

    @classmethod
    def begin(cls, tensors: Tensors, whole: bool) -> Values:
        """The tensors themselves; without their grids unless they are wanted `whole`."""
        if TERMINALS[tensors.name].count is not None:
            return cls(tensors.name, tensors.samples, ScalarFrame())
        frame = SketchFrame(tensors.name, tensors.size, tensors.line_size)
        return cls(tensors.name, tensors.samples if whole else tensors.samples[:, :NODES], frame)

    def step(self, name: str) -> Values:
        """After one more operator."""
        operator = UNARY[name]
        x = operator.apply(self.x, self.frame)
        if operator.kind is Kind.REDUCE:
            return Values(self.name, x, ScalarFrame())
        if operator.kind is Kind.LINE and isinstance(self.frame, SketchFrame):
            return Values(self.name, x, self.frame.with_lines_changed())
        return Values(self.name, x, self.frame)

    @property
    def means(self) -> np.ndarray:
        """(M,) float64."""
        return self.frame.mean(self.x).squeeze(-1).double().numpy()

    @property
    def grid(self) -> torch.Tensor:
        """(M, heads, rows, columns) float32; only of whole samples that no operator has reduced."""
        return self.x[:, NODES:].unflatten(-1, grid_shape(self.name))


def run(tensors: Tensors, chain: Chain, whole: bool = False) -> Values:
    """Apply a chain; `whole` if the grid is wanted."""
    values = Values.begin(tensors, whole or _needs_lines(chain))
    for name in chain:
        values = values.step(name)
    return values


def walk(tensors: Tensors, chains: Iterable[Chain], whole: bool = False) -> Iterator[tuple[Chain, Values]]:
    """Values of each chain, as `run` gives them. Chains that never look at lines come first: they need no grid."""
    groups: dict[bool, set[Chain]] = {}
    for chain in chains:
        groups.setdefault(whole or _needs_lines(chain), set()).add(chain)
    for wanted in sorted(groups):
        yield from along(Values.begin(tensors, wanted), groups[wanted], Values.step)


def _needs_lines(chain: Chain) -> bool:
    return any(UNARY[name].kind is Kind.LINE for name in chain)


def chains_of(n_unary: int) -> list[Chain]:
    """All different chains of at most `n_unary` operators: without no_op, which does nothing, and prune."""
    names = [name for name, operator in UNARY.items() if name != "no_op" and operator.kind is not Kind.DROP]
    level: list[Chain] = [()]
    found = list(level)
    for _ in range(n_unary):
        level = [(*chain, name) for chain in level for name in names]
        found += level
    return found
