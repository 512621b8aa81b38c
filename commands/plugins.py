"""The option --plugin of every command: Python files that register extensions, executed before other options."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from storage.plugins import load_plugin

__all__ = ["accept_plugins"]


def accept_plugins(commands: Iterable[click.Command]) -> None:
    """Give every command, those of groups too, the option --plugin."""
    for command in commands:
        if isinstance(command, click.Group):
            accept_plugins(command.commands.values())
        else:
            command.params.append(_option())


def _option() -> click.Option:
    return click.Option(
        ["--plugin"], type=click.Path(path_type=Path), multiple=True, is_eager=True, expose_value=False,
        callback=_load, metavar="FILE.py",
        help="Execute this Python file first, here and in worker processes: it registers operators, proxies, spaces, "
        "objectives or algorithms. Its code runs as it is, so name only files that you trust; repeatable.",
    )  # fmt: skip


def _load(context: click.Context, option: click.Parameter, paths: tuple[Path, ...]) -> None:
    for path in paths:
        load_plugin(path)
