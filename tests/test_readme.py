"""Promises of README.md: it is short, its Python block runs, and its output block is real."""

from __future__ import annotations

import re
from pathlib import Path

import cli

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def prose(text: str) -> list[str]:
    """Paragraphs and list items, without code and tables."""
    text = re.sub(r"```.*?```", "", text, flags=re.S)
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("|"))
    return [part for block in lines.split("\n\n") for part in re.split(r"\n(?=- )", block) if part.strip()]


def python_block() -> str:
    found = re.search(r"<!-- python -->\n```python\n(.*?)```", README, re.S)
    assert found
    return found[1]


def test_readme_is_short_and_has_two_set_up_commands() -> None:
    assert len(README.splitlines()) <= 110
    assert max(len(part) for part in prose(README)) <= 500
    assert len(re.findall(r"^```sh$", README, re.M)) == 2
    assert len(python_block().splitlines()) <= 12


def test_what_readme_prints_fits_a_page_of_100_columns() -> None:
    printed = re.search(r"## What it prints.*?```\n(.*?)```", README, re.S)
    assert printed
    table = printed[1].split("\nnoise ceiling")[0]
    assert "held-out rho" in table and max(map(len, table.splitlines())) <= 100


def test_every_command_is_in_the_table_and_no_other() -> None:
    named = {name for row in README.splitlines() if row.startswith("| `") for name in re.findall(r"^\| `(\w+)", row)}
    assert set(cli.program.commands) <= named
