"""Arrays in a file behind their own checksum: what is read back is what was written, or nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from storage.files import BadFile, read_limited, write_atomic

__all__ = ["read_sealed", "write_sealed"]


def write_sealed(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write safetensors behind a sha256 of its bytes (it has none of its own), atomically."""
    content = save_tensors({name: np.ascontiguousarray(x) for name, x in arrays.items()})
    write_atomic(path, hashlib.sha256(content).digest() + content)


def read_sealed(path: Path, limit: int) -> dict[str, np.ndarray] | None:
    """The arrays, or None if the file is absent, larger than `limit` bytes, or not as it was written."""
    try:
        content = read_limited(path, limit, "arrays")
        if hashlib.sha256(memoryview(content)[32:]).digest() != content[:32]:
            return None
        return load_tensors(content[32:])
    except (BadFile, SafetensorError, ValueError):
        return None
