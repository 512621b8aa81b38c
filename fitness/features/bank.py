"""FeatureBank: sketches and figures of architectures, each behind a key of all that made it.

A file with a wrong key, checksum, shape or version is never trusted: it counts as absent and is made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch

from fitness.features.collect import EXTRACTOR_VERSION, Features
from fitness.features.sketch import GRID, NODES, SKETCH_VERSION, sketches
from models.architecture import Architecture
from models.spaces import SPACES
from primitives.inputs import INPUTS, LETTERS
from storage.errors import WrongInput
from storage.files import BadFile
from storage.locks import held, sweep
from storage.shelf import ArrayShelf

__all__ = ["BadFeatures", "FeatureBank", "FeatureKey", "SketchEntry", "joined", "sketch_features"]

log = logging.getLogger("zcp.bank")
log.addHandler(logging.NullHandler())  # silent, unless the program that uses it listens
FORMAT = 2  # of the files: those of another one are absent
MAX_SKETCH = 32 << 20  # bytes; the deepest published network needs below 2 MiB
MAX_TABLE = 2 << 30


class BadFeatures(WrongInput):
    """Features that no space offers; the message names the nearest that one does."""


@dataclass(frozen=True)
class FeatureKey:
    """Everything the features of an architecture depend on, besides the architecture; `device` is the kind of device
    that they are computed on (`engine.devices.kind_of`)."""

    space: str
    build: str
    tokens: str
    init_seed: int
    space_version: int = 0
    extractor_version: int = EXTRACTOR_VERSION
    sketch_version: int = SKETCH_VERSION
    device: str = "cpu"
    weights: str = ""  # the digest of the checkpoint that they are from; none where they are drawn
    price: str = ""  # "whole" where they are those of the parts of a whole network, none where each is visited

    @classmethod
    def create(
        cls,
        space: str,
        tokens: str,
        init_seed: int = 0,
        build: str | None = None,
        device: str = "cpu",
        weights: str = "",
        price: str = "",
    ) -> FeatureKey:
        """The key of a space's default (or the named) build; BadFeatures if there is no such space or build."""
        found = SPACES[_known("space", space, tuple(SPACES))]
        chosen = _known("build", build or found.builds[0], found.builds)
        return cls(space, chosen, tokens, init_seed, found.version, device=device, weights=weights, price=price)

    @property
    def digest(self) -> str:
        """Name of this key in results. That of drawn weights on a CPU is the one it had before there were others."""
        parts = {name: value for name, value in asdict(self).items() if name not in ("weights", "price") or value}
        if self.device == "cpu":
            del parts["device"]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _known(what: str, got: str, known: Sequence[str]) -> str:
    if got in known:
        return got
    near = get_close_matches(got, known, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise BadFeatures(f"--{what}: got {got!r}, wanted one of {', '.join(known)}{hint}")


@dataclass(frozen=True, eq=False)
class SketchEntry:
    """The sketch of one network.

    Per input letter: `samples` (M, NODES + GRID) float32 and `layout` (M, 4) int64 with the block, the role
    (0 attn, 1 ffn), the true number of entries and the true length of the softmax axis of each of its M tensors.
    """

    samples: Mapping[str, np.ndarray]
    layout: Mapping[str, np.ndarray]
    blocks: int
    loss: float

    @property
    def finite(self) -> bool:
        """True if the network ran without overflow. Every entry of every tensor has a share in a sample."""
        return math.isfinite(self.loss) and all(bool(np.isfinite(x).all()) for x in self.samples.values())

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of a file."""
        arrays = {f"samples.{name}": self.samples[name] for name in LETTERS}
        arrays |= {f"layout.{name}": self.layout[name] for name in LETTERS}
        return arrays | {"blocks": np.array([self.blocks]), "loss": np.array([self.loss])}

    def is_sound(self) -> bool:
        """True if it has the arrays of a sketch, in their shapes."""
        try:
            _checked(self.arrays())
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):  # what made it may be anything
            return False
        return True


ROLES = {"attn": 0, "ffn": 1}


def sketch_features(features: Features) -> SketchEntry:
    """Summarise every tensor of every input."""
    layout, tensors = {}, list[tuple[str, torch.Tensor]]()
    for name in LETTERS:
        places = list[tuple[int, int, int, int]]()
        for index, block in enumerate(features.blocks):
            attention = len(block.get(f"{name}.attn", ()))
            for position, x in enumerate(block[name]):
                role = 0 if f"{name}.attn" not in block or position < attention else 1
                tensors.append((name, x))
                places.append((index, role, x.numel(), x.shape[INPUTS[name].axis]))
        layout[name] = np.array(places, dtype=np.int64).reshape(-1, 4)
    ends = np.cumsum([len(layout[name]) for name in LETTERS])
    samples = dict(zip(LETTERS, np.split(sketches(tensors), ends[:-1]), strict=True))
    return SketchEntry(samples, layout, len(features.blocks), features.loss)


def joined(blocks: Sequence[SketchEntry], loss: float) -> SketchEntry:
    """The sketch of a network from those of its blocks, each made alone, the first one first."""
    samples = {name: np.concatenate([block.samples[name] for block in blocks]) for name in LETTERS}
    layout = {
        name: np.concatenate([block.layout[name] + (index, 0, 0, 0) for index, block in enumerate(blocks)])
        for name in LETTERS
    }
    return SketchEntry(samples, layout, len(blocks), loss)


class FeatureBank:
    """A folder of features for one key."""

    def __init__(self, folder: Path, key: FeatureKey) -> None:
        self.folder, self.key = folder, key
        self.place = folder / f"format-{FORMAT}"
        self.sketches = ArrayShelf(self.place / "sketch", MAX_SKETCH)
        self.tables = ArrayShelf(self.place / "table", MAX_TABLE)

    def entry(self, architecture: Architecture) -> str:
        """The key of all that the bank holds of the architecture."""
        return f"{self.key.digest}:{architecture.digest}"

    def load_sketch(self, architecture: Architecture) -> SketchEntry | None:
        """The verified sketch, or None when it is absent or not to be trusted."""
        arrays = self.sketches.load(self.entry(architecture))
        try:
            return None if arrays is None else _checked(arrays)
        except (ValueError, KeyError):
            return None

    def sketch(self, architecture: Architecture) -> SketchEntry:
        """The verified sketch of an architecture that was extracted; BadFile if it is not there any more."""
        if (entry := self.load_sketch(architecture)) is None:
            path = self.sketches.path(self.entry(architecture))
            raise BadFile(f"{path}: is not what was written; run this again")
        return entry

    def save_sketch(self, architecture: Architecture, entry: SketchEntry) -> None:
        """Write the sketch behind its own checksum, atomically."""
        self.sketches.save(self.entry(architecture), entry.arrays())

    def tell_damaged(self, paths: Sequence[Path]) -> None:
        """One warning about files that are not to be trusted."""
        if paths:
            log.warning("%s: %d damaged in the bank (such as %s); made again", self.folder, len(paths), paths[0].name)

    @contextmanager
    def claim(self, architecture: Architecture, wait: bool = False) -> Iterator[bool]:
        """Be the only one to work on the architecture's files; yields False at once if another process is, unless
        told to `wait`. The claim of a process that dies is free."""
        with ExitStack() as stack:
            try:
                path = self.sketches.path(self.entry(architecture))
                path.parent.mkdir(parents=True, exist_ok=True)
                mine = stack.enter_context(held(path.with_name(f".{path.stem}.lock"), wait))
            except OSError as error:
                raise BadFile(f"{self.folder}: cannot be used ({error.strerror}); choose another --bank") from error
            yield mine

    def sweep(self) -> None:
        """Remove what killed processes left behind."""
        for folder in self.place.glob("*"):
            sweep(folder)


def _checked(tensors: Mapping[str, np.ndarray]) -> SketchEntry:
    """The entry of a file; ValueError or KeyError if its content cannot be one, whatever its checksum says."""
    blocks, loss = tensors["blocks"], tensors["loss"]
    if blocks.shape != (1,) or blocks.dtype != np.int64 or loss.shape != (1,) or loss.dtype != np.float64:
        raise ValueError("blocks, loss")
    samples = {name: tensors[f"samples.{name}"] for name in LETTERS}
    layout = {name: tensors[f"layout.{name}"] for name in LETTERS}
    for name in LETTERS:
        places = layout[name]
        if samples[name].dtype != np.float32 or samples[name].shape != (len(places), NODES + GRID):
            raise ValueError(name)
        if places.dtype != np.int64 or places.shape[1:] != (4,) or (places < (0, 0, 1, 1)).any():
            raise ValueError(name)
        if (places[:, :2] >= (int(blocks[0]), len(ROLES))).any():
            raise ValueError(name)
    return SketchEntry(samples, layout, int(blocks[0]), float(loss[0]))
