"""Checkpoints of Hugging Face on this disk: a config.json and safetensors files, one or several with an index.

Headers are read and held against the sizes of the files; tensors, or parts of them, when somebody wants them. Nothing
is executed, and files of other formats, which may be programs, are not opened.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from storage.datum import Datum
from storage.errors import ZcpError
from storage.files import load_json, opened, parse_json

__all__ = ["BadWeights", "Checkpoint", "StoredTensor"]

CONFIG, SINGLE, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.ckpt", "model.pt", "model.pth")
MAX_JSON = 32 << 20  # bytes
MAX_NAMES = 1_000_000
PIECE = 1 << 20  # bytes that are read at a time
BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
# Which axis of a map may be cut: of gate and up the first rows stay, of down the first columns.
CUT = {re.compile(r"\.mlp\.(gate|up)_proj\.weight$"): 0, re.compile(r"\.mlp\.down_proj\.weight$"): 1}


class BadWeights(ZcpError, ValueError):
    """A checkpoint that cannot be read, or not into this network; the message names the file or the tensor."""


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor is, and its shape."""

    path: Path
    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """`config` is that of the folder; `tensors` by name."""

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, StoredTensor]

    @classmethod
    def open(cls, folder: Path) -> Checkpoint:
        """The checkpoint in a folder; BadWeights or BadFile says in one line what is wrong with it."""
        if not folder.is_dir():
            raise BadWeights(f"{folder}: no such folder; give one with {CONFIG} and {SINGLE}")
        if (folder / INDEX).exists():
            tensors = _indexed(folder)
        elif (folder / SINGLE).exists():
            tensors = _header(folder / SINGLE)
        else:
            raise _without_weights(folder)
        config = load_json(folder / CONFIG, MAX_JSON, "the config.json of a checkpoint")
        return cls(folder, Datum(str(folder / CONFIG), config, BadWeights).mapping(), tensors)

    @cached_property
    def digest(self) -> str:
        """sha256 of all that the networks depend on: the configuration and the files, to the last byte."""
        paths = (self.folder / CONFIG, *sorted({stored.path for stored in self.tensors.values()}))
        return _hashed(tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in paths))

    def with_base(self, prefix: str) -> Checkpoint:
        """The same tensors, also under their names with and without `prefix`, which the library leaves out where a
        network has no head."""
        start, found = f"{prefix}.", dict(self.tensors)
        for name, stored in self.tensors.items():
            found.setdefault(name.removeprefix(start) if name.startswith(start) else start + name, stored)
        return replace(self, tensors=found)

    def check(self, wanted: Iterable[tuple[str, nn.Parameter]], who: str) -> None:
        """Refuse a network with tensors that are not here or do not fit; the feed-forward layers may be narrower."""
        for name, parameter in wanted:
            stored, shape = self.tensors.get(name), tuple(parameter.shape)
            if stored is None:
                raise BadWeights(f"{self.folder}: {name}: not in the checkpoint, but {who} has it")
            if not _fits(name, shape, stored.shape):
                raise BadWeights(f"{self.folder}: {name}: got {_by(stored.shape)}, wanted {_by(shape)} for {who}")

    @torch.no_grad()
    def fill(self, module: nn.Module, prefix: str = "") -> None:
        """Copy what a network that was checked, or a part of it whose names begin with `prefix`, has of the tensors,
        in its own precision."""
        for name, parameter in module.named_parameters():
            parameter.copy_(_first(self.tensors[prefix + name], tuple(parameter.shape)))


@lru_cache(maxsize=16)
def _hashed(files: tuple[tuple[Path, int, int], ...]) -> str:
    """sha256 over files, each with its time of change and its size; one that stays as it is is read once."""
    total = hashlib.sha256()
    for path, _, size in files:
        with opened(path, "a file of a checkpoint") as file:
            total.update(f"{path.name}:{size}\n".encode())
            while part := file.read(PIECE):
                total.update(part)
    return total.hexdigest()


def _first(stored: StoredTensor, shape: tuple[int, ...]) -> torch.Tensor:
    """The first entries of a stored tensor along every axis; a library reads what our checks of the header allow."""
    try:
        with safe_open(stored.path, framework="pt") as file:
            return file.get_slice(stored.name)[tuple(slice(0, size) for size in shape)]
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadWeights(f"{stored.path}: cannot be read ({reason}); copy it again") from None


def _without_weights(folder: Path) -> BadWeights:
    for name in PICKLED:
        if (folder / name).exists():
            return BadWeights(f"{folder}: got {name}, which can run code, wanted {SINGLE}; convert it to safetensors")
    return BadWeights(f"{folder}: holds neither {SINGLE} nor {INDEX}; give the folder of a checkpoint")


def _indexed(folder: Path) -> dict[str, StoredTensor]:
    """The tensors of several files, each where the index says."""
    content = load_json(folder / INDEX, MAX_JSON, "the index of a checkpoint")
    entries = dict(Datum(str(folder / INDEX), content, BadWeights)["weight_map"].entries())
    shards: dict[str, dict[str, StoredTensor]] = {}
    for name, item in entries.items():
        shard = item.text()
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise item.refuse("the name of a safetensors file in the same folder")
        if shard not in shards:
            shards[shard] = _header(folder / shard)
        if name not in shards[shard]:
            raise BadWeights(f"{folder / shard}: {name}: not in the file, though {INDEX} says so; copy it again")
    return {name: shards[item.value][name] for name, item in entries.items()}


def _header(path: Path) -> dict[str, StoredTensor]:
    """What a safetensors file holds, if its size agrees with that."""
    with opened(path, "a safetensors file") as file:
        length, size = int.from_bytes(file.read(8), "little"), path.stat().st_size
        if not 2 <= length <= min(MAX_JSON, size - 8):
            raise BadWeights(f"{path}: no safetensors file, or a truncated one ({size:,} bytes); copy it again")
        content = parse_json(file.read(length), str(path), "the header of a safetensors file", MAX_NAMES)
    items = {k: v for k, v in Datum(str(path), content, BadWeights).entries() if k != "__metadata__"}
    ends = [_end(item) for item in items.values()]
    if (wanted := 8 + length + max(ends, default=0)) != size:
        raise BadWeights(f"{path}: got {size:,} bytes, wanted {wanted:,}: truncated or not whole; copy it again")
    return {k: StoredTensor(path, k, tuple(n.value for n in v["shape"].items(8))) for k, v in items.items()}


def _end(item: Datum) -> int:
    """Where the bytes of a tensor end, which must be as many as its shape wants."""
    kind, shape = item["dtype"].text(), [n.integer(0, 1 << 40) for n in item["shape"].items(8)]
    start, end = (place.integer() for place in _pair(item["data_offsets"]))
    if kind not in BYTES:
        raise item["dtype"].refuse(f"one of {', '.join(BYTES)}")
    if end - start != math.prod(shape) * BYTES[kind]:
        raise BadWeights(f"{item.where}: got {end - start:,} bytes for {_by(shape)} {kind}; copy the file again")
    return end


def _pair(item: Datum) -> list[Datum]:
    found = list(item.items(2))
    if len(found) != 2:
        raise item.refuse("two whole numbers")
    return found


def _fits(name: str, wanted: tuple[int, ...], stored: tuple[int, ...]) -> bool:
    cut = next((axis for pattern, axis in CUT.items() if pattern.search(name)), None)
    return len(wanted) == len(stored) and all(
        ours == theirs or (axis == cut and ours < theirs)
        for axis, (ours, theirs) in enumerate(zip(wanted, stored, strict=True))
    )


def _by(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))
