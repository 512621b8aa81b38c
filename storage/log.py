"""An append-only file of finished work that survives a kill at any moment: only whole lines count."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from storage.files import BadFile, parse_json

__all__ = ["RunLog"]


class RunLog:
    """JSON lines: a header that names the task, then one record a line. `with RunLog(path, header) as log:`

    Opening repairs (a torn last line is cut off), refuses a file of another task, and locks out a second
    writer; BadFile says which. `records` is what the file holds; `append` returns when the record is on the disk.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path = path
        self.header = dict(header)
        self.records: list[dict[str, Any]] = []
        self._file: BinaryIO | None = None

    def __enter__(self) -> RunLog:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a+b")
        try:
            self._lock(self._file)
            self._restore(self._file)
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()  # releases the lock as well

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one record and wait until the disk has it."""
        self._write(record)
        self.records.append(dict(record))

    def _lock(self, file: BinaryIO) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BadFile(f"{self.path}: another process writes it; wait for that one or stop it") from None

    def _restore(self, file: BinaryIO) -> None:
        """Read what is there, cut a torn last line, check the header or write it."""
        file.seek(0)
        lines = file.read().splitlines(keepends=True)
        if lines and not _is_whole(lines[-1]):
            file.truncate(sum(map(len, lines[:-1])))
            lines.pop()
        if not lines:
            self._write(self.header)
            return
        header, *self.records = (
            parse_json(line, f"{self.path}, line {i}", "a finished run") for i, line in enumerate(lines, 1)
        )
        if differs := sorted(k for k in self.header if header.get(k) != self.header[k]):
            what = ", ".join(differs)
            raise BadFile(f"{self.path}: begun with another {what}; restore that or remove the file")

    def _write(self, value: Mapping[str, Any]) -> None:
        if self._file is None:
            raise BadFile(f"{self.path}: not open, wanted `with RunLog(...)`")
        self._file.write((json.dumps(value, sort_keys=True, allow_nan=False) + "\n").encode())
        self._file.flush()
        os.fsync(self._file.fileno())


def _is_whole(line: bytes) -> bool:
    if not line.endswith(b"\n"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
