"""Options of every command: Python files that register extensions, executed before other options are read, how much is
said, and for commands of many options a file of options."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from commands.config_file import config_option
from commands.output import loudness
from storage.plugins import load_plugins

__all__ = ["with_common_options"]

MANY = 10


def with_common_options(commands: Iterable[click.Command]) -> None:
    """Give every command, those of groups too, the options --plugin, --quiet and --verbose, and --config where it has
    more than MANY options."""
    for command in commands:
        if isinstance(command, click.Group):
            with_common_options(command.commands.values())
        else:
            quiet = _loudness("--quiet", "Say nothing on stderr but errors.")
            verbose = _loudness("--verbose", "Say the seconds since the start before every line.")
            more = [config_option()] if len(command.params) > MANY else []
            command.params += [*more, _plugin(), quiet, verbose]
            for parameter in command.params:
                _refuse_nothing(parameter)


def _refuse_nothing(parameter: click.Parameter) -> None:
    """Refuse an empty text, such as a shell makes of a variable that is not set: it is no value of any parameter, and
    would be read as the folder here, or as if the option had not been given."""
    cast = parameter.type_cast_value
    name = parameter.opts[0] if isinstance(parameter, click.Option) else str(parameter.name).upper()

    def checked(context: click.Context, value: object) -> object:
        if value == "" or (isinstance(value, list | tuple) and "" in value):
            raise click.UsageError(f"{name}: got an empty text, wanted a value; give it one, or leave it out")
        return cast(context, value)

    vars(parameter)["type_cast_value"] = checked


def _loudness(name: str, text: str) -> click.Option:
    return click.Option([name], is_flag=True, is_eager=True, expose_value=False, callback=_set_loudness, help=text)


def _set_loudness(context: click.Context, option: click.Parameter, given: bool) -> None:
    if given:
        context.find_root().with_resource(loudness(option.name == "quiet", option.name == "verbose"))


def _plugin() -> click.Option:
    return click.Option(
        ["--plugin"],
        type=click.Path(path_type=Path),
        multiple=True,
        is_eager=True,
        expose_value=False,
        callback=_load,
        metavar="FILE.py",
        help="Execute this Python file first, here and in worker processes: it registers operators, proxies, spaces, "
        "objectives or algorithms. Its code runs as it is, so name only files that you trust; repeatable.",
    )


def _load(context: click.Context, option: click.Parameter, paths: tuple[Path, ...]) -> None:
    load_plugins(paths)
