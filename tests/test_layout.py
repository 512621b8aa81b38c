"""The rules that keep the project readable: import directions, no evaluation of text, nothing printed outside the commands."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("storage", "engine", "primitives", "models", "fitness", "gp", "report")
ALLOWED = {
    "storage": {"storage"},
    "engine": {"engine", "storage"},
    "primitives": {"primitives", "storage"},
    "models": {"models", "engine", "storage"},
    "fitness": {"fitness", "models", "primitives", "engine", "storage"},
    "gp": {"gp", "fitness", "models", "primitives", "engine", "storage"},
    "report": {"report", "gp", "fitness", "models", "primitives", "engine", "storage"},
}
SOURCES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
EVERYTHING = [*SOURCES, ROOT / "cli.py", *sorted((ROOT / "commands").glob("*.py"))]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return names


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    for name in imported(path):
        if name.split(".")[0] in (*FOLDERS, "cli", "commands"):
            assert name.split(".")[0] in ALLOWED[folder], f"{folder} imports {name}"


@pytest.mark.parametrize("path", EVERYTHING, ids=name_of)
def test_only_gp_imports_deap_only_plots_matplotlib_and_only_commands_click(path: Path) -> None:
    top = {name.split(".")[0] for name in imported(path)}
    assert "deap" not in top or "evolution" in path.parts
    assert "matplotlib" not in top or path.parent.name == "report"
    assert not top & {"click", "rich"} or path.name == "cli.py" or path.parent.name == "commands"


@pytest.mark.parametrize("path", EVERYTHING, ids=name_of)
def test_text_from_files_is_never_evaluated(path: Path) -> None:
    assert not {"pickle", "marshal", "shelve", "dill"} & {name.split(".")[0] for name in imported(path)}
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        bare = isinstance(called, ast.Name)
        assert not (bare and name in ("eval", "exec", "compile", "__import__")), f"{name} in {path}"
        assert name not in ("from_string", "sympify", "literal_eval"), f"{name} in {path}"
        owner = ast.unparse(called.value) if isinstance(called, ast.Attribute) else ""
        assert not (name == "compile" and "gp" in owner), f"{owner}.compile in {path}"
        assert not (name == "load" and owner == "torch"), f"torch.load in {path}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_the_library_is_silent_and_asserts_nothing(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.Assert)]
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "print"]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_module_and_public_name_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text())
    if not tree.body:
        return
    assert ast.get_docstring(tree), "no module docstring"
    public = {
        name
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
        for name in ast.literal_eval(node.value)
    }
    defined = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    for name in public & set(defined):
        assert ast.get_docstring(defined[name]), f"{name} has no docstring"


def test_the_page_of_the_rooms_names_places_that_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page.split("## Where would it go?")[1].split("## ")[0]
    places = [line.split("|")[2].strip(" `") for line in table.splitlines() if line.startswith("|")][2:]
    assert len(places) >= 10 and all((ROOT / place).exists() for place in places), places
    rooms = {folder.name for folder in ROOT.iterdir() if (folder / "__init__.py").exists()}
    assert all(f"{room}/" in page for room in rooms), rooms
