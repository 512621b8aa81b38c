"""Archives: a fetched zip or tar file, unpacked without trusting a word of it."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from models.benchmarks.benchmark import BadBenchmark

__all__ = ["MAX_MEMBERS", "MAX_UNPACKED", "is_archive", "unpack"]

MAX_MEMBERS = 10_000
MAX_UNPACKED = 64 << 20  # bytes, all members together, counted while they are written


def is_archive(name: str) -> bool:
    """Whether a file of that name is unpacked after it was fetched."""
    return name.endswith((".zip", ".tar", ".tar.gz", ".tgz"))


def unpack(archive: Path, target: Path) -> None:
    """Write the members below `target`; BadBenchmark for a path that leads elsewhere, a link, a special file, too many
    members or too many bytes. What was written before a refusal is for the caller to remove."""
    left = MAX_UNPACKED
    try:
        for count, (name, source) in enumerate(_members(archive), start=1):
            if count > MAX_MEMBERS:
                raise BadBenchmark(f"{archive.name}: more than {MAX_MEMBERS:,} members, refused")
            path = target / _checked(name, archive)
            path.parent.mkdir(parents=True, exist_ok=True)
            with source, path.open("xb") as file:
                while chunk := source.read(1 << 16):
                    left -= len(chunk)
                    if left < 0:
                        raise BadBenchmark(f"{archive.name}: more than {MAX_UNPACKED:,} bytes unpacked, refused")
                    file.write(chunk)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BadBenchmark(f"{archive.name}: cannot be unpacked ({error}); fetch it again") from None
    except FileExistsError as error:
        raise BadBenchmark(f"{archive.name}: got {error.filename} twice, refused") from None


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of each file; folders are made as they are needed."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as packed:
            for entry in packed.infolist():
                kind = entry.external_attr >> 28  # the type of a Unix file: 8 is a plain one, 0 unknown
                if not entry.is_dir():
                    _plain(kind in (0, 8), entry.filename, archive)
                    yield entry.filename, packed.open(entry)
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            if not member.isdir():
                _plain(member.isreg(), member.name, archive)
                if (source := tar.extractfile(member)) is not None:
                    yield member.name, source


def _plain(is_plain: bool, name: str, archive: Path) -> None:
    if not is_plain:
        raise BadBenchmark(f"{archive.name}: {name[:100]!r} is a link or a special file, refused")


def _checked(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not name.isprintable() or "\\" in name or ":" in name:
        raise BadBenchmark(f"{archive.name}: {name[:100]!r} would lie outside the benchmark's folder, refused")
    return path
