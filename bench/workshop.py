"""Where the studies of this folder extract and score: the default batch and every core."""

from __future__ import annotations

from pathlib import Path

from engine.crew import check_devices
from fitness.features.bank import FeatureBank, FeatureKey
from fitness.features.workshop import Workshop
from models.tokens import TokenBatch


def open_workshop(space: str, bank: Path, init_seed: int = 0) -> Workshop:
    """A workshop for the space's default build."""
    batch = TokenBatch.from_passage()
    key = FeatureKey.create(space, batch.digest, init_seed)
    return Workshop(FeatureBank(bank, key), batch, check_devices("auto"))
