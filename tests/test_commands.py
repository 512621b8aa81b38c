"""Every command before it does anything: its help, its examples and what it imports."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

import cli
from commands.names import Name
from commands.search_options import search_options

ROOT = Path(__file__).resolve().parent.parent
MODULES = 500  # torch alone brings a thousand; so many load in about 0.4 s of processor time


def walk(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from walk(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


COMMANDS = dict(walk(cli.program))
OPTIONS = [(name, p) for name, c in COMMANDS.items() for p in c.params if isinstance(p, click.Option)]


@pytest.mark.parametrize(("command", "option"), OPTIONS, ids=lambda v: v if isinstance(v, str) else v.name)
def test_every_option_has_a_text(command: str, option: click.Option) -> None:
    assert option.help and option.help.endswith(".") and len(option.help) > 8


@pytest.mark.parametrize(("command", "option"), OPTIONS, ids=lambda v: v if isinstance(v, str) else v.name)
def test_every_default_of_an_option_stands_in_its_help(command: str, option: click.Option) -> None:
    default = option.get_default(click.Context(COMMANDS[command]))
    if isinstance(default, bool) or not isinstance(default, str | int | float | Path):
        return
    shown = option.get_help_record(click.Context(COMMANDS[command]))
    assert shown is not None and f"default: {default}" in shown[1].replace("[", "").replace("(", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_that_the_command_accepts(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*name.split(), "--help"]) == 0
    shown = re.sub(r"\s+", " ", capsys.readouterr().out)
    lines = [line.strip() for line in str(COMMANDS[name].epilog).splitlines() if "cli.py" in line]
    assert lines
    for line in lines:
        words = shlex.split(line.partition(" > ")[0])[2:]
        assert line in shown and " ".join(words).startswith(name)
        COMMANDS[name].make_context(name, words[len(name.split()) :])


def test_without_a_command_the_help_is_shown_as_help(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["benchmarks"]):
        assert cli.main(arguments) == 0
        shown = capsys.readouterr()
        assert shown.out.startswith("Usage:") and "Commands:" in shown.out and shown.err == ""


def test_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"zcp {cli.VERSION}\n"


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["show", "proxies/gpt2-mini.json"], ["benchmarks", "list"]],
    ids=lambda words: words[0],
)
def test_what_only_reads_loads_little_and_no_torch(arguments: list[str]) -> None:
    code = (
        "import cli, sys\n"
        f"code = cli.main({arguments!r})\n"
        "print(code, 'torch' in sys.modules, len(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    status, torch, modules = done.stderr.split()
    assert done.stdout and (status, torch) == ("0", "False") and int(modules) < MODULES


def test_names_of_a_table_are_read_when_they_are_needed() -> None:
    table = ["one"]
    names = Name("all", table=lambda: table)
    table.append("two")
    assert names.names == ("all", "one", "two") and names.convert("two", None, None) == "two"
    with pytest.raises(click.BadParameter, match=r"wanted one of all, one, two; did you mean one\?"):
        names.convert("onee", None, None)


def test_help_of_evolve_lists_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    from fitness.objectives import OBJECTIVES
    from gp.evolution.algorithms import ALGORITHMS
    from models.spaces import SPACES
    from primitives.operators import AGGREGATION

    assert cli.main(["evolve", "--help"]) == 0
    shown = capsys.readouterr().out
    for table in (OBJECTIVES, ALGORITHMS, SPACES, AGGREGATION):
        assert "|".join(table) in shown


def test_evolve_shows_each_option_once_and_the_rest_as_internals(capsys: pytest.CaptureFixture[str]) -> None:
    command = COMMANDS["evolve"]
    assert cli.main(["evolve", "--help"]) == 0
    shown = capsys.readouterr().out
    front, internals = shown.split("Search internals:")
    places = [shown.index(f"\n{heading}:") for heading in (*command.sections, "Search internals")]
    assert places == sorted(places)
    for option in (p for p in command.params if isinstance(p, click.Option) and not p.hidden):
        lines = [
            line
            for line in shown.splitlines()
            if line.startswith(f"  {option.opts[0]} ") or line.strip() == option.opts[0]
        ]
        assert len(lines) == 1, option.opts
    assert "--space" in front and "--brood" in internals and 12 <= len(re.findall(r"^  --", front, re.M)) <= 18


def test_an_option_overrides_the_preset_and_the_preset_the_defaults() -> None:
    from gp.config import PRESETS, SearchConfig

    taken = {}
    command = click.command()(search_options(lambda search: taken.update(search=search)))
    for preset, settings in PRESETS.items():
        command.main(["--preset", preset], standalone_mode=False)
        assert taken["search"] == SearchConfig(**settings)
    command.main(["--preset", "lpzero", "--population", "33", "--joins", "inside"], standalone_mode=False)
    assert taken["search"] == SearchConfig(**{**PRESETS["lpzero"], "population": 33, "joins": ("inside",)})


def test_a_removed_option_names_its_replacement(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evolve", "--space", "gpt2", "--coarse", "0"]) == 2
    assert capsys.readouterr().err == "error: --coarse was removed; use --folds 0 for continuous formulas\n"
    for objective in ("joint", "partial"):
        assert cli.main(["evolve", "--space", "gpt2", "--objective", objective]) == 2
        assert f"{objective} was removed; use both, and fit to predict" in capsys.readouterr().err
    assert cli.main(["evolve", "--help"]) == 0
    assert "--coarse" not in capsys.readouterr().out


def test_the_console_script_says_its_own_name(tmp_path: Path) -> None:
    script = tmp_path / "zcp"
    script.write_text("from cli import script\nscript()\n")
    path = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=path, check=False)
    assert done.returncode == 0 and "Usage: zcp [OPTIONS]" in done.stdout and "zcp evolve --space" in done.stdout
    code = "import sys; sys.argv = ['zcp', 'evolv']; import cli; cli.script()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "did you mean evolve" in done.stderr


def test_a_wheel_holds_every_folder_of_the_product() -> None:
    """`python tests/robustness/wheel.py` tries the wheel itself."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    given = {node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign)}  # type: ignore[attr-defined]
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"bench", "tests", "examples"}
    assert set(ast.literal_eval(given["FOLDERS"])) == folders


