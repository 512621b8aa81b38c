"""The text that every Python installation has: the source of its standard library, split by file."""

from __future__ import annotations

import hashlib
import os
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from storage.files import digest_of

__all__ = ["Corpus", "bigram_loss", "load_corpus"]

# Tests, tables, demos and generated files: either not prose-like code or different on every machine.
SKIPPED = frozenset(
    ("site-packages", "dist-packages", "test", "tests", "idle_test", "idlelib", "lib2to3", "distutils",
     "encodings", "pydoc_data", "turtledemo", "ensurepip", "tkinter", "__phello__")
)  # fmt: skip
MAX_BYTES = 12 << 20
VALIDATION_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Corpus:
    """`train` and `validation`: uint8 tensors (n,) of whole files in order of path; `digest` names both."""

    train: torch.Tensor
    validation: torch.Tensor
    digest: str


@cache
def load_corpus(root: Path | None = None) -> Corpus:
    """Read the standard library (or another tree of *.py files); about 8 MB, 0.2 seconds."""
    files = _read_files(root or Path(sysconfig.get_path("stdlib")))
    train = b"".join(content for name, content in files if not _is_validation(name))
    validation = b"".join(content for name, content in files if _is_validation(name))
    return Corpus(_tensor(train), _tensor(validation), digest_of(files))


def _read_files(root: Path) -> list[tuple[str, bytes]]:
    """(relative path, content) in order of path, until MAX_BYTES are read."""
    files, size = [], 0
    for name in sorted(_names(root)):
        content = (root / name).read_bytes()
        if size + len(content) > MAX_BYTES:
            break
        files.append((name, content))
        size += len(content)
    return files


def _names(root: Path) -> Iterator[str]:
    """Relative paths of the source files, without walking through what is skipped."""
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if f not in SKIPPED and not f.startswith("config-")]
        kept = (n for n in names if n.endswith(".py") and not n.startswith("_sysconfigdata"))
        yield from ((Path(folder) / n).relative_to(root).as_posix() for n in kept)


def _is_validation(name: str) -> bool:
    """True if a hash of its path puts the file into the validation part, whatever other files there are."""
    return hashlib.sha256(name.encode()).digest()[0] < 256 * VALIDATION_SHARE


def _tensor(content: bytes) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(content, dtype=np.uint8).copy())


def bigram_loss(corpus: Corpus, windows: torch.Tensor) -> float:
    """Nats per byte, on windows (B, T), of P(next | current) counted on `train` with add-one smoothing."""
    text = corpus.train.numpy().astype(np.int64)
    counts = np.bincount(text[:-1] * 256 + text[1:], minlength=1 << 16).reshape(256, 256) + 1.0
    table = np.log(counts / counts.sum(axis=1, keepdims=True))
    rows = windows.numpy()
    return float(-table[rows[:, :-1], rows[:, 1:]].mean())
