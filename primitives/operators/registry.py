"""The one door of the operator tables. What is listed has been probed: pure, finite, of the promised shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import torch

from primitives.frames import ExactFrame, Frame, ScalarFrame
from storage.errors import ZcpError

__all__ = ["BINARY", "UNARY", "BadOperator", "Binary", "Kind", "Sign", "Unary", "binary", "unary"]

TensorMap = Callable[[torch.Tensor, Frame], torch.Tensor]


class BadOperator(ZcpError, ValueError):
    """An operator that the table refuses; the message names the probe that failed."""


class Kind(Enum):
    """What an operator needs and returns."""

    ENTRY = "each entry by itself"
    WHOLE = "each entry, relative to the whole tensor"
    LINE = "each entry, relative to its line along the softmax axis"
    REDUCE = "one number per tensor"
    DROP = "nothing: the branch is dropped"


class Sign(Enum):
    """What is known of the sign of all results: the sign lattice of the PPS rules."""

    ANY = "any"
    NONNEGATIVE = "nonnegative"
    NONPOSITIVE = "nonpositive"
    KEEP = "the sign of the argument"
    FLIP = "the opposite of the argument's"


@dataclass(frozen=True)
class Unary:
    """A unary operator: `apply(x, frame)` returns a new tensor; `formula` is LaTeX with x as the argument."""

    name: str
    kind: Kind
    sign: Sign
    formula: str
    apply: TensorMap

    @property
    def on_scalars(self) -> bool:
        """Whether it says something about a single number."""
        return self.kind in (Kind.ENTRY, Kind.DROP)


@dataclass(frozen=True)
class Binary:
    """A binary operator on two numbers; `linear` ones commute with every mean and sum.

    `entries(x, y)` joins two aligned tensors of shape (..., rows, columns); None where joining the means is equal.
    """

    name: str
    linear: bool
    commutative: bool
    formula: str
    apply: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    entries: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None


UNARY: dict[str, Unary] = {}
BINARY: dict[str, Binary] = {}

_PROBES = (
    torch.zeros(2, 3),
    torch.ones(2, 3),
    -torch.ones(2, 3),
    torch.full((2, 3), 1e-9),
    torch.tensor([[0.5, -2.0, 3.0], [1.0, 0.0, -0.25]]),
)


def unary(name: str, kind: Kind, sign: Sign, formula: str) -> Callable[[TensorMap], TensorMap]:
    """Register a unary operator after probing it; raise BadOperator otherwise."""

    def register(apply: TensorMap) -> TensorMap:
        _refuse_collision(name)
        operator = Unary(name, kind, sign, formula, apply)
        for probe in _PROBES:
            _probe(operator, probe, ExactFrame(probe, -1))
            _probe(operator, probe.reshape(-1)[0], ScalarFrame())
        UNARY[name] = operator
        return apply

    return register


def binary(operator: Binary) -> Binary:
    """Register a binary operator after probing it; raise BadOperator otherwise."""
    _refuse_collision(operator.name)
    for x, y in zip(_PROBES, reversed(_PROBES), strict=True):
        before = x.clone(), y.clone()
        results = [operator.apply(x, y), *([operator.entries(x, y)] if operator.entries else [])]
        if not all(torch.isfinite(r).all() for r in results):
            raise BadOperator(f"{operator.name}: not finite on a probe")
        if not (torch.equal(x, before[0]) and torch.equal(y, before[1])):
            raise BadOperator(f"{operator.name}: changes its argument")
    BINARY[operator.name] = operator
    return operator


def _refuse_collision(name: str) -> None:
    if name in UNARY or name in BINARY:
        raise BadOperator(f"{name}: an operator of that name exists; choose another name")


def _probe(operator: Unary, x: torch.Tensor, frame: Frame) -> None:
    before = x.clone()
    result = operator.apply(x, frame)
    if not torch.equal(x, before):
        raise BadOperator(f"{operator.name}: changes its argument")
    if not torch.isfinite(result).all():
        raise BadOperator(f"{operator.name}: not finite on {x.flatten().tolist()}")
    wanted = torch.Size() if operator.kind is Kind.REDUCE else x.shape
    if result.shape != wanted:
        raise BadOperator(f"{operator.name}: got shape {tuple(result.shape)}, wanted {tuple(wanted)}")
