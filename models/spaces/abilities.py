"""Optional abilities of spaces: networks in pieces, and networks with the weights of a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from models.architecture import Architecture
from models.spaces.space import BlockTaps, Space

if TYPE_CHECKING:
    import torch
    from torch import nn

    from models.spaces.checkpoint import Checkpoint

__all__ = ["NetworkParts", "PartedSpace", "WeightedSpace"]


class NetworkParts(Protocol):
    """A network that is never held as a whole."""

    blocks: int

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T) -> (B, T, D), the input of the first block."""
        ...

    def block(self, index: int) -> nn.Module:
        """Block `index` with its weights; it maps (B, T, D) to (B, T, D)."""
        ...

    def taps(self, block: Any) -> BlockTaps:
        """Taps of the inputs of a block."""
        ...

    def loss(self, x: torch.Tensor, tokens: torch.Tensor) -> float:
        """The loss of tokens (B, T), given the output of the last block (B, T, D)."""
        ...

    def ending(self, x: torch.Tensor, tokens: torch.Tensor) -> tuple[float, torch.Tensor]:
        """The loss, and its gradient at the output of the last block, both (B, T, D)."""
        ...


class WeightedSpace(Space, Protocol):
    """A space whose networks can have the weights of a checkpoint."""

    def check_weights(self, architecture: Architecture, weights: Checkpoint) -> None:
        """Refuse, with BadWeights, a checkpoint that has no weights for the architecture."""
        ...

    def loaded(self, architecture: Architecture, weights: Checkpoint) -> nn.Module:
        """The network with these weights, in float32; the checkpoint was checked."""
        ...


class PartedSpace(Space, Protocol):
    """A space whose networks can be made piece by piece, each tensor without the others."""

    def parts(
        self, architecture: Architecture, init_seed: int, build: str | None = None, weights: Checkpoint | None = None
    ) -> NetworkParts:
        """The network of `build`, or of `loaded` where there are weights, in pieces."""
        ...

    def largest_part(self, architecture: Architecture) -> int:
        """Parameters of its largest piece."""
        ...
