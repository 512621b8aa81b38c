"""Options of every command: plug-ins, how much is said, a file of options, and no empty texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from commands import every_command
from commands.every_command import with_common_options
from commands.output import say


def made(*params: click.Parameter, group: bool = False) -> click.Command:
    """A command, perhaps in a group of a group, that says hello and what it got."""

    def hello(**values: Any) -> None:
        say(f"hello {sorted(values.items())}")

    command = click.Command("hello", params=list(params), callback=hello)
    inner = click.Group("inner", commands=[click.Group("deep", commands=[command])])
    with_common_options([inner] if group else [command])
    return command


def run(command: click.Command, *words: str) -> None:
    command.main(list(words), standalone_mode=False)


@pytest.mark.parametrize("group", [False, True])
def test_a_command_says_nothing_or_the_seconds_before_every_line(
    group: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    command = made(group=group)
    run(command)
    run(command, "--quiet")
    run(command, "--verbose")
    run(command)
    plain, verbose, again = capsys.readouterr().err.splitlines()
    assert plain == again == "hello []" and verbose.startswith("[0.") and verbose.endswith(" s] hello []")


@pytest.mark.parametrize(("count", "has"), [(0, False), (10, False), (11, True)])
def test_a_command_of_more_than_ten_options_takes_a_file_of_them(count: int, has: bool) -> None:
    params: list[click.Parameter] = [click.Option([f"--o{i}"]) for i in range(count)]
    names = [parameter.name for parameter in made(*params).params[count:]]
    assert names == [*["config_file"] * has, "plugin", "quiet", "verbose"]


def test_common_options_are_read_first_and_are_no_arguments_of_the_command() -> None:
    *_, plugin, quiet, verbose = made().params
    for option in (plugin, quiet, verbose):
        assert isinstance(option, click.Option) and option.is_eager and not option.expose_value and option.help
        assert (option.is_flag, option.multiple) == ((False, True) if option is plugin else (True, False))


def test_plug_ins_are_loaded_before_the_command_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[tuple[Path, ...]] = []
    monkeypatch.setattr(every_command, "load_plugins", loaded.append)
    run(made(), "--plugin", "a.py", "--plugin", "b.py")
    assert loaded == [(Path("a.py"), Path("b.py"))]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("--one=", "p"), "--one"), (("--many", "a", "--many", "", "p"), "--many"), (("",), "PATH"),
        (("p", "--quiet", "--one", ""), "--one"), (("--plugin", "", "p"), "--plugin"),
    ],
)  # fmt: skip
def test_an_empty_text_is_refused_with_the_name_of_the_option(words: tuple[str, ...], name: str) -> None:
    params = (click.Option(["--one", "-o"]), click.Option(["--many"], multiple=True), click.Argument(["path"]))
    with pytest.raises(
        click.UsageError, match=f"^{name}: got an empty text, wanted a value; give it one, or leave it out$"
    ):
        run(made(*params), *words)


def test_any_other_text_reaches_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    params = (click.Option(["--one", "-o"]), click.Option(["--many"], multiple=True), click.Argument(["path"]))
    run(made(*params), "-o", "x", "--many", "a", "--many", "b", "p")
    assert capsys.readouterr().err == "hello [('many', ('a', 'b')), ('one', 'x'), ('path', 'p')]\n"
