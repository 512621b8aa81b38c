"""Command line: the program and its exit codes. What each command does is in `commands/`, a module each.

Data goes to stdout, talk and progress to stderr. Exit codes: 0 ok, 1 failed, 2 usage, 130 interrupted but saved.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

import click

from commands.ablate import ablate
from commands.benchmarks import benchmarks
from commands.doctor import doctor
from commands.evolve import evolve
from commands.exhaust import exhaust
from commands.extract import extract
from commands.leaderboard import leaderboard
from commands.options import Commands
from commands.plot import plot
from commands.replay import replay
from commands.show import show
from storage.errors import ZcpError

__all__ = ["main", "one_line", "program"]


MAX_MESSAGE = 1000  # characters


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; a user's mistake becomes one line on stderr and an exit code."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here is ever downloaded by Hugging Face code
    try:
        outcome = program.main(args=list(sys.argv[1:] if arguments is None else arguments), standalone_mode=False)
        return outcome if isinstance(outcome, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.Abort, KeyboardInterrupt):
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
    print(f"error: {one_line(message)}", file=sys.stderr)
    return code


def one_line(message: str) -> str:
    """A message may quote a file: nothing in it may steer a terminal or fill it."""
    line = " ".join(message.split())
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line[:MAX_MESSAGE])
    return shown if len(line) <= MAX_MESSAGE else f"{shown}..."


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def program() -> None:
    """Evolve zero-cost proxies that rank transformer architectures without training them."""


for command in (evolve, replay, exhaust, leaderboard, ablate, plot, extract, show, benchmarks, doctor):
    program.add_command(command)


if __name__ == "__main__":
    code = main()
    for number in (signal.SIGINT, signal.SIGTERM):  # all is said and saved: a late Ctrl-C must not end in a traceback
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)
