"""Operator tables. Every operator is probed when it is registered: pure, finite, of the declared shape.

The tables can be read without torch, for parsing and printing formulas. An operator is therefore probed at registration
if torch is loaded, and otherwise before the first computation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from storage.errors import WrongInput

if TYPE_CHECKING:
    import torch

    from primitives.frames import Frame

    TensorMap = Callable[[torch.Tensor, Frame], torch.Tensor]
    Join = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

__all__ = ["BINARY", "ENTRYWISE", "UNARY", "BadOperator", "Binary", "Kind", "Sign", "Unary", "binary", "unary"]

P = ParamSpec("P")
T = TypeVar("T")


class BadOperator(WrongInput):
    """An operator that the table refuses; the message names the probe that failed."""


class Kind(Enum):
    """Level of the arguments and of the result of an operator."""

    ENTRY = "each entry by itself"
    WHOLE = "each entry, relative to the whole tensor"
    LINE = "each entry, relative to its line along the softmax axis"
    REDUCE = "one number per tensor"
    DROP = "nothing: the branch is dropped"


class Sign(Enum):
    """Sign of all results, as far as it is known: the sign lattice of the PPS rules."""

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
        """True if the operator is meaningful on a single number."""
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
    apply: Join
    entries: Join | None = None


ENTRYWISE = ("product", "matmul")  # the joins entry by entry that sketches can tell: sums of products
UNARY: dict[str, Unary] = {}
BINARY: dict[str, Binary] = {}
_unprobed: list[Unary | Binary] = []


def unary(name: str, kind: Kind, sign: Sign, formula: str) -> Callable[[TensorMap], TensorMap]:
    """The decorator that registers a unary operator; BadOperator if it fails a probe or its name is taken."""

    def register(apply: TensorMap) -> TensorMap:
        _admit(Unary(name, kind, sign, formula, apply))
        UNARY[name] = Unary(name, kind, sign, formula, _after_probes(apply))
        return apply

    return register


def binary(operator: Binary) -> Binary:
    """The operator, registered; BadOperator if a probe fails, its name is taken, or no sketch can tell its entries."""
    if operator.entries is not None and operator.name not in ENTRYWISE:
        raise BadOperator(
            f"{operator.name}: got a join entry by entry, which sketches can tell of {' and '.join(ENTRYWISE)} only; "
            "leave entries out, and the means of the tensors are joined"
        )
    _admit(operator)
    entries = operator.entries and _after_probes(operator.entries)
    BINARY[operator.name] = replace(operator, apply=_after_probes(operator.apply), entries=entries)
    return operator


def _admit(operator: Unary | Binary) -> None:
    if operator.name in UNARY or operator.name in BINARY:
        raise BadOperator(f"{operator.name}: an operator of that name exists; choose another name")
    _unprobed.append(operator)
    if "torch" in sys.modules:
        _probe_all()


def _after_probes(compute: Callable[P, T]) -> Callable[P, T]:
    def probed(*args: P.args, **kwargs: P.kwargs) -> T:
        if _unprobed:
            _probe_all()
        return compute(*args, **kwargs)

    return probed


def _probe_all() -> None:
    """Probe all operators not probed yet; a faulty one is removed from its table and named in the error."""
    while _unprobed:
        operator = _unprobed.pop()
        try:
            _probe_unary(operator) if isinstance(operator, Unary) else _probe_binary(operator)
        except BadOperator:
            UNARY.pop(operator.name, None)
            BINARY.pop(operator.name, None)
            raise


def _probes() -> tuple[torch.Tensor, ...]:
    import torch

    mixed = torch.tensor([[0.5, -2.0, 3.0], [1.0, 0.0, -0.25]])
    return torch.zeros(2, 3), torch.ones(2, 3), -torch.ones(2, 3), torch.full((2, 3), 1e-9), mixed


def _probe_unary(operator: Unary) -> None:
    from primitives.frames import ExactFrame, ScalarFrame

    for probe in _probes():
        for x, frame in ((probe, ExactFrame(probe, -1)), (probe.reshape(-1)[0], ScalarFrame())):
            before = x.clone()
            result = operator.apply(x, frame)
            _check(operator, result, (x,), (before,))
            wanted = () if operator.kind is Kind.REDUCE else tuple(x.shape)
            if tuple(result.shape) != wanted:
                raise BadOperator(f"{operator.name}: got shape {tuple(result.shape)}, wanted {wanted}")


def _probe_binary(operator: Binary) -> None:
    for x, y in zip(_probes(), reversed(_probes()), strict=True):
        before = x.clone(), y.clone()
        for join in (operator.apply, operator.entries):
            if join is not None:
                _check(operator, join(x, y), (x, y), before)


def _check(
    operator: Unary | Binary, result: torch.Tensor, given: tuple[torch.Tensor, ...], before: tuple[torch.Tensor, ...]
) -> None:
    if not all(x.equal(old) for x, old in zip(given, before, strict=True)):
        raise BadOperator(f"{operator.name}: changes its argument; return a new tensor")
    if not result.isfinite().all():
        shown = " and ".join(str(x.flatten().tolist()) for x in given)
        raise BadOperator(f"{operator.name}: not finite on {shown}; define it there")
