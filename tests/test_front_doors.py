"""What each room shows at its door: the names of its `.pyi`, with a line for each thing inside."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("storage", "engine", "primitives", "models", "fitness", "gp", "report")


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_at_the_door_is_there_and_says_what_it_is(room: str) -> None:
    package = importlib.import_module(room)
    assert package.__all__ and package.__doc__
    for name in package.__all__:
        found = getattr(package, name)
        assert not inspect.ismodule(found), f"{room}.{name} is a module once it is imported"
        if callable(found) and not isinstance(found, type(list[int])):
            assert inspect.getdoc(found), name


@pytest.mark.parametrize("room", ROOMS)
def test_the_docstring_lists_what_is_inside(room: str) -> None:
    """A line for each name, or for each file and folder."""
    package, folder = importlib.import_module(room), ROOT / room
    inside = {p.name for p in folder.glob("*.py")} | {p.parent.name + "/" for p in folder.glob("*/__init__.py")}
    missing = [{name for name in names if name not in str(package.__doc__)} for names in (inside, package.__all__)]
    assert not (missing[0] - {"__init__.py"}) or not missing[1], missing
