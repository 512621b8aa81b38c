"""Architecture: a frozen description of a transformer, the unit that benchmarks measure and proxies rank."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from storage.errors import WrongInput

__all__ = ["Architecture", "BadArchitecture", "ParameterCount"]


class BadArchitecture(WrongInput):
    """A description that its space cannot build; the message names the field, what it got and what it wants."""


@dataclass(frozen=True)
class ParameterCount:
    """Numbers of trainable parameters by role; `decoder` is attention + FFN + LayerNorms, no embeddings."""

    attention: int
    ffn: int
    decoder: int
    embedding: int
    total: int


@dataclass(frozen=True, eq=False)
class Architecture:
    """A named configuration in a space.

    `config` is the space's checked, JSON-compatible description. Two architectures are equal when their
    configurations are: `id` is a label of a benchmark's record, `digest` is the identity. `tokens` is what it is or
    would be trained on, where that is known; no feature of an untrained network depends on it.
    """

    id: str
    space: str
    config: Mapping[str, Any]
    digest: str
    tokens: float | None = None

    @classmethod
    def create(cls, id: str, space: str, config: Mapping[str, Any], tokens: float | None = None) -> Architecture:
        """Freeze an already checked configuration (`Space.architecture` checks and then calls this)."""
        frozen = {key: tuple(value) if isinstance(value, list | tuple) else value for key, value in config.items()}
        text = json.dumps({"space": space, "config": frozen}, sort_keys=True, allow_nan=False)
        return cls(id, space, MappingProxyType(frozen), hashlib.sha256(text.encode()).hexdigest(), tokens)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy cannot be pickled, and worker processes receive architectures.
        return Architecture.create, (self.id, self.space, dict(self.config), self.tokens)

    def seed(self, init_seed: int) -> int:
        """Seed of this architecture's own generator: independent of worker, device and order."""
        return int.from_bytes(hashlib.sha256(f"{init_seed}:{self.digest}".encode()).digest()[:8]) >> 1
