"""RecordLog: an append-only file of records that survives a kill at any moment."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import Any

from storage.files import BadFile, opened, parse_json, sealed, unsealed, write_atomic
from storage.locks import held

__all__ = ["OtherTask", "RecordLog"]

MAX_LINE = 1 << 20  # bytes

log = logging.getLogger("zcp.log")
log.addHandler(logging.NullHandler())  # silent, unless the program that uses it listens

Record = dict[str, Any]


class OtherTask(BadFile):
    """An intact log that belongs to another task."""


class RecordLog:
    """JSON lines, one record per line. A header, if there is one, is the first line and names the task, and every line
    carries its digest; a log without a header is plain.

    `records` are what the file held when it was opened. Damaged lines are skipped with a
    warning, an incomplete last line without one, because a kill leaves it.
    """

    def __init__(self, path: Path, file: FileIO, is_sealed: bool, records: list[Record]) -> None:
        self.path, self.records = path, records
        self._file, self._is_sealed = file, is_sealed

    @classmethod
    @contextmanager
    def open(
        cls,
        path: Path,
        header: Mapping[str, Any] | None = None,
        *,
        most: int,
        wanted: Callable[[Record], bool] = lambda record: True,
    ) -> Iterator[RecordLog]:
        """The log at `path`, locked for this process, with at most `most` records, and only the `wanted` ones.

        OtherTask if its header differs; BadFile if another process writes the log. A log whose header is damaged is
        put aside, with a warning.
        """
        with ExitStack() as stack:
            stack.enter_context(_locked(path))
            lines = _lines(path, most + (header is not None)) if path.exists() else []
            first = [] if header is None else [_line(header, True)]
            if first and not _is_begun(lines, dict(header or {}), path):
                lines = first
            found = [(line, _trusted(line, path, header is not None)) for line in lines[len(first) :]]
            if damaged := sum(record is None and line.endswith(b"\n") for line, record in found):
                log.warning("%s: %d damaged lines are left out", path, damaged)
            kept = [(line, record) for line, record in found if record is not None and wanted(record)]
            content = b"".join([*first, *(line for line, _ in kept)])
            if not path.exists() or path.stat().st_size != len(content):
                write_atomic(path, content)
            file = stack.enter_context(path.open("ab", buffering=0))  # a full disk is met by the line that it refuses
            yield cls(path, file, header is not None, [record for _, record in kept])

    def append(self, record: Mapping[str, Any], wait: bool = True) -> None:
        """Append one record and flush it to disk, unless told not to."""
        line = _line(record, self._is_sealed)
        try:
            written = self._file.write(line)
            if written != len(line):  # the disk took a part: the rest tells why
                self._file.write(line[written:])
            if wait:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise BadFile(f"{self.path}: cannot be written ({error.strerror}); free space and resume") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            mine = stack.enter_context(held(path.parent / f".{path.name}.lock"))
        except OSError as error:
            raise BadFile(f"{path}: cannot be written ({error.strerror}); choose another folder") from error
        if not mine:
            raise BadFile(f"{path}: another process writes it; wait for that one or stop it")
        yield


def _lines(path: Path, most: int) -> list[bytes]:
    with opened(path, "a log") as file:
        return list(islice(iter(partial(file.readline, MAX_LINE), b""), most))


def _is_begun(lines: list[bytes], header: Record, path: Path) -> bool:
    """True if the file holds a log of this task; a file without a complete line counts as empty."""
    if not lines or (len(lines) == 1 and not lines[0].endswith(b"\n")):
        return False
    if (found := _trusted(lines[0], path, True)) is None:
        os.replace(path, path.with_suffix(".damaged"))
        log.warning("%s: damaged in its first line, put aside; what it held is done again", path)
        return False
    if differs := sorted(key for key in header if found.get(key) != header[key]):
        raise OtherTask(f"{path}: begun with other values of {', '.join(differs)}; restore them, or remove the file")
    return True


def _trusted(line: bytes, path: Path, is_sealed: bool) -> Record | None:
    """The record in a line; None if the line is incomplete or altered."""
    try:
        record = parse_json(line, str(path), "a record") if line.endswith(b"\n") else None
        return unsealed(record, str(path), required=is_sealed)
    except BadFile:
        return None


def _line(record: Mapping[str, Any], is_sealed: bool) -> bytes:
    return (json.dumps(sealed(record) if is_sealed else record, sort_keys=True, allow_nan=False) + "\n").encode()