def test_doctor_names_every_dependency(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError, version

    from commands import doctor

    def missing(name: str) -> str:
        if name in ("plotly", "pandas"):
            raise PackageNotFoundError(name)
        return version(name) if name in doctor.REQUIRED else "1"

    monkeypatch.setattr(doctor, "version", missing)
    assert cli.main(["doctor", "--format", "json"]) == 0
    rows = {row["what"]: row for row in json.loads(capsys.readouterr().out)}
    for extra in ("", *(f"-{name}" for name in doctor.OPTIONAL)):
        text = (ROOT / f"requirements{extra}.txt").read_text().split("# Tests and checks")[0]
        named = {re.split(r"[<>= ]", line)[0] for line in text.splitlines() if line and not line.startswith("#")}
        assert named and named <= set(rows)
    assert rows["plotly"]["found"] == "no" and rows["plotly"]["advice"] == "pip install -r requirements.txt"
    assert rows["pandas"]["advice"] == "only for Parquet files and data frames; pip install -r requirements-pandas.txt"
    assert rows["torch"]["found"] == version("torch") and not rows["dask"]["advice"]


def test_options_that_make_other_features_than_the_run_are_refused_with_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """A corpus at another path may hold the same text: then nothing is said."""
    from commands.feature_options import FeatureOptions

    said = ["", "with the features a, got b"]
    monkeypatch.setattr(FeatureOptions, "open", lambda self, space: space)
    monkeypatch.setattr("commands.feature_options.other_features", lambda case, workshop: said[0])
    options, case = FeatureOptions(batch=8), SimpleNamespace(space="gpt2")
    recorded: Any = {"batch": 4, "corpus": None, "seq_len": 64}
    options._check_same(recorded, case)  # type: ignore[arg-type]
    said.reverse()
    with pytest.raises(
        click.UsageError,
        match="^--batch 8 no --corpus --seq-len 64: wanted --batch 4 no --corpus --seq-len 64, because the formulas were "
        "evolved with the features a, got b; leave it out, or score a formula by its text",
    ):
        options._check_same(recorded, case)  # type: ignore[arg-type]


@pytest.mark.parametrize("digest", [None, "ab" * 32])
def test_options_of_a_run_hold_the_checkpoint_whose_features_it_is_of(digest: str | None) -> None:
    from commands.feature_options import FeatureOptions

    case: Any = SimpleNamespace(space="llama", build="as_initialised")
    config = {"weights": digest} if digest else {}
    with click.Context(click.Command("rank")):
        assert FeatureOptions().of_run(config, case, binding=False).trained == digest
        assert FeatureOptions().of_run(config, None).trained is None
