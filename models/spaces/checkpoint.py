"""Checkpoints of Hugging Face on this disk: a config.json and safetensors files, one or several with an index.

Nothing is executed, and files of other formats, which may be programs, are not opened. The digest is of every file, and
whoever reads a tensor is refused as soon as one of them is no longer the file of the digest.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from models.spaces.stored_tensors import (
    MAX_JSON,
    BadWeights,
    ChangedWeights,
    StoredTensor,
    TensorSource,
    by,
    read_header,
)
from storage.datum import Datum
from storage.files import load_json, opened

__all__ = ["BadWeights", "ChangedWeights", "Checkpoint", "Wanted", "wanted_by"]

CONFIG, SINGLE, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.ckpt", "model.pt", "model.pth")
PIECE = 1 << 20  # bytes that are read at a time
# Which axis of a map may be cut: of gate and up the first rows stay, of down the first columns.
CUT = {re.compile(r"\.mlp\.(gate|up)_proj\.weight$"): 0, re.compile(r"\.mlp\.down_proj\.weight$"): 1}
UNREAD = "pooler"  # of an encoder: no input of a formula reads it, and a masked language model is saved without it


class Stamp(NamedTuple):
    """Identity of a file (size, time, inode), to detect its replacement without reading it."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class Wanted(NamedTuple):
    """A tensor of a network: its names, more than one where tables are tied, and whether formulas need it."""

    names: tuple[str, ...]
    tensor: torch.Tensor
    needed: bool

    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """`config` is that of the folder; `tensors` by name; `files` are all that these two and `digest` were read from."""

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, TensorSource]
    files: Mapping[Path, Stamp]
    digest: str

    @classmethod
    def open(cls, folder: Path) -> Checkpoint:
        """The checkpoint in a folder; BadWeights or BadFile says in one line what is wrong with it. The digest is
        sha256 of all that the networks depend on: the configuration, the index and the files, to the last byte."""
        if not folder.is_dir():
            raise BadWeights(f"{folder}: no such folder; give one with {CONFIG} and {SINGLE}")
        files: dict[Path, Stamp] = {}
        if (folder / INDEX).exists():
            tensors = _indexed(folder, files)
        elif (folder / SINGLE).exists():
            tensors = _header(folder / SINGLE, files)
        else:
            raise _without_weights(folder)
        stamps = {folder / CONFIG: _stamp(folder / CONFIG), **dict(sorted(files.items()))}
        content = load_json(folder / CONFIG, MAX_JSON, "the config.json of a checkpoint")
        config = Datum(str(folder / CONFIG), content, BadWeights).mapping()
        if (quantised := config.get("quantization_config")) is not None:
            got = repr(quantised)[:80]
            raise BadWeights(f"{folder / CONFIG}: quantization_config: got {got}, wanted none; save the plain weights")
        return cls(folder, config, tensors, stamps, _hashed(tuple(stamps.items())))

    def named(self, tensors: Mapping[str, TensorSource]) -> Checkpoint:
        """This checkpoint with its tensors renamed."""
        return replace(self, tensors=tensors)

    def check(self, wanted: Iterable[Wanted], who: str) -> None:
        """Refuse a network with tensors that are not here or do not fit; the feed-forward layers may be narrower."""
        for item in wanted:
            found = [(name, self.tensors[name]) for name in item.names if name in self.tensors]
            if not found and item.needed:
                raise BadWeights(f"{self.folder}: {item.names[0]}: not in the checkpoint, but {who} has it")
            for name, source in found:
                if not _fits(name, item.shape(), source.shape):
                    got, ours = by(source.shape), by(item.shape())
                    raise BadWeights(f"{self.folder}: {name}: got {got}, wanted {ours} for {who}")
                source.check()

    @torch.no_grad()
    def fill(self, module: nn.Module, prefix: str = "") -> None:
        """Copy what a network that was checked, or a part of it whose names begin with `prefix`, has of the tensors,
        in its own precision. ChangedWeights if a file is no longer the one of the digest."""
        before = self._unchanged()
        try:
            self._copy(module, prefix)
        finally:
            self._refuse_others(before)

    def _copy(self, module: nn.Module, prefix: str) -> None:
        for item in wanted_by(module):
            sources = [self.tensors[prefix + name] for name in item.names if prefix + name in self.tensors]
            values = [source.first(item.shape()) for source in sources]
            if any(not torch.equal(values[0], other) for other in values[1:]):
                names = " and ".join(prefix + name for name in item.names)
                raise BadWeights(
                    f"{self.folder}: {names}: got tensors that differ, but {CONFIG} ties them; set tie_word_embeddings "
                    "to false there"
                )
            for value in values[:1]:
                item.tensor.copy_(value)

    def _unchanged(self) -> dict[Path, Stamp]:
        """The stamps of the files, which are those of the digest: unchanged, or copies of the same bytes, as on another
        machine."""
        now = {path: _stamp(path) for path in self.files}
        if now != self.files and _hashed(tuple(now.items())) != self.digest:
            self._refuse_others(self.files)
        return now

    def _refuse_others(self, before: Mapping[Path, Stamp]) -> None:
        for path, stamp in before.items():
            if _stamp(path) != stamp:
                raise _changed(path)


