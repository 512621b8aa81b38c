"""Inputs of a workshop of trained networks: the checkpoint of their weights, and text in its tokens."""

from __future__ import annotations

from pathlib import Path

from fitness.features.bank import BadFeatures
from models.spaces import SPACES, WEIGHTED
from models.spaces.checkpoint import Checkpoint
from models.tokenizer import TextTokenizer
from models.tokens import TokenBatch
from storage.datum import is_whole

__all__ = ["check_whole", "opened_weights", "token_batch"]


def opened_weights(folder: Path, space: str, build: str | None) -> Checkpoint:
    """The checkpoint, for a space and a build that can have its weights."""
    if space not in WEIGHTED:
        raise BadFeatures(f"--weights: got the space {space}, wanted {' or '.join(WEIGHTED)}; leave it out")
    if build not in (None, SPACES[space].builds[0]):
        raise BadFeatures(f"--weights: got the build {build} as well, which has weights of its own; give one of them")
    return Checkpoint.open(folder)


def check_whole(space: str, build: str | None, weights: Checkpoint | None) -> None:
    """Refuse the price `whole` where there is no trained network to cut."""
    if space != "llama" or (weights is None and build != "as_trained"):
        raise BadFeatures(
            f"--price: got whole for the space {space} without trained weights; wanted the space llama with --weights "
            "DIR or --build as_trained"
        )


def token_batch(weights: Checkpoint | None, corpus: Path | None, batch: int, length: int) -> TokenBatch:
    """The token batch, by the tokenizer of a checkpoint that has one."""
    tokenizer = None if weights is None else TextTokenizer.of(weights.folder)
    if weights is None or tokenizer is None:
        return TokenBatch.from_file(corpus, batch, length) if corpus else TokenBatch.from_passage(batch, length)
    if is_whole(vocabulary := weights.config.get("vocab_size")):
        tokenizer.check(vocabulary)
    return TokenBatch.tokenised(tokenizer, corpus, batch, length)
