"""FeatureBank: one sketch file per architecture, and exact scores beside it, each keyed by all that made it.

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
from pathlib import Path

import numpy as np

from fitness.features.collect import EXTRACTOR_VERSION, Features
from fitness.features.sketch import GRID, NODES, SKETCH_VERSION, sketch
from models.architecture import Architecture
from models.spaces import SPACES
from primitives.inputs import INPUTS, PAPER
from primitives.invalid import Invalid
from primitives.scoring import SCORING_VERSION
from storage.files import BadFile, dump_json, parse_json, read_limited, write_atomic
from storage.locks import held, sweep
from storage.shelf import read_sealed, write_sealed

__all__ = ["FeatureBank", "FeatureKey", "SketchEntry", "sketch_features"]

log = logging.getLogger("zcp.bank")
log.addHandler(logging.NullHandler())  # silent, unless the program that uses it listens
MAX_ENTRY = 32 << 20  # bytes; the deepest published network needs below 2 MiB
MAX_EXACT = 8 << 20  # bytes, about 80,000 formulas


@dataclass(frozen=True)
class FeatureKey:
    """Everything the features of an architecture depend on, besides the architecture."""

    space: str
    build: str
    tokens: str
    init_seed: int
    space_version: int = 0
    extractor_version: int = EXTRACTOR_VERSION
    sketch_version: int = SKETCH_VERSION

    @classmethod
    def create(cls, space: str, tokens: str, init_seed: int = 0, build: str | None = None) -> FeatureKey:
        """The key of a space's default (or the named) build."""
        found = SPACES[space]
        return cls(space, build or found.builds[0], tokens, init_seed, found.version)

    @property
    def digest(self) -> str:
        """Name of this key in results."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def of(self, architecture: Architecture) -> str:
        """Name of the architecture's files."""
        return hashlib.sha256(f"{self.digest}:{architecture.digest}".encode()).hexdigest()[:40]


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
        """Whether the network ran without overflow. Every entry of every tensor has a share in a sample."""
        return math.isfinite(self.loss) and all(bool(np.isfinite(x).all()) for x in self.samples.values())


ROLES = {"attn": 0, "ffn": 1}


def sketch_features(features: Features) -> SketchEntry:
    """Summarise every tensor of every input."""
    samples, layout = {}, {}
    for name in PAPER:
        rows, places = [], []
        for index, block in enumerate(features.blocks):
            attention = len(block.get(f"{name}.attn", ()))
            for position, x in enumerate(block[name]):
                role = 0 if f"{name}.attn" not in block or position < attention else 1
                rows.append(sketch(x, name))
                places.append((index, role, x.numel(), x.shape[INPUTS[name].axis]))
        samples[name] = np.stack(rows) if rows else np.zeros((0, NODES + GRID), np.float32)
        layout[name] = np.array(places, dtype=np.int64).reshape(-1, 4)
    return SketchEntry(samples, layout, len(features.blocks), features.loss)


