"""Frames: how sums over a tensor are taken, so that one definition of an operator serves whole tensors,
samples of tensors and scalars alike.

An operator never calls `x.mean()`; it asks its frame. `ExactFrame` reduces over all entries, `ScalarFrame` treats
every element as a tensor with one entry, and the sketch of `fitness/features/sketch.py` reduces over a weighted sample
while reporting the true sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch

__all__ = ["ExactFrame", "Frame", "ScalarFrame", "Then"]

Then = Callable[[torch.Tensor], torch.Tensor]
"""A function of the means of lines that works entry by entry."""


class Frame(Protocol):
    """Reductions in float64 that broadcast against the tensor they came from."""

    def mean(self, x: torch.Tensor) -> torch.Tensor:
        """Mean over all entries of a tensor."""
        ...

    def low(self, x: torch.Tensor) -> torch.Tensor:
        """Smallest entry."""
        ...

    def high(self, x: torch.Tensor) -> torch.Tensor:
        """Largest entry."""
        ...

    def line_mean(self, x: torch.Tensor, then: Then | None = None) -> torch.Tensor:
        """Mean along the softmax axis; what `then`, entry by entry, makes of it if given."""
        ...

    def line_high(self, x: torch.Tensor) -> torch.Tensor:
        """Largest entry along the softmax axis."""
        ...

    def size(self) -> torch.Tensor | int:
        """True number of entries."""
        ...

    def line_size(self) -> torch.Tensor | int:
        """True length of the softmax axis."""
        ...


class ExactFrame:
    """All entries of one tensor; softmax runs along `axis`."""

    def __init__(self, x: torch.Tensor, axis: int) -> None:
        self.axis = axis
        self._size, self._line_size = x.numel(), x.shape[axis]

    def mean(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dtype=torch.float64)

    def low(self, x: torch.Tensor) -> torch.Tensor:
        return x.min()

    def high(self, x: torch.Tensor) -> torch.Tensor:
        return x.max()

    def line_mean(self, x: torch.Tensor, then: Then | None = None) -> torch.Tensor:
        mean = x.mean(self.axis, keepdim=True, dtype=torch.float64)
        return then(mean) if then else mean

    def line_high(self, x: torch.Tensor) -> torch.Tensor:
        return x.amax(self.axis, keepdim=True)

    def size(self) -> int:
        return self._size

    def line_size(self) -> int:
        return self._line_size


class ScalarFrame:
    """Every element is a 0-d tensor of its own: its mean, extremes and line are itself."""

    def mean(self, x: torch.Tensor) -> torch.Tensor:
        return x

    low = high = line_high = mean

    def line_mean(self, x: torch.Tensor, then: Then | None = None) -> torch.Tensor:
        return then(x) if then else x

    def size(self) -> int:
        return 1

    def line_size(self) -> int:
        return 1
