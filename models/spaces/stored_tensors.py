"""Tensors in safetensors files: headers are read and held against the sizes of the files, values when somebody wants
them. Nothing is mapped into memory, because a file that is cut meanwhile would end the process."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from storage.datum import Datum
from storage.errors import WrongInput
from storage.files import opened, parse_json

__all__ = ["MAX_JSON", "BadWeights", "ChangedWeights", "StoredTensor", "TensorSource", "by", "read_header"]

MAX_JSON = 32 << 20  # bytes
MAX_NAMES = 1_000_000
WEIGHTS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
SIZES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
"""Bytes of an entry; kinds that are unknown here are allowed where no network wants them."""


class BadWeights(WrongInput):
    """A checkpoint that cannot be read, or not into this network; the message names the file or the tensor."""


class ChangedWeights(BadWeights):
    """A file of a checkpoint that is no longer the one that was opened: no network of the checkpoint can be had."""


class TensorSource(Protocol):
    """TensorSource of the values of a tensor: a file, or the library's conversion of several stored tensors."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def check(self) -> None:
        """Refuse, with BadWeights, values that are no weights."""
        ...

    def first(self, shape: Sequence[int]) -> torch.Tensor:
        """The first entries along every axis."""
        ...


@dataclass(frozen=True)
class StoredTensor:
    """Location of a tensor: file, name, shape, entry type and offset of the first entry."""

    path: Path
    name: str
    shape: tuple[int, ...]
    kind: str
    start: int

    def check(self) -> None:
        """Refuse entries that are no weights, such as whole numbers and quantised ones."""
        if self.kind not in WEIGHTS:
            raise BadWeights(
                f"{self.path}: {self.name}: dtype: got {self.kind!r}, wanted one of {', '.join(WEIGHTS)}; "
                "convert the checkpoint"
            )

    def first(self, shape: Sequence[int]) -> torch.Tensor:
        """The first entries along every axis, a copy."""
        self.check()
        whole = (*shape[:1], *self.shape[1:])
        if not (count := math.prod(whole)):
            return torch.empty(tuple(shape))
        content = self._bytes(count * SIZES[self.kind])
        found = torch.frombuffer(content, dtype=WEIGHTS[self.kind]).view(whole)
        return found[tuple(slice(0, size) for size in shape)]

    def _bytes(self, size: int) -> bytearray:
        content = bytearray(size)
        with opened(self.path, "a file of a checkpoint") as file:
            file.seek(self.start)
            if (got := file.readinto(content)) != size:  # type: ignore[attr-defined]
                raise BadWeights(f"{self.path}: {self.name}: got {got:,} bytes, wanted {size:,}; copy the file again")
        return content


def read_header(path: Path) -> dict[str, StoredTensor]:
    """Header of a safetensors file whose tensors fill it without gaps."""
    with opened(path, "a safetensors file") as file:
        length, size = int.from_bytes(file.read(8), "little"), path.stat().st_size
        if not 2 <= length <= min(MAX_JSON, size - 8):
            raise BadWeights(f"{path}: no safetensors file, or a truncated one ({size:,} bytes); copy it again")
        content = parse_json(file.read(length), str(path), "the header of a safetensors file", MAX_NAMES)
    items = {k: v for k, v in Datum(str(path), content, BadWeights).entries() if k != "__metadata__"}
    places = {k: _place(v) for k, v in items.items()}
    end = 0
    for name, (start, stop) in sorted(places.items(), key=lambda item: item[1]):
        if start != end:
            raise BadWeights(f"{path}: {name}: begins at byte {start:,}, wanted {end:,}; copy the file again")
        end = stop
    if (wanted := 8 + length + end) != size:
        raise BadWeights(f"{path}: got {size:,} bytes, wanted {wanted:,}: truncated or not whole; copy it again")
    return {k: StoredTensor(path, k, _shape(v), v["dtype"].value, 8 + length + places[k][0]) for k, v in items.items()}


def _place(item: Datum) -> tuple[int, int]:
    """Byte range of a tensor, checked against its shape."""
    kind, shape = item["dtype"].text(), _shape(item)
    pair = list(item["data_offsets"].items(2))
    if len(pair) != 2:
        raise item["data_offsets"].refuse("two whole numbers")
    start, end = (place.integer() for place in pair)
    if end < start or (kind in SIZES and end - start != math.prod(shape) * SIZES[kind]):
        raise BadWeights(f"{item.where}: got {end - start:,} bytes for {by(shape)} {kind}; copy the file again")
    return start, end


def _shape(item: Datum) -> tuple[int, ...]:
    return tuple(n.integer(0, 1 << 40) for n in item["shape"].items(8))


def by(shape: Iterable[int]) -> str:
    """A shape as text."""
    return " x ".join(map(str, shape)) or "one number"
