"""Option --config: a YAML file with options of the command, which options on the command line overrule."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from storage.program import program_name

__all__ = ["config_option"]

MAX_FILE = 1 << 20  # bytes
COMMAND_LINE_ONLY = {"config": "it does not nest", "plugin": "its code is executed"}


def config_option() -> click.Option:
    """The option, of its own for each command."""
    return click.Option(
        ["--config", "config_file"],
        type=click.Path(path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=_take,
        metavar="FILE.yaml",
        help="Read options from a YAML file, such as 'seed: 43' for --seed 43; the command line overrules it.",
    )


def _take(context: click.Context, option: click.Parameter, path: Path | None) -> None:
    if path is not None:
        context.default_map = {**(context.default_map or {}), **dict(_values(path, context.command))}


def _values(path: Path, command: click.Command) -> Iterator[tuple[str, Any]]:
    """The parameters that the file names, with their values as the command line has them."""
    options = {
        flag.lstrip("-"): option
        for option in command.params
        if isinstance(option, click.Option)
        for flag in (*option.opts, *option.secondary_opts)
    }
    for key, value in _mapping(path).items():
        name = key.replace("_", "-").lstrip("-")
        if name in COMMAND_LINE_ONLY:
            raise click.UsageError(
                f"{path}: {key}: wanted --{name} on the command line, because {COMMAND_LINE_ONLY[name]}"
            )
        if name not in options:
            near = get_close_matches(name, options, 1)
            hint = f"did you mean {near[0]}?" if near else f"{program_name()} {command.name} --help lists them"
            raise click.UsageError(f"{path}: {key}: no option of {command.name}; {hint}")
        yield str(options[name].name), _value(value, options[name], name, f"{path}: {key}")


def _mapping(path: Path) -> dict[str, Any]:
    from models.benchmarks.layouts.plain_yaml import NotPlain, parse_plain
    from storage.files import read_limited

    try:
        found = parse_plain(read_limited(path, MAX_FILE, "a file of options"))
    except NotPlain as error:
        raise click.UsageError(f"{path}: {error}") from None
    if not isinstance(found, dict):
        raise click.UsageError(f"{path}: got no mapping, wanted lines such as 'seed: 43'")
    return found


def _value(value: Any, option: click.Option, name: str, where: str) -> Any:
    """A flag as a truth value, an option that may be repeated as a list of words, any other as a word."""
    if option.is_flag:
        if not isinstance(value, bool):
            raise click.UsageError(f"{where}: got {value!r}, wanted true or false")
        return value is (f"--{name}" in option.opts)
    words = [_word(part, where) for part in (value if isinstance(value, list) else [value])]
    return words if option.multiple else ",".join(words)


def _word(value: Any, where: str) -> str:
    if value is None or isinstance(value, dict | list):
        got = "nothing" if value is None else "several values in one"
        raise click.UsageError(f"{where}: got {got}, wanted a value as on the command line")
    return str(value).lower() if isinstance(value, bool) else str(value)
