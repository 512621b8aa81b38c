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


def test_every_error_is_wrong_input_missing_data_without_a_result_or_stopped() -> None:
    """And the docstring of the errors draws these four."""
    from storage import errors

    four = errors.ZcpError.__subclasses__()
    assert {e.__name__ for e in four} == {"WrongInput", "MissingData", "CannotCompute", "WorkStopped"}
    assert all(f"+- {error.__name__} " in str(errors.__doc__) for error in four)
    sources = [path.read_text() for room in (*ROOMS, "commands") for path in (ROOT / room).rglob("*.py")]
    assert sum(text.count("(ZcpError") for text in sources) == len(four)


def test_the_page_of_the_interface_is_that_of_the_docstrings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    made = importlib.import_module("make_api")
    assert made.page() == (ROOT / "docs" / "api.md").read_text(), "stale; run python docs/make_api.py"


@pytest.mark.parametrize("room", ROOMS)
def test_the_docstring_lists_what_is_inside(room: str) -> None:
    """A line for each name, or for each file and folder."""
    package, folder = importlib.import_module(room), ROOT / room
    inside = {p.name for p in folder.glob("*.py")} | {p.parent.name + "/" for p in folder.glob("*/__init__.py")}
    missing = [{name for name in names if name not in str(package.__doc__)} for names in (inside, package.__all__)]
    assert not (missing[0] - {"__init__.py"}) or not missing[1], missing
