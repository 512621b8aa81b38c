"""Archives: a fetched zip or tar file, unpacked without trusting a word of it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from models.benchmarks.benchmark import BadBenchmark

__all__ = ["MAX_MEMBERS", "MAX_UNPACKED", "is_archive", "unpack"]

MAX_MEMBERS = 10_000
MAX_UNPACKED = 64 << 20  # bytes, all members and their headers together, counted before they are taken
MAX_DIRECTORY = 2 << 20  # bytes of a zip file's list of members, which is read whole
MAX_PARTS = 32  # folders in a path
XZ_MEMORY = 256 << 20  # bytes

# What Python's readers raise for a damaged or hostile file.
FAULTS = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError,
          RuntimeError, ValueError, IndexError, KeyError, OverflowError, struct.error)  # fmt: skip

Stream = BinaryIO | gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile
OPENERS: dict[str, Callable[[Path], Stream]] = {
    ".tar": lambda path: path.open("rb"),
    ".gz": gzip.GzipFile,
    ".tgz": gzip.GzipFile,
    ".bz2": bz2.BZ2File,
    ".tbz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".txz": lzma.LZMAFile,
}


def is_archive(name: str) -> bool:
    """True if a file of that name is unpacked after it was fetched."""
    return name.endswith((".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz"))


def unpack(archive: Path, target: Path) -> None:
    """Write the members below `target`; BadBenchmark for a path that leads elsewhere, a link, a special file, too many
    members, too many bytes, or a file that does not end as it should. What was written before a refusal is for the
    caller to remove."""
    left = MAX_UNPACKED
    try:
        for name, source in _counted(archive):
            path = target / _checked(name, archive)
            path.parent.mkdir(parents=True, exist_ok=True)
            with source, path.open("xb") as file:
                while chunk := source.read(1 << 16):
                    left -= len(chunk)
                    if left < 0:
                        raise _too_large(archive)
                    file.write(chunk)
    except BadBenchmark:
        raise
    except FileExistsError as error:
        raise BadBenchmark(f"{archive.name}: got {error.filename} twice, refused") from None
    except FAULTS as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise BadBenchmark(f"{archive.name}: cannot be unpacked ({reason}); fetch it again") from None


def _counted(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of each file; folders count as well, and are made as they are needed."""
    members = _zip_members(archive) if archive.suffix == ".zip" else _tar_members(archive)
    for count, (name, source) in enumerate(members, start=1):
        if count > MAX_MEMBERS:
            raise BadBenchmark(f"{archive.name}: more than {MAX_MEMBERS:,} members, refused")
        if source is not None:
            yield name, source


def _zip_members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    with archive.open("rb") as file:
        if (size := _directory_size(file)) > MAX_DIRECTORY:
            raise BadBenchmark(f"{archive.name}: a list of members of {size:,} bytes, wanted at most {MAX_DIRECTORY:,}")
        with zipfile.ZipFile(file) as packed:
            for entry in packed.infolist():
                kind = entry.external_attr >> 28  # the type of a Unix file: 8 is a plain one, 0 unknown
                _plain(entry.is_dir() or kind in (0, 8), entry.filename, archive)
                yield entry.filename, None if entry.is_dir() else packed.open(entry)


def _directory_size(file: BinaryIO) -> int:
    """Bytes of the list of members (APPNOTE.TXT 4.3.16), everything that may be it where the file is a zip64."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - (1 << 16) - 22))
    tail = file.read()
    file.seek(0)
    ends = [at for at in range(len(tail) - 21) if tail[at : at + 4] == b"PK\x05\x06"]
    if not ends or b"PK\x06\x07" in tail:
        return size
    return max(struct.unpack_from("<L", tail, at + 12)[0] for at in ends)


def _tar_members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    with OPENERS[archive.suffix](archive) as raw:
        if archive.suffix in (".xz", ".txz"):
            _check_memory(archive)
        stream = _Counted(raw, archive)
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                _plain(member.isreg() or member.isdir(), member.name, archive)
                yield member.name, tar.extractfile(member)
        while stream.read(1 << 16):  # an archive that is cut after its last member is noticed at its end only
            pass


def _check_memory(archive: Path) -> None:
    """Refuse an xz file that asks for more memory than any file of that size needs."""
    with archive.open("rb") as file:
        lzma.LZMADecompressor(memlimit=XZ_MEMORY).decompress(file.read(1 << 16), max_length=1)


class _Counted(io.RawIOBase):
    """A decompressed stream that refuses to give out more than is allowed in all, headers included."""

    def __init__(self, source: Stream, archive: Path) -> None:
        self.source, self.archive, self.left = source, archive, MAX_UNPACKED

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; tarfile asks for a few thousand at a time."""
        chunk = self.source.read(size)
        self.left -= len(chunk)
        if self.left < 0:
            raise _too_large(self.archive)
        return chunk


def _too_large(archive: Path) -> BadBenchmark:
    return BadBenchmark(f"{archive.name}: more than {MAX_UNPACKED:,} bytes unpacked, refused")


def _plain(is_plain: bool, name: str, archive: Path) -> None:
    if not is_plain:
        raise BadBenchmark(f"{archive.name}: {name[:100]!r} is a link or a special file, refused")


def _checked(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not name.isprintable() or "\\" in name or ":" in name:
        raise BadBenchmark(f"{archive.name}: {name[:100]!r} would lie outside the benchmark's folder, refused")
    if len(path.parts) > MAX_PARTS:
        raise BadBenchmark(f"{archive.name}: {name[:100]!r} lies more than {MAX_PARTS} folders deep, refused")
    return path
