"""Interface of a space: checked architectures, sampling, counting, and a module with taps on its blocks."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from models.architecture import Architecture, BadArchitecture, ParameterCount
from storage.datum import is_whole

if TYPE_CHECKING:
    import torch
    from torch import nn

    from models.spaces.variation import Fields

T = TypeVar("T")
Fill = Callable[["nn.Module", str], None]
"""A function that gives a network, or the part of it whose names begin with a prefix, its weights."""

__all__ = [
    "BlockTaps",
    "Fill",
    "LanguageModel",
    "Space",
    "WeightTap",
    "block_numbers",
    "check_choice",
    "check_fields",
    "check_int",
    "check_list",
    "initialised",
]


@dataclass(frozen=True)
class WeightTap:
    """A weight matrix of a block: its role ("attn" or "ffn") and whether it is stored as (in, out)."""

    role: str
    parameter: torch.Tensor
    stored_in_out: bool = False

    def as_out_in(self, tensor: torch.Tensor) -> torch.Tensor:
        """View of `tensor` (the parameter or its gradient) in the orientation (out, in)."""
        return tensor.T if self.stored_in_out else tensor


@dataclass(frozen=True)
class BlockTaps:
    """Taps of the inputs of one block.

    `block`: its first positional input is where J is taken; `activations`: modules whose output is A;
    `heads`: modules whose input is H (the output projections); `queries`: modules whose output begins with Q, which is
    `query_width` wide (all of it by default); `attentions`: modules whose output[1] is S.
    """

    block: nn.Module
    activations: tuple[nn.Module, ...]
    heads: tuple[nn.Module, ...]
    queries: tuple[nn.Module, ...]
    attentions: tuple[nn.Module, ...]
    weights: tuple[WeightTap, ...]
    query_width: int | None = None


class LanguageModel(Protocol):
    """Network of a space: a torch module with a differentiable loss on tokens."""

    def loss(self, tokens: torch.Tensor) -> torch.Tensor:
        """Scalar that gradients are taken of, from tokens (B, T)."""
        ...

    def taps(self) -> tuple[BlockTaps, ...]:
        """One entry per block, first block first."""
        ...

    def eval(self) -> Any: ...

    def parameters(self) -> Any: ...


class Space(Protocol):
    """A family of architectures."""

    name: str
    builds: tuple[str, ...]  # the first is the default
    drawable: bool  # whether `sample` and `count` speak of a finite space
    fields: Fields | None  # how configurations are changed and crossed; None where no search can do that

    @property
    def version(self) -> int:
        """Changes whenever the built networks would."""
        ...

    def check(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The normalised configuration; raise BadArchitecture naming the first bad field."""
        ...

    def architecture(self, id: str, config: Mapping[str, Any]) -> Architecture:
        """A checked architecture."""
        ...

    def sample(self, rng: random.Random) -> dict[str, Any]:
        """A uniformly drawn valid configuration."""
        ...

    def count(self) -> int:
        """Number of architectures of the space."""
        ...

    def build(self, architecture: Architecture, init_seed: int, build: str | None = None) -> nn.Module:
        """An initialised LanguageModel on the CPU; depends on nothing but its arguments."""
        ...

    def parameters(self, architecture: Architecture, build: str | None = None) -> ParameterCount:
        """Parameter counts by role, from the description alone."""
        ...

    def multiply_adds(self, architecture: Architecture, length: int, build: str | None = None) -> int:
        """Multiply-adds of the matrix products of all blocks, for one sequence of `length` tokens."""
        ...

    def limits(self, architecture: Architecture) -> tuple[int, int]:
        """(longest sequence, size of the vocabulary)."""
        ...

    def shape(self, architecture: Architecture) -> tuple[int, int]:
        """(depth, width): the number of blocks and the model width."""
        ...

    def numbers(self, architecture: Architecture) -> dict[str, float]:
        """Fields of the configuration as numbers, which regressions read beside the counts; the same names for all
        architectures."""
        ...


def check_fields(config: Mapping[str, Any], *known: str) -> None:
    """Refuse a configuration with fields beyond the `known` ones."""
    if unknown := sorted(set(config) - set(known)):
        raise BadArchitecture(f"{unknown[0]}: unknown field, wanted only {', '.join(sorted(known))}")


def check_int(config: Mapping[str, Any], field: str, low: int, high: int) -> int:
    """The integer at `field` if it lies in [low, high]."""
    value = config.get(field)
    if not is_whole(value) or not low <= value <= high:
        raise BadArchitecture(f"{field}: got {value!r}, wanted a whole number from {low} to {high}")
    return value


def check_choice(config: Mapping[str, Any], field: str, choices: Sequence[T]) -> T:
    """The value at `field` if it is one of `choices`, of their type: 1.0 and True are equal to 1 and are not 1, else
    one network would have several digests."""
    value = config.get(field)
    if value not in choices or type(value) is not type(choices[0]):
        raise BadArchitecture(f"{field}: got {value!r}, wanted one of {', '.join(map(str, choices))}")
    return value


def check_list(config: Mapping[str, Any], field: str, length: int, low: int, high: int) -> tuple[int, ...]:
    """The list of `length` integers in [low, high] at `field`."""
    value = config.get(field)
    if not isinstance(value, list | tuple) or len(value) != length:
        got = f"{len(value)} entries" if isinstance(value, list | tuple) else repr(value)
        raise BadArchitecture(f"{field}: got {got}, wanted a list of {length}, one per block")
    return tuple(check_int({f"{field}[{i}]": entry}, f"{field}[{i}]", low, high) for i, entry in enumerate(value))


def block_numbers(name: str, values: Sequence[int], ends: bool = True) -> dict[str, float]:
    """A field with one size per block as numbers: the mean of its logarithms, and those of the first and last block if
    the `ends` may matter. A block without counts as one of size 1."""
    logs = [math.log(max(value, 1)) for value in values]
    mean = {f"{name} mean": math.fsum(logs) / len(logs)}
    return mean | {f"{name} first": logs[0], f"{name} last": logs[-1]} if ends else mean


def initialised(model: Any, seed: int) -> nn.Module:
    """The network, every weight drawn by its `initialise` from a generator of its own; weights without numbers stay
    so."""
    import torch

    if not next(model.parameters()).is_meta:
        model.initialise(torch.Generator().manual_seed(seed))
    return model
