"""Real processes of the command line that stand still behind a line of theirs until the test has done what it does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = """
import sys

class Held:
    def __init__(self, stream, moment):
        self.stream, self.moment = stream, moment

    def write(self, text):
        self.stream.write(text)
        self.stream.flush()
        if self.moment and self.moment in text:
            self.moment = ""  # once: what answers a signal may say it again
            sys.stdin.readline()

    def __getattr__(self, name):
        return getattr(self.stream, name)

sys.stderr = Held(sys.stderr, sys.argv.pop(1))
import cli
{before}
cli.script()
"""


def start(moment: str, *arguments: object, before: str = "") -> tuple[subprocess.Popen[str], str]:
    """A process that has just said a line with `moment` and stands still there, and all that it said so far."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(before=before), moment, *map(str, arguments)], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    return process, read_until(process, moment)


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """All that it says until a line that holds the text."""
    said = ""
    assert process.stderr is not None
    for line in process.stderr:
        said += line
        if text in line:
            return said
    raise AssertionError(f"{text!r} was never said: {said}")


def stopped(process: subprocess.Popen[str], *numbers: int) -> str:
    """What it says after signals, each heard before the next is sent; they must end it."""
    said = ""
    for place, number in enumerate(numbers):
        said += read_until(process, "stopping after the current step") if place else ""
        process.send_signal(number)
    _, rest = process.communicate(timeout=300)
    assert process.returncode == 130 and "Traceback" not in rest, rest
    return said + rest
