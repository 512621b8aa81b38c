"""Files that are whole or absent: atomic writing, and reading with a size limit. Every folder may import this."""

from __future__ import annotations

import codecs
import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from storage.errors import WrongInput
from storage.locks import temporary

__all__ = [
    "BadFile",
    "decoded",
    "digest_of",
    "dump_json",
    "load_json",
    "opened",
    "parse_json",
    "read_limited",
    "sealed",
    "unsealed",
    "write_atomic",
]


MAX_NODES = 300_000
_HALF = re.compile("[\ud800-\udfff]")


class BadFile(WrongInput):
    """A file that cannot be trusted or written; the message names it and says what to do."""


def write_atomic(path: Path, content: bytes, previous: Path | None = None) -> None:
    """Write to a temporary name in the same folder, flush to disk, rename; a reader sees the old file or the new one.

    The old content of `path` is kept as `previous`, if a name for it is given. A terminal, /dev/null or a pipe with a
    reader is written to directly; a folder or a socket is refused, and a link is followed.
    """
    mode = _mode(path)
    through = stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)
    if not through and not stat.S_ISREG(mode):
        raise BadFile(f"{path}: is a {'folder' if stat.S_ISDIR(mode) else 'socket'}; give the name of a file")
    try:
        if through:
            _write_through(path, content)
        else:
            _replace(Path(os.path.realpath(path)), content, previous)
    except (OSError, ValueError) as error:  # a path may hold what no file name can
        reason = "nobody reads it" if getattr(error, "errno", 0) == errno.ENXIO else _reason(error)
        raise BadFile(f"{path}: cannot be written ({reason}); free space or choose another folder") from error


def _mode(path: Path) -> int:
    """File type at a path, or None if nothing is there; an impossible path fails later, when it is written."""
    try:
        return os.stat(path).st_mode
    except (OSError, ValueError):
        return stat.S_IFREG


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


def _replace(path: Path, content: bytes, previous: Path | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary(path.parent, path.name) as (handle, place):
        with os.fdopen(os.dup(handle), "wb") as file:
            file.write(content)
        os.fsync(handle)
        if previous is not None and path.exists():
            os.replace(path, previous)
        os.replace(place, path)


def _write_through(path: Path, content: bytes) -> None:
    """Write into a device or a pipe; a pipe without a reader fails instead of blocking."""
    handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    os.set_blocking(handle, True)
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def sealed(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data with the digest of its content, so that damage is noticed by `unsealed`."""
    return {**data, "digest": _digest(data)}


def unsealed(data: Any, where: str, required: bool = True) -> dict[str, Any]:
    """The data without its digest; BadFile if they disagree. A file written by hand may lack it if not `required`."""
    if not isinstance(data, dict):
        raise BadFile(f"{where}: got {type(data).__name__}, wanted an object; restore it")
    content = {key: value for key, value in data.items() if key != "digest"}
    if "digest" not in data and not required:
        return content
    try:
        agrees = _digest(content) == data.get("digest")
    except (ValueError, RecursionError):  # numbers beyond a float: nothing we ever wrote
        agrees = False
    if not agrees:
        raise BadFile(f"{where}: got content that differs from its digest, wanted it unchanged; restore it")
    return content


def _digest(data: Mapping[str, Any]) -> str:
    return hashlib.sha256(dump_json(dict(data), indent=None)).hexdigest()


def dump_json(value: Any, indent: int | None = 2) -> bytes:
    """Canonical JSON bytes: sorted keys, a final newline, and no NaN (which is not JSON). Lone surrogates, which UTF-8
    cannot encode, are escaped."""
    text = json.dumps(value, indent=indent, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
    return _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text).encode()


def opened(path: Path, what: str) -> BinaryIO:
    """Open a regular file for reading; BadFile for anything else, without waiting for a pipe."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # a path may hold what no file name can
        raise BadFile(f"{path}: cannot be read ({_reason(error)}); give the path of {what}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise BadFile(f"{path}: cannot be read (it is no regular file); give the path of {what}")
    return os.fdopen(handle, "rb")


def read_limited(path: Path, limit: int, what: str) -> bytes:
    """The bytes of a file of at most `limit` bytes; BadFile says what is wrong otherwise."""
    with opened(path, what) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise BadFile(f"{path}: larger than {limit:,} bytes, which {what} never is; give the right file")
    return content


def decoded(content: bytes, where: str, what: str) -> str:
    """UTF-8 text without the byte order mark that some editors put before it; BadFile names another encoding."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise BadFile(f"{where}: got UTF-16, wanted {what} in UTF-8; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = f"the byte 0x{content[error.start]:02x} at {error.start:,}"
        raise BadFile(f"{where}: got {byte}, which is no UTF-8, wanted {what}; save it as UTF-8") from None


def load_json(path: Path, limit: int, what: str, nodes: int = MAX_NODES) -> Any:
    """Parsed JSON of a file; never evaluates anything. NaN and Infinity are refused."""
    return parse_json(read_limited(path, limit, what), str(path), what, nodes)


def parse_json(content: bytes, where: str, what: str, nodes: int = MAX_NODES) -> Any:
    """Parsed JSON of at most about `nodes` lists and objects, which take 30 times their size in memory; BadFile names
    the place of the first error."""
    if content.count(b"[") + content.count(b"{") > nodes:
        raise BadFile(f"{where}: more than {nodes:,} lists and objects, which {what} never holds; give the right file")

    text = decoded(content, where, what)

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not a JSON number")

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(found := dict(pairs)) < len(pairs):
            keys = [key for key, _ in pairs]
            raise ValueError(f"the field {next(key for key in keys if keys.count(key) > 1)[:60]!r} occurs twice")
        return found

    try:
        return json.loads(text, parse_constant=refuse, object_pairs_hook=distinct)
    except RecursionError:
        raise BadFile(f"{where}: nested too deeply, wanted {what}") from None
    except ValueError as error:
        raise BadFile(f"{where}: not valid JSON ({error}), wanted {what}; restore or recreate it") from None


def digest_of(parts: list[tuple[str, bytes]]) -> str:
    """sha256 over (name, content) pairs in sorted order."""
    total = hashlib.sha256()
    for name, content in sorted(parts):
        total.update(f"{name}:{hashlib.sha256(content).hexdigest()}\n".encode(errors="surrogateescape"))
    return total.hexdigest()
