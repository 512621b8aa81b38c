"""Branch tables on disk, next to the bank: a second search of the same architectures computes no branch again.

The name of a file covers the features, the architectures in order and the source code that makes branches, so a
table is never read by code that would compute it differently.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from fitness.features.bank import FeatureBank
from fitness.tables.branches import BranchTable
from models.architecture import Architecture
from primitives.operators import UNARY
from primitives.proxy import Branch
from storage.shelf import read_sealed, write_sealed

__all__ = ["load_branches", "save_branches", "table_path"]

MAX_BYTES = 2 << 30
_ROOT = Path(__file__).resolve().parents[2]
_CODE = (
    "fitness/tables/chains.py",
    "fitness/features/sketch.py",
    "primitives/frames.py",
    "primitives/operators/unary.py",
)


def table_path(bank: FeatureBank, architectures: Sequence[Architecture]) -> Path:
    """Where the table of these architectures lies or would lie."""
    whole = "".join([_code(), bank.key.digest, *(a.digest for a in architectures)])
    return bank.folder / "table" / f"{hashlib.sha256(whole.encode()).hexdigest()[:40]}.safetensors"


@cache
def _code() -> str:
    return hashlib.sha256(b"".join((_ROOT / name).read_bytes() for name in _CODE)).hexdigest()


def save_branches(table: BranchTable, path: Path) -> None:
    """Write what the table has computed; nothing is written if the file would hold no more than it does."""
    arrays = {}
    for name, means in table.known().items():
        chains = sorted(means)
        arrays[f"chains.{name}"] = np.frombuffer(json.dumps(chains).encode(), dtype=np.uint8)
        arrays[f"means.{name}"] = np.stack([means[chain] for chain in chains])
    if arrays and sum(x.nbytes for x in arrays.values()) <= MAX_BYTES:
        write_sealed(path, arrays)


def load_branches(table: BranchTable, path: Path) -> int:
    """Give the table the branches of a file, if there is one to be trusted; how many there were."""
    arrays = read_sealed(path, MAX_BYTES) or {}
    count = 0
    for name, tensors in table.inputs.items():
        if f"chains.{name}" not in arrays:
            continue
        chains = json.loads(arrays[f"chains.{name}"].tobytes())
        means = arrays[f"means.{name}"]
        if means.shape != (len(chains), len(tensors.block)) or not all(set(c) <= set(UNARY) for c in chains):
            continue
        table.know({Branch(name, tuple(chain)): row for chain, row in zip(chains, means, strict=True)})
        count += len(chains)
    return count
