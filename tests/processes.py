"""Processes of the command line, forked from one that has imported the libraries: what takes seconds of a fresh
interpreter is done once. Tests of signals, and some of each command, start fresh ones."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import engine.crew  # noqa: F401  # says which libraries are imported

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 300


def program(*arguments: object, folder: Path = ROOT, **extra: str) -> subprocess.CompletedProcess[str]:
    """One process of the command line in a folder, with more environment variables; its exit code and what it said."""
    words = [os.fspath(word) if isinstance(word, os.PathLike) else str(word) for word in arguments]
    with tempfile.TemporaryDirectory() as place:
        said = [Path(place) / name for name in ("out", "err")]
        context = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
        process = context.Process(target=_run, args=(words, folder, {**os.environ, **extra}, said))
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(words, SECONDS)
        return subprocess.CompletedProcess(words, process.exitcode, *(path.read_text() for path in said))


def _run(words: list[str], folder: Path, environment: Mapping[str, str], said: list[Path]) -> None:
    for number, path in zip((1, 2), said, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["cli.py", *words]
    import cli

    cli.script()
