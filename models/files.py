"""Files that are whole or absent: atomic writing, and reading with a size limit. Every folder may import this."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["BadFile", "digest_of", "dump_json", "load_json", "read_limited", "write_atomic"]


class BadFile(ValueError):
    """A file that cannot be trusted or written; the message names it and says what to do."""


def write_atomic(path: Path, content: bytes | Callable[[Path], None]) -> None:
    """Write to a temporary name in the same folder, flush to disk, rename. `content` may be a writer of a path."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        if callable(content):
            content(temporary)
        else:
            temporary.write_bytes(content)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadFile(f"{path}: cannot be written ({reason}); free space or choose another folder") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def dump_json(value: Any, indent: int | None = 2) -> bytes:
    """Canonical JSON bytes: sorted keys, a final newline, and no NaN (which is not JSON)."""
    return (json.dumps(value, indent=indent, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n").encode()


def read_limited(path: Path, limit: int, what: str) -> bytes:
    """The bytes of a file of at most `limit` bytes; BadFile says what is wrong otherwise."""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise BadFile(f"{path}: cannot be read ({error.strerror}); give the path of {what}") from error
    if len(content) > limit:
        raise BadFile(f"{path}: larger than {limit:,} bytes, which {what} never is; give the right file")
    return content


def load_json(path: Path, limit: int, what: str) -> Any:
    """Parsed JSON of a file; never evaluates anything. NaN and Infinity are refused."""
    return parse_json(read_limited(path, limit, what), str(path), what)


def parse_json(content: bytes, where: str, what: str) -> Any:
    """Parsed JSON; BadFile names the place of the first error."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not a JSON number")

    try:
        return json.loads(content.decode("utf-8"), parse_constant=refuse)
    except RecursionError:
        raise BadFile(f"{where}: nested too deeply, wanted {what}") from None
    except ValueError as error:
        raise BadFile(f"{where}: not valid JSON ({error}), wanted {what}; restore or recreate it") from None


def digest_of(parts: list[tuple[str, bytes]]) -> str:
    """sha256 over (name, content) pairs in sorted order."""
    total = hashlib.sha256()
    for name, content in sorted(parts):
        total.update(f"{name}:{hashlib.sha256(content).hexdigest()}\n".encode())
    return total.hexdigest()
