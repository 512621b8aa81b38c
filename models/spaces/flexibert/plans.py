"""The sizes of a `flexibert` network: what each block is built from, and what it costs. The modules built from them are
in `models/spaces/flexibert/blocks.py`; nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

__all__ = ["OPERATIONS", "BlockPlan", "embedding_parameters"]

KERNELS = {"DSC5": 5, "DSC9": 9}
OPERATIONS = ("SDP", "WMA", "DFT", "DCT", *KERNELS)

VOCABULARY, EMBEDDING, POSITIONS, SEGMENTS = 30522, 128, 512, 2


@dataclass(frozen=True)
class BlockPlan:
    """Plan of one block: width D, token mixing, K heads, widths of all FFN layers but the last."""

    width: int
    operation: str
    heads: int
    ffn: tuple[int, ...]

    def mixing_parameters(self) -> int:
        """Token-mixing maps with biases, the output projection included, LayerNorm excluded."""
        D = self.width
        square = D * D + D
        if self.operation in ("DFT", "DCT"):
            return square
        if self.operation in KERNELS:
            k, half, spans = KERNELS[self.operation], D // 2, self.heads // 2 * KERNELS[self.operation]
            return 4 * (D * half + half) + D * k + D * half + half + spans * half + spans + square
        return 4 * square + (D * D if self.operation == "WMA" else 0)

    def ffn_parameters(self) -> int:
        """Feed-forward maps with biases."""
        widths = (self.width, *self.ffn, self.width)
        return sum(a * b + b for a, b in pairwise(widths))

    def multiply_adds(self, length: int) -> int:
        """Multiply-adds of all matrix products for one sequence of `length` tokens T: linear maps and token mixing."""
        T, D = length, self.width
        widths = (D, *self.ffn, D)
        feeding = T * sum(a * b for a, b in pairwise(widths))
        if self.operation in ("DFT", "DCT"):  # one map; the cosine transform is a product from both sides
            return feeding + T * D * D + (T * T * D + T * D * D // self.heads if self.operation == "DCT" else 0)
        if self.operation in KERNELS:
            k, half = KERNELS[self.operation], D // 2
            maps = 5 * D * half + D * k + half * (self.heads // 2) * k + D * D
            return feeding + T * (maps + half * k) + 2 * T * T * half
        return feeding + T * D * D * (5 if self.operation == "WMA" else 4) + 2 * T * T * D

    def norm_parameters(self) -> int:
        """One LayerNorm after the FFN, and one after the mixing where that has an output projection."""
        return 2 * self.width * (1 if self.operation in ("DFT", "DCT") else 2)


def embedding_parameters(D: int) -> int:
    """Tables, their LayerNorm, and the map to width D unless D is the embedding width."""
    tables = (VOCABULARY + POSITIONS + SEGMENTS) * EMBEDDING + 2 * EMBEDDING
    return tables + (0 if D == EMBEDDING else EMBEDDING * D + D)