class FeatureBank:
    """A folder of features for one key."""

    def __init__(self, folder: Path, key: FeatureKey) -> None:
        self.folder, self.key = folder, key

    def sketch_path(self, architecture: Architecture) -> Path:
        """Where the architecture's sketch lies or would lie."""
        return self.folder / "sketch" / f"{self.key.of(architecture)}.safetensors"

    @property
    def exact_folder(self) -> Path:
        """Where the exact scores of this version of scoring lie."""
        return self.folder / f"exact-{SCORING_VERSION}"

    def exact_path(self, architecture: Architecture) -> Path:
        """Where the architecture's exact scores lie or would lie."""
        return self.exact_folder / f"{self.key.of(architecture)}.json"

    def load_sketch(self, architecture: Architecture) -> SketchEntry | None:
        """The verified sketch, or None when it is absent or not to be trusted."""
        arrays = read_sealed(self.sketch_path(architecture), MAX_ENTRY)
        try:
            return None if arrays is None else _checked(arrays)
        except (ValueError, KeyError):
            return None

    def save_sketch(self, architecture: Architecture, entry: SketchEntry) -> None:
        """Write the sketch behind its own checksum, atomically."""
        arrays = {f"samples.{name}": entry.samples[name] for name in PAPER}
        arrays |= {f"layout.{name}": entry.layout[name] for name in PAPER}
        arrays |= {"blocks": np.array([entry.blocks]), "loss": np.array([entry.loss])}
        write_sealed(self.sketch_path(architecture), arrays)

    def load_exact(self, architecture: Architecture) -> dict[str, float | Invalid]:
        """Exact scores by proxy text; empty when there are none to be trusted."""
        try:
            content = read_limited(self.exact_path(architecture), MAX_EXACT, "exact scores of the bank")
            data = parse_json(content, "exact scores", "an object")
            scores = data["scores"]
            if data["sha256"] != _seal(scores):
                return {}
            return {text: Invalid[v] if isinstance(v, str) else float(v) for text, v in scores.items()}
        except (BadFile, KeyError, TypeError, ValueError, AttributeError, OverflowError):
            return {}

    def save_exact(self, architecture: Architecture, scores: Mapping[str, float | Invalid]) -> None:
        """Add exact scores to those already there."""
        merged = {**self.load_exact(architecture), **scores}
        plain = {text: v.name if isinstance(v, Invalid) else v for text, v in sorted(merged.items())}
        content = dump_json({"scores": plain, "sha256": _seal(plain)}, None)
        if len(content) > MAX_EXACT:
            path = self.exact_path(architecture)
            raise BadFile(f"{path}: {len(plain):,} exact scores of one architecture fill it; remove the file")
        write_atomic(self.exact_path(architecture), content)

    def missing(self, architectures: Sequence[Architecture]) -> list[Architecture]:
        """Distinct architectures without a trusted sketch, in order; damaged ones are told in one warning."""
        distinct = {a.digest: a for a in architectures}
        missing = [a for a in distinct.values() if self.load_sketch(a) is None]
        self.tell_damaged([self.sketch_path(a) for a in missing])
        return missing

    def tell_damaged(self, paths: Sequence[Path]) -> None:
        """One warning about those of the untrusted `paths` that are there."""
        if damaged := [path for path in paths if path.exists()]:
            log.warning(
                "%s: %d damaged in the bank (such as %s); made again", self.folder, len(damaged), damaged[0].name
            )

    @contextmanager
    def claim(self, architecture: Architecture, wait: bool = False) -> Iterator[bool]:
        """Be the only one to work on the architecture's files; yields False at once if another process is, unless
        told to `wait`. The claim of a process that dies is free."""
        with ExitStack() as stack:
            try:
                folder = self.folder / "sketch"
                folder.mkdir(parents=True, exist_ok=True)
                mine = stack.enter_context(held(folder / f".{self.key.of(architecture)}.lock", wait))
            except OSError as error:
                raise BadFile(f"{self.folder}: cannot be used ({error.strerror}); choose another --bank") from error
            yield mine

    def sweep(self) -> None:
        """Remove what killed processes left behind."""
        for name in ("sketch", self.exact_folder.name, "table"):
            sweep(self.folder / name)


def _checked(tensors: Mapping[str, np.ndarray]) -> SketchEntry:
    """The entry of a file; ValueError or KeyError if its content cannot be one, whatever its checksum says."""
    blocks, loss = tensors["blocks"], tensors["loss"]
    if blocks.shape != (1,) or blocks.dtype != np.int64 or loss.shape != (1,) or loss.dtype != np.float64:
        raise ValueError("blocks, loss")
    samples = {name: tensors[f"samples.{name}"] for name in PAPER}
    layout = {name: tensors[f"layout.{name}"] for name in PAPER}
    for name in PAPER:
        places = layout[name]
        if samples[name].dtype != np.float32 or samples[name].shape != (len(places), NODES + GRID):
            raise ValueError(name)
        if places.dtype != np.int64 or places.shape[1:] != (4,) or (places < (0, 0, 1, 1)).any():
            raise ValueError(name)
        if (places[:, :2] >= (int(blocks[0]), len(ROLES))).any():
            raise ValueError(name)
    return SketchEntry(samples, layout, int(blocks[0]), float(loss[0]))


def _seal(scores: Mapping[str, float | str]) -> str:
    if not all(isinstance(v, str) or math.isfinite(v) for v in scores.values()):
        raise BadFile("exact scores: got a score that is not finite, wanted it named")
    return hashlib.sha256(json.dumps(scores, sort_keys=True).encode()).hexdigest()
