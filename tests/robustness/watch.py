"""Watch: what this process does while it is armed, seen by its audit hook: files, code, processes, connections."""

from __future__ import annotations

import os
import sys
import typing
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

__all__ = ["WATCH", "Watch"]

LOUD = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "socket.bind",
        "urllib.Request", "exec", "compile", "pickle.find_class", "ctypes.dlopen")  # fmt: skip
CHANGING = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass
class Watch:
    """`seen` names every event that is not allowed; writing is, inside the folder `allowed`."""

    allowed: str = ""
    armed: bool = False
    seen: list[str] = field(default_factory=list)

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event in ("exec", "compile") and _importing():
            return  # a module of ours that is first needed now
        if event == "compile" and sys._getframe(1).f_code.co_filename == typing.__file__:
            return  # a type written as text in the source of a library
        if event in LOUD:
            what = args[1] if event == "compile" else getattr(args[0], "co_filename", "") if args else ""
            self.seen.append(f"{event} {what} ({_caller()})")
        elif (event == "open" and isinstance(args[0], str | bytes) and (args[2] or 0) & WRITING) or (
            event in CHANGING and isinstance(args[0], str | bytes | os.PathLike)
        ):
            self._path(event, args[0])

    def _path(self, event: str, path: Any) -> None:
        where = os.path.abspath(os.fsdecode(path))
        if not f"{where}{os.sep}".startswith(self.allowed + os.sep) and where != os.devnull:
            self.seen.append(f"{event} {where}")


def _importing() -> bool:
    """True if the interpreter is loading a module."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _caller() -> str:
    """The innermost calls that led to an event, as file:line."""
    frame: FrameType | None = sys._getframe(2)
    calls = []
    while frame is not None and len(calls) < 3:
        calls.append(f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(calls)


WATCH = Watch()
sys.addaudithook(WATCH.hook)
