"""docs/guide.md, README.md, the examples and the notebook: what they say is there, and the cheap part of it runs here;
`.ci/run` runs all of the guide (`python -m tests.robustness.guide`)."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import cli
from tests.robustness.guide import (
    COMMANDS,
    FAMILIES,
    GUIDE,
    NOTEBOOK,
    PYTHON,
    SCRIPTS,
    Line,
    laid,
    lines_of,
    run_command,
    script_of_all,
    steps_of_all,
    tasks_of,
)

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
CI = (ROOT / ".ci" / "run").read_text()
CHEAP = [line for line in COMMANDS if line.words[2] == "show" and "runs/mine" not in " ".join(line.words)]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("desk")
    laid(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("fitness.features.workshop.check_devices", lambda devices: ("cpu",))  # no other process
        yield folder


def test_the_guide_has_every_task_with_commands() -> None:
    tasks = re.split(r"^## ", GUIDE, flags=re.M)[1:]
    assert len(tasks) == 12 and all("```sh" in task or "```python" in task for task in tasks)
    for task in tasks:
        title = task.splitlines()[0]
        anchor = re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        assert re.search(rf"^- {re.escape(f'[{title}](#{anchor})')}, \d+ s$", GUIDE, re.M), title


def arguments_of(line: Line) -> list[str]:
    """The words after the program in a command, which may stand behind others."""
    text = " ".join(line.words)
    return text.split("cli.py ")[1].split() if "cli.py " in text else []


IN_README = [line for line in lines_of(README) if "cli.py" in " ".join(line.words)]


@pytest.mark.parametrize("line", [*COMMANDS, *IN_README], ids=lambda line: " ".join(line.words)[-60:])
def test_the_flags_of_a_command_exist(line: Line) -> None:
    name, *given = arguments_of(line)
    command = cli.program.commands[name]
    assert isinstance(command, click.Command)
    command.make_context(name, given)


@pytest.mark.parametrize("row", re.findall(r"^\| `(\w+) ([^`]*)`", README, re.M), ids=str)
def test_the_flags_in_the_table_of_commands_exist(row: tuple[str, str]) -> None:
    known = {flag for option in cli.program.commands[row[0]].params for flag in option.opts}
    assert set(re.findall(r"--[a-z-]+", row[1])) <= known


def test_every_command_script_and_block_is_of_one_task() -> None:
    tasks = tasks_of(GUIDE)
    assert [line for text in tasks.values() for line in lines_of(text)] == lines_of(GUIDE)
    steps = [task for task, _ in steps_of_all()]
    assert len(steps) == len(SCRIPTS) + len(PYTHON.findall(GUIDE)) + 2 and set(steps) <= {"README.md", *tasks}


def test_ci_runs_every_block_of_the_guide_and_the_blocks_of_the_readme() -> None:
    assert "python -m tests.robustness.guide" in CI and "README.md has no test command" in CI
    assert len(lines_of(README)) == 2 and len(IN_README) == 1
    assert all(mark for mark, _ in PYTHON.findall(GUIDE)) and len(PYTHON.findall(GUIDE)) == 3
    program = script_of_all()
    compile(program, "all", "exec")
    assert all(line.words[1] in program for line in SCRIPTS)
    assert all((ROOT / line.words[1]).is_file() for line in SCRIPTS)


@pytest.mark.parametrize("line", CHEAP, ids=lambda line: " ".join(line.words[2:]))
def test_a_cheap_command_of_the_guide_runs(line: Line, desk: Path) -> None:
    assert "frobenius_norm" in (printed := run_command(line, desk)) or r"\sum" in printed


def test_the_example_ranks_five_configurations(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = runpy.run_path(str(ROOT / "examples" / "rank_configs.py"))["main"](["configs"])
    assert sorted(found) == sorted(FAMILIES)
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == found


@pytest.mark.slow
def test_the_example_searches_and_compares_with_a_regression(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hall = runpy.run_path(str(ROOT / "examples" / "search.py"))["main"]("mine.jsonl", 12)
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(hall.proxies[0].proxy.text)
    assert second.endswith("a regression on the same labels")


def test_the_example_selects_under_its_budget_and_trains(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = runpy.run_path(str(ROOT / "examples" / "select_and_train.py"))
    losses = example["main"](6, 2)
    sizes = [int(x.replace(",", "")) for x in re.findall(r"([\d,]+) parameters", capsys.readouterr().out)]
    assert 1 <= len(losses) <= 3 and all(0 < loss < 10 for loss in losses.values())
    assert len(sizes) == len(losses) and max(sizes) <= example["BUDGET"]


def test_the_notebook_shows_its_output_and_no_error() -> None:
    code = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in code for output in cell["outputs"]]
    assert len(code) >= 4 and all(cell["execution_count"] for cell in code)
    assert all(output["output_type"] != "error" for output in outputs)
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert any("tau-b" in "".join(output.get("text", "")) for output in outputs)
