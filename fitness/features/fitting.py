"""Checks that a network fits into the free memory, and a batch into the positions that the network can read."""

from __future__ import annotations

from fitness.features.collect import FeatureError
from models.architecture import Architecture
from models.spaces import PARTED, SPACES
from models.tokens import TokenBatch

__all__ = ["bytes_of", "check_batch", "check_size", "size_of"]

MAX_PARAMETERS = 4_000_000_000  # 16 GB of weights: beyond that a description is a mistake or an attack
MAX_STREAMED = 100_000_000_000


def size_of(architecture: Architecture) -> int:
    """All parameters of a network."""
    return SPACES[architecture.space].parameters(architecture).total


def bytes_of(architecture: Architecture, gradients: bool = True) -> int:
    """Bytes of the weights of a network, with the gradients of its blocks if they are taken, those of each run of a
    block."""
    count = SPACES[architecture.space].parameters(architecture)
    return 4 * (count.total + (count.decoder * architecture.config.get("runs", 1) if gradients else 0))


def check_size(architecture: Architecture, streamed: bool, gradients: bool, free: int | None) -> None:
    """Refuse a network of too many parameters, and one that takes more memory than a worker has `free`: its weights,
    with the gradients of its blocks where somebody reads them, or its largest piece with what is computed of it."""
    most = MAX_STREAMED if streamed else MAX_PARAMETERS
    if (size := size_of(architecture)) > most:
        raise FeatureError(f"{architecture.id}: got {size:,} parameters, wanted at most {most:,}; remove the record")
    if streamed:
        need = (12 if gradients else 8) * PARTED[architecture.space].largest_part(architecture)
    else:
        need = bytes_of(architecture, gradients)
    if free is not None and need > free:
        what = "weights and gradients" if gradients else "weights"
        raise FeatureError(
            f"{architecture.id}: needs {need / 2**30:.1f} GiB for {what}, but only {free / 2**30:.1f} are free; "
            "use a machine with more memory, or leave it out"
        )


def check_batch(architecture: Architecture, batch: TokenBatch) -> None:
    """Refuse sequences that are too long for a network, and tokens that its vocabulary lacks."""
    length, vocabulary = SPACES[architecture.space].limits(architecture)
    if (got := batch.tokens.shape[1]) > length:
        raise FeatureError(
            f"{architecture.id}: got sequences of {got} tokens, wanted at most {length}; lower --seq-len"
        )
    if (token := int(batch.tokens.max())) >= vocabulary:
        raise FeatureError(
            f"{architecture.id}: got token {token}, but its vocabulary has {vocabulary}; use another --corpus"
        )
