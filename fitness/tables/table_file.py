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

from fitness.budgets import budgets_of
from fitness.features.bank import FeatureBank, SketchEntry
from fitness.features.whole import PRICES, parts_for
from fitness.features.workshop import Progress, Workshop
from fitness.tables.branches import BranchTable
from fitness.tables.cuts import CutTable
from models.architecture import Architecture
from primitives.operators import UNARY
from primitives.proxy import Branch

__all__ = ["branch_table", "load_branches", "save_branches", "sketches", "table_key"]

_ROOT = Path(__file__).resolve().parents[2]
_CODE = (
    "fitness/tables/chains.py",
    "fitness/features/sketch.py",
    "primitives/frames.py",
    "primitives/operators/unary.py",
)


def sketches(
    architectures: Sequence[Architecture], workshop: Workshop, progress: Progress | None = None
) -> list[SketchEntry]:
    """The sketches of these architectures, after extracting what the bank lacks."""
    if workshop.price != PRICES[0]:
        parts = parts_for(workshop, architectures, progress)
        return [parts.joined(a.config) for a in architectures]
    held = [workshop.bank.load_sketch(a) for a in architectures]
    workshop.extract([a for a, entry in zip(architectures, held, strict=True) if entry is None], progress)
    return [entry or workshop.bank.sketch(a) for a, entry in zip(architectures, held, strict=True)]


def branch_table(
    architectures: Sequence[Architecture], workshop: Workshop, progress: Progress | None = None
) -> BranchTable:
    """The branch table of these architectures, after extracting what the bank lacks; with the branches that an
    earlier table of them has saved."""
    if workshop.price != PRICES[0]:
        return CutTable(parts_for(workshop, architectures, progress), [a.config for a in architectures])
    table = BranchTable(sketches(architectures, workshop, progress), budgets_of(architectures))
    load_branches(table, workshop.bank, architectures)
    return table


def table_key(bank: FeatureBank, architectures: Sequence[Architecture]) -> str:
    """The key of the table of these architectures."""
    whole = "".join([_code(), bank.key.digest, *(a.digest for a in architectures)])
    return hashlib.sha256(whole.encode()).hexdigest()


@cache
def _code() -> str:
    return hashlib.sha256(b"".join((_ROOT / name).read_bytes() for name in _CODE)).hexdigest()


def save_branches(table: BranchTable, bank: FeatureBank, architectures: Sequence[Architecture]) -> None:
    """Write what the table has computed; nothing is written if it would not fit."""
    arrays = {}
    for name, means in table.known().items():
        chains = sorted(means)
        arrays[f"chains.{name}"] = np.frombuffer(json.dumps(chains).encode(), dtype=np.uint8)
        arrays[f"means.{name}"] = np.stack([means[chain] for chain in chains])
    if arrays and sum(x.nbytes for x in arrays.values()) <= bank.tables.limit:
        bank.tables.save(table_key(bank, architectures), arrays)


def load_branches(table: BranchTable, bank: FeatureBank, architectures: Sequence[Architecture]) -> int:
    """Give the table the branches that an earlier one saved, if they are to be trusted; how many there were."""
    arrays = bank.tables.load(table_key(bank, architectures)) or {}
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
