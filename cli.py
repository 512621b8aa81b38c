"""Command line: the program and its exit codes. What each command does is in `commands/`, a module each.

Data goes to stdout, talk and progress to stderr. Exit codes: 0 ok, 1 failed, 2 usage, 130 interrupted but saved.
"""

from __future__ import annotations

import io
import os
import shlex
import signal
import sys
from collections.abc import Sequence

import click

from commands.every_command import with_common_options
from commands.options import Commands, Imported, examples
from commands.output import between_words, talk, warnings_said
from commands.tables import literal
from storage.errors import ZcpError
from storage.program import program_name

__all__ = ["VERSION", "main", "one_line", "program", "script"]

VERSION = "0.1.0"
MAX_MESSAGE = 1000  # characters


def script() -> None:
    """The program as a process of its own."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name may hold what this terminal cannot show
    code = main()
    for number in (signal.SIGINT, signal.SIGTERM):  # all is said and saved: a late Ctrl-C must not end in a traceback
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; a user's mistake becomes one line on stderr and an exit code."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here is ever downloaded by Hugging Face code
    asked = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with warnings_said():
            outcome = program.main(args=asked, prog_name=program_name(), standalone_mode=False)
        return outcome if isinstance(outcome, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.Abort, KeyboardInterrupt) as stop:
        if isinstance(stop.__cause__ or stop, KeyboardInterrupt):  # else the command has said what to type next
            print(f"next: {program_name()} {shlex.join(asked)}", file=sys.stderr)
        return _fail("interrupted", 130)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a disk or a permission that no other place has words for
        return _fail(f"{error.filename or 'a file'}: {error.strerror or error}", 1)
    except ZcpError as error:
        return _fail(str(error), 1)


def _fail(message: str, code: int) -> int:
    line = f"error: {one_line(message)}"
    print(between_words(line, talk.width) if talk.is_terminal else line, file=sys.stderr)
    return code


def one_line(message: str) -> str:
    """A message may quote a file: nothing in it may steer a terminal or fill it."""
    line = " ".join(message.split())
    return literal(line[:MAX_MESSAGE]) + ("..." if len(line) > MAX_MESSAGE else "")


COMMANDS = (
    "evolve", "replay", "rank", "select", "fit", "suggest", "exhaust", "leaderboard", "ablate", "plot", "report",
    "extract", "show", "benchmarks", "doctor",
)  # fmt: skip
"""The commands; each is a function of this name in the module `commands.NAME`, imported when it is asked for."""


@click.group(
    cls=Commands,
    commands=Imported("commands.", COMMANDS, with_common_options),
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples("evolve --space gpt2", "replay proxies/gpt2-mini.json"),
)
@click.version_option(VERSION, prog_name="zcp", message="%(prog)s %(version)s")
def program() -> None:
    """Evolve zero-cost proxies that rank transformer architectures without training them."""


if __name__ == "__main__":
    script()
