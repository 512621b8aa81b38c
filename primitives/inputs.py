"""The inputs: letters for what is read from a block of an untrained network, and their role terminals. Six are those
of the paper; the others are ours."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EXTENDED", "INPUTS", "INPUT_SETS", "LETTERS", "PAPER", "Input"]


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
LETTERS: tuple[str, ...] = tuple(name for name in INPUTS if "." not in name)
"""What is read from a network; a role terminal is a selection of its letter."""

PAPER: tuple[str, ...] = ("A", "J", "G", "H", "W", "S")
EXTENDED: tuple[str, ...] = tuple(name for name in INPUTS if name[0] in PAPER)
INPUT_SETS: dict[str, tuple[str, ...]] = {"extended": EXTENDED, "paper": PAPER, "all": tuple(INPUTS)}
"""What a search may read, by name: the default, the letters of the paper, and everything there is."""
