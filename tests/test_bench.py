"""The commands that pages print of bench/ and tests/robustness/: each module is there and reads its words as printed."""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("*/README.md")), ROOT / "tests" / "robustness" / "README.md",
         *sorted((ROOT / "docs").glob("*.md"))]  # fmt: skip
PRINTED = re.compile(r"python -m ((?:bench|tests\.robustness)\.[a-z_.]+)([^`\n#]*)(`(?: of commit \w+)?)?")
STAND_INS = {"NAME": "gpt2-mini", "HALL": "proxies/gpt2-mini.json", "FILE": "out.jsonl", "DIR": "bank", "...": ""}


class Parsed(Exception):
    """The words were read."""


def commands() -> list[tuple[str, str]]:
    """(module, words) of each command that is not of another commit."""
    found = {(m[1], m[2].strip()): None for page in PAGES for m in PRINTED.finditer(page.read_text())
             if "commit" not in (m[3] or "")}  # fmt: skip
    return sorted(found)


def read_and_stop(self: argparse.ArgumentParser, *given: object) -> argparse.Namespace:
    """Read the words, check that every default is a choice, and go no further."""
    read, _ = self.parse_known_args()
    for action in self._actions:
        defaults = action.default if isinstance(action.default, list) else [action.default]
        if action.choices is not None and action.default is not None and action.option_strings:
            assert set(defaults) <= set(action.choices), (action.dest, action.default)
    raise Parsed(read)


@pytest.mark.parametrize(("module", "words"), commands(), ids=lambda word: word or "-")
def test_a_printed_command_is_read(module: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.import_module(module)
    if "argparse" not in vars(found):
        assert callable(found.main)
        return
    given = [STAND_INS.get(word.partition(".")[0], word) for word in words.split()]
    monkeypatch.setattr(sys, "argv", [module, *given])
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", read_and_stop)
    with pytest.raises(Parsed):
        found.main()


def test_every_study_is_in_a_table() -> None:
    tables = "".join((ROOT / place / "README.md").read_text() for place in ("bench", "tests/robustness"))
    files = [*(ROOT / "bench").rglob("*.py"), *(ROOT / "tests" / "robustness").glob("*.py")]
    mains = [path for path in files if "def main(" in path.read_text()]
    assert len(mains) > 20 and not [path.stem for path in mains if path.stem not in tables]
