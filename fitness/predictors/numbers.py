"""Numbers of architectures that need no network: counts, and the fields of their configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.architecture import Architecture
from models.spaces import SPACES
from storage.errors import WrongInput

__all__ = ["COUNTS", "OPTIONAL", "BadNumbers", "NumberTable", "number_table"]

COUNTS = ("log depth", "log width", "log attention", "log ffn", "log total")
"""The numbers of size alone; the others say how it is shared out."""

OPTIONAL = ("heads", "heads first", "heads last")
"""Numbers that a predictor reads where its labels say that they help."""


class BadNumbers(WrongInput):
    """A number that no space gives; the message names it."""


@dataclass(frozen=True, eq=False)
class NumberTable:
    """`values` (N, K) of the numbers called `names`."""

    names: tuple[str, ...]
    values: np.ndarray

    def of(self, names: Sequence[str]) -> np.ndarray:
        """The columns of these names, (N, len(names)); BadNumbers if one is missing."""
        if missing := [name for name in names if name not in self.names]:
            raise BadNumbers(f"{missing[0]}: got a number that the space does not give, wanted {', '.join(self.names)}")
        return self.values[:, [self.names.index(name) for name in names]]


def number_table(architectures: Sequence[Architecture], build: str | None = None) -> NumberTable:
    """Depth, width, parameters by role and what the space says of its fields; the parameters are those of a build."""
    rows = [_numbers(architecture, build) for architecture in architectures]
    names = tuple(rows[0])
    return NumberTable(names, np.array([[row[name] for name in names] for row in rows]))


def _numbers(architecture: Architecture, build: str | None) -> dict[str, float]:
    space = SPACES[architecture.space]
    depth, width = space.shape(architecture)
    sizes = {"depth": float(depth), "width": float(width)}
    counted = {"depth": depth, "width": width} | vars(space.parameters(architecture, build))
    logs = {f"log {name}": float(np.log(max(count, 1))) for name, count in counted.items()}
    return sizes | logs | space.numbers(architecture)
