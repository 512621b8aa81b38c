"""Locks and temporary files that survive no dead process: the kernel releases what a killed process held.

A lock is a hidden file `.NAME.lock`, a temporary file is `.NAME.XXXX.tmp`; both are held with flock while they are
in use, so `sweep` can tell what is in use from what was left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["LEFTOVERS", "held", "sweep", "temporary"]

LEFTOVERS = (".*.tmp", ".*.lock")
LONGEST = 200  # bytes of a name that a temporary file begins with


@contextmanager
def held(path: Path, wait: bool = False) -> Iterator[bool]:
    """Hold the lock file at `path`; yields False at once if another process holds it, unless told to `wait`.

    Raises OSError where files cannot be made or locked.
    """
    handle = _lock(path, wait)
    if handle is None:
        yield False
        return
    try:
        yield True
    finally:
        path.unlink(missing_ok=True)  # while it is held: whoever opened it meanwhile sees that it is gone
        os.close(handle)


def _lock(path: Path, wait: bool) -> int | None:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        if not _flock(handle, wait):
            os.close(handle)
            return None
        if _is_at(handle, path):
            return handle
        os.close(handle)  # its holder removed it before it let go


@contextmanager
def temporary(folder: Path, name: str) -> Iterator[tuple[int, Path]]:
    """Open a temporary file beside `name`; it is removed after the block unless it was renamed."""
    handle, path = -1, folder
    try:
        while handle < 0:
            handle, path = _made(folder, name)
            _flock(handle, wait=True)
            if not _is_at(handle, path):  # a sweep came between the two lines above
                os.close(handle)
                handle = -1
        yield handle, path
    finally:
        if handle >= 0:
            with contextlib.suppress(OSError):
                if _is_at(handle, path):
                    path.unlink()
            os.close(handle)


def _made(folder: Path, name: str) -> tuple[int, Path]:
    """A new, open file under a name that nobody has; its mode is what the umask leaves, as that of any new file."""
    start = os.fsdecode(os.fsencode(name)[:LONGEST])  # the end tells names apart, and leaves room below 255 bytes
    while True:
        path = folder / f".{start}.{secrets.token_hex(4)}.tmp"
        with contextlib.suppress(FileExistsError):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), path


def sweep(folder: Path) -> None:
    """Remove temporary files and locks in `folder` whose process is gone."""
    for path in [path for pattern in LEFTOVERS for path in folder.glob(pattern)]:
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if _flock(handle, wait=False) and _is_at(handle, path):
                    path.unlink()
            finally:
                os.close(handle)


def _flock(handle: int, wait: bool) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _is_at(handle: int, path: Path) -> bool:
    """True if the open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
