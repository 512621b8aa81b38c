"""The inputs: letters for what is read from a block of an untrained network, and their role terminals. Six are those
of the paper; the others are ours. Counts say how large a block is, from the sizes of what the letters read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["COUNTS", "EXTENDED", "INPUTS", "INPUT_SETS", "LETTERS", "PAPER", "TERMINALS", "Input"]


@dataclass(frozen=True)
class Input:
    """One terminal of the language.

    `tensors` names the list of tensors it stands for in a block: inputs with the same list are aligned tensor by
    tensor and entry by entry, so they can be joined elementwise. `axis` is the axis softmax runs along.
    """

    name: str
    tensors: str
    axis: int
    nonnegative: bool
    meaning: str
    shape: str
    count: Count | None = None

    @property
    def letters(self) -> frozenset[str]:
        """The letters that are read of a network."""
        return frozenset(name.partition(".")[0] for name in (self.count.of if self.count else [self.name]))

    @property
    def needs_pass(self) -> bool:
        """False for sizes of weights, and for a count that asks only whether a block has such tensors."""
        return self.count is None or not (self.count.once or self.letters == {"W"})


@dataclass(frozen=True)
class Count:
    """A number of each tensor of an input: `value` of its number of entries and the length of its softmax axis, then
    those of the tensor beside it of a second input; of whole numbers, or of tensors of them. `once` in a block that has
    such tensors if told so."""

    of: tuple[str, ...]
    value: Callable[..., Any]
    once: bool


_ALL = (
    Input("A", "ffn", -2, False, "activations after the FFN nonlinearity", "(tokens, d_inner)"),
    Input("J", "stream", -2, False, "gradient of the loss at the block's input", "(tokens, d_model)"),
    Input("G", "weights", -1, False, "gradient of each weight matrix", "(out, in)"),
    Input("H", "stream", -2, False, "output of the heads before the output projection", "(tokens, d_model)"),
    Input("W", "weights", -1, False, "each weight matrix", "(out, in)"),
    Input("S", "attention", -1, True, "attention probabilities", "(heads, T, T)"),
    Input(
        "Q",
        "queries",
        -2,
        False,
        "queries before they are split into heads, or the input map of a transform",
        "(tokens, d_query)",
    ),
    Input("W.attn", "weights.attn", -1, False, "weight matrices of the token mixer", "(out, in)"),
    Input("W.ffn", "weights.ffn", -1, False, "weight matrices of the FFN", "(out, in)"),
    Input("G.attn", "weights.attn", -1, False, "gradients of the token mixer's matrices", "(out, in)"),
    Input("G.ffn", "weights.ffn", -1, False, "gradients of the FFN's matrices", "(out, in)"),
)
INPUTS: dict[str, Input] = {i.name: i for i in _ALL}
"""Tensors of a network, by name."""


def _entries(entries: int, line: int) -> int:
    return entries


def _width(entries: int, tokens: int) -> int:
    return entries // tokens


def _one(entries: int, line: int) -> int:
    return entries // entries


def _heads(entries: int, keys: int, _: int, tokens: int) -> int:
    return entries // (keys * tokens)  # each token of the batch has a row of keys in every head


COUNTS: dict[str, Input] = {
    name: Input(name, f"count {name}", -1, True, meaning, "()", count)
    for name, meaning, count in (
        ("params", "entries of each weight matrix", Count(("W",), _entries, False)),
        ("params.attn", "entries of each weight matrix of the token mixer", Count(("W.attn",), _entries, False)),
        ("params.ffn", "entries of each weight matrix of the FFN", Count(("W.ffn",), _entries, False)),
        ("width", "width of all heads together, mostly d_model", Count(("H",), _width, False)),
        ("hidden", "width inside the FFN", Count(("A",), _width, False)),
        ("heads", "number of heads", Count(("S", "H"), _heads, False)),
        ("block", "1 for each block with an FFN, so that its sum is the depth", Count(("A",), _one, True)),
    )
}
"""Sizes of a block, which need no pass: one number for each tensor that they count, or one a block."""

TERMINALS: dict[str, Input] = INPUTS | COUNTS
LETTERS: tuple[str, ...] = tuple(name for name in INPUTS if "." not in name)
"""Names of what is recorded of a network; a role terminal is a selection of its letter."""

PAPER: tuple[str, ...] = ("A", "J", "G", "H", "W", "S")
EXTENDED: tuple[str, ...] = tuple(name for name in INPUTS if name[0] in PAPER)
INPUT_SETS: dict[str, tuple[str, ...]] = {
    "extended": EXTENDED,
    "paper": PAPER,
    "all": tuple(INPUTS),
    "counts": tuple(COUNTS),
    "both": (*EXTENDED, *COUNTS),
}
"""Inputs of a search, by name: the default, the letters of the paper, all tensors, counts alone, and the default
with counts."""