def wanted_by(module: nn.Module) -> list[Wanted]:
    """The tensors of a network, or of a part of one: parameters, and buffers of numbers that are saved with them."""
    names: dict[int, list[str]] = {}
    tensors = dict(module.named_parameters(remove_duplicate=False))
    for name, parameter in tensors.items():
        names.setdefault(id(parameter), []).append(name)
    found = [Wanted(tuple(n), tensors[n[0]], UNREAD not in n[0].split(".")) for n in names.values()]
    saved = module.state_dict().keys()
    buffers = [(n, b) for n, b in module.named_buffers() if n in saved and b.is_floating_point()]
    return found + [Wanted((name,), buffer, False) for name, buffer in buffers]


@lru_cache(maxsize=16)
def _hashed(files: tuple[tuple[Path, Stamp], ...]) -> str:
    """sha256 over files as they were stamped; those that stay as they are are read once."""
    total = hashlib.sha256()
    for path, stamp in files:
        with opened(path, "a file of a checkpoint") as file:
            total.update(f"{path.name}:{stamp.size}\n".encode())
            while part := file.read(PIECE):
                total.update(part)
    for path, stamp in files:
        if _stamp(path) != stamp:
            raise _changed(path)
    return total.hexdigest()


def _stamp(path: Path) -> Stamp:
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ChangedWeights(f"{path}: cannot be read ({reason}); copy it again") from None
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def _changed(path: Path) -> ChangedWeights:
    return ChangedWeights(f"{path}: was changed while it was in use, wanted the file of the start; start again")


def _without_weights(folder: Path) -> BadWeights:
    for name in PICKLED:
        if (folder / name).exists():
            return BadWeights(f"{folder}: got {name}, which can run code, wanted {SINGLE}; convert it to safetensors")
    return BadWeights(f"{folder}: holds neither {SINGLE} nor {INDEX}; give the folder of a checkpoint")


def _indexed(folder: Path, files: dict[Path, Stamp]) -> dict[str, StoredTensor]:
    """The tensors of several files, each where the index says."""
    files[folder / INDEX] = _stamp(folder / INDEX)
    content = load_json(folder / INDEX, MAX_JSON, "the index of a checkpoint")
    entries = dict(Datum(str(folder / INDEX), content, BadWeights)["weight_map"].entries())
    shards: dict[str, dict[str, StoredTensor]] = {}
    for name, item in entries.items():
        shard = item.text()
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise item.refuse("the name of a safetensors file in the same folder")
        if shard not in shards:
            shards[shard] = _header(folder / shard, files)
        if name not in shards[shard]:
            raise BadWeights(f"{folder / shard}: {name}: not in the file, though {INDEX} says so; copy it again")
    return {name: shards[item.value][name] for name, item in entries.items()}


def _header(path: Path, files: dict[Path, Stamp]) -> dict[str, StoredTensor]:
    files[path] = _stamp(path)
    return read_header(path)


def _fits(name: str, wanted: tuple[int, ...], stored: tuple[int, ...]) -> bool:
    cut = next((axis for pattern, axis in CUT.items() if pattern.search(name)), None)
    return len(wanted) == len(stored) and all(
        ours <= theirs if axis == cut else ours == theirs
        for axis, (ours, theirs) in enumerate(zip(wanted, stored, strict=True))
    )
