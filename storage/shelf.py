"""Shelves: folders of checksummed entries, one file per key; an entry is read only by the key it was saved with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from storage.datum import Datum
from storage.files import BadFile, dump_json, load_json, read_limited, sealed, unsealed, write_atomic

__all__ = ["ArrayShelf", "Shelf"]

Record = TypeVar("Record")


@dataclass(frozen=True)
class Shelf(Generic[Record]):
    """JSON records by name, each with the version of its producer; records of another version count as absent.

    `read` makes a record of its fields and raises BadFile where it cannot; `plain` is its inverse. One record that
    cannot be read makes the whole entry untrusted. `limit` is the size of an entry in bytes.
    """

    folder: Path
    version: Callable[[str], str]
    read: Callable[[Datum], Record]
    plain: Callable[[Record], Mapping[str, float | str]]
    limit: int = 16 << 20

    def path(self, key: str) -> Path:
        """Path of the entry."""
        return self.folder / f"{_file_name(key)}.json"

    def load(self, key: str) -> dict[str, Record]:
        """The records of the present versions; empty when there are none to be trusted."""
        trusted = self._trusted(key) or {}
        current = {name: record for name, record in trusted.items() if record["version"].value == self.version(name)}
        return {name: self.read(record["figures"]) for name, record in current.items()}

    def damaged(self, key: str) -> bool:
        """True if the entry exists but cannot be trusted."""
        return self.path(key).exists() and self._trusted(key) is None

    def save(self, key: str, records: Mapping[str, Record]) -> None:
        """Add records to those already there; BadFile when the entry gets too large."""
        merged = {name: record.value for name, record in (self._trusted(key) or {}).items()}
        for name, record in records.items():
            merged[name] = {"version": self.version(name), "figures": dict(self.plain(record))}
        content = dump_json(sealed({"key": key, "records": merged}), None)
        if len(content) > self.limit:
            raise BadFile(f"{self.path(key)}: {len(merged):,} records of one architecture fill it; remove the file")
        _keep(self.path(key), content)

    def _trusted(self, key: str) -> dict[str, Datum] | None:
        """Every record, of any version; None if the entry is absent, damaged, or another key's."""
        path = self.path(key)
        try:
            content = unsealed(load_json(path, self.limit, "an entry of the bank"), str(path))
            entry = Datum(str(path), content, BadFile)
            records = {name: entry["records"][name] for name in entry["records"].mapping()}
            for record in records.values():
                record.only("version", "figures")
                record["version"].text()
                self.read(record["figures"])
        except BadFile:
            return None
        return records if entry.value.get("key") == key else None


@dataclass(frozen=True)
class ArrayShelf:
    """Arrays by name, in entries of at most `limit` bytes."""

    folder: Path
    limit: int

    def path(self, key: str) -> Path:
        """Path of the entry."""
        return self.folder / f"{_file_name(key)}.safetensors"

    def load(self, key: str) -> dict[str, np.ndarray] | None:
        """The arrays, or None if the entry is absent, larger than the limit, damaged, or another key's."""
        try:
            content = read_limited(self.path(key), self.limit, "arrays")
            if hashlib.sha256(memoryview(content)[32:]).digest() != content[:32]:
                return None
            arrays = load_tensors(content[32:])
        except (BadFile, SafetensorError, ValueError):
            return None
        return arrays if arrays.pop("key", np.zeros(0)).tobytes() == key.encode() else None

    def save(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write safetensors behind a sha256 of its bytes (it has none of its own), atomically."""
        whole = {**arrays, "key": np.frombuffer(key.encode(), dtype=np.uint8)}
        content = save_tensors({name: np.ascontiguousarray(x) for name, x in whole.items()})
        _keep(self.path(key), hashlib.sha256(content).digest() + content)


def _keep(path: Path, content: bytes) -> None:
    """Write an entry; BadFile where no file can be written."""
    if path.exists() and not path.is_file():
        raise BadFile(f"{path}: is no regular file, so nothing can be kept there; remove it")
    write_atomic(path, content)


def _file_name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:40]
