"""The rules that keep the project readable: import directions, sizes, no evaluation of text, nothing printed outside the
commands.

Circles: no module reaches itself by imports, those inside functions among them; a name behind the door of a package
counts as an import of the module that has it. Imports for annotations alone (`if TYPE_CHECKING:`) run never and do not
count.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
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


MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in EVERYTHING
}


def run_imports(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports of a module that run at some time."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield from run_imports(child)


def behind_the_door(package: str, name: str) -> str:
    """The module that a name of a package comes from: a module of it, or what its `.pyi` says."""
    if f"{package}.{name}" in MODULES:
        return f"{package}.{name}"
    stub = MODULES[package].with_suffix(".pyi")
    listed = [
        n for n in ast.walk(ast.parse(stub.read_text() if stub.exists() else "")) if isinstance(n, ast.ImportFrom)
    ]
    return next((f"{package}.{n.module}" for n in listed if name in {alias.name for alias in n.names}), package)


def reached(module: str) -> set[str]:
    """The modules of ours that a module imports."""
    found = set[str]()
    for node in run_imports(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif node.module in MODULES:
            found |= {behind_the_door(node.module, alias.name) for alias in node.names}
    return found & set(MODULES) - {module}


def circle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_module_imports_what_imports_it() -> None:
    assert circle({module: reached(module) for module in MODULES}) == []


def test_a_circle_inside_functions_and_one_behind_a_door_would_be_found() -> None:
    assert circle({"a": {"b"}, "b": {"a"}}) and "models.spaces.llama.checkpoint" in reached("models.spaces.llama.space")
    assert behind_the_door("gp", "SearchConfig") == "gp.config" and "gp.config" in reached("gp.benchmark_search")


LONG_FILES = {
    "commands/evolve.py": "help of one command and its steps; options are in search_options.py and feature_options.py",
    "commands/ranking.py": "one ranking, from candidates to rows, notes and refusals",
    "engine/cluster.py": "one engine whose tasks, claims and losses share one state",
    "gp/evolution/evolve.py": "ask, tell and evolve change one state",
    "gp/evolution/primitive_set.py": "the typed grammar of DEAP trees, one type system",
    "gp/evolution/variation.py": "all operators of the toolbox and the decorator around them",
    "models/candidates.py": "every layout of candidates, read into one kind of record",
    "primitives/pps.py": "the pruning rules, a few lines each, in the order in which they are asked",
    "primitives/proxy.py": "the formula and its canonical form",
    "report/pages/hall_page.py": "one page, from its top to its end",
    "report/portable/sympy_module.py": "one emitted module: every operator spelled in sympy",
    "report/portable/torch_module.py": "one emitted module: text that must stand together",
}
LONG_FUNCTIONS = {
    "commands/exhaust.py exhaust": "the signature of its options, then one step after another",
    "commands/replay.py replay": "the signature of its options, then one step after another",
    "commands/select.py select": "the signature of its options, then one step after another",
    "gp/benchmark_search.py search": "the stages of a search in the order in which they run",
    "report/pages/scatter.py scatter": "one chart, most of it the literal that plotly reads",
}


def length(function: ast.FunctionDef) -> int:
    """Lines of a function without its docstring."""
    own = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    return own - ((first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(function) else 0)


def test_files_have_at_most_250_lines_or_a_reason() -> None:
    """The table names those that are longer, no more and no fewer."""
    long = {name_of(path) for path in EVERYTHING if path.read_text().count("\n") > 250}
    assert long == set(LONG_FILES)


def test_functions_have_at_most_40_lines_or_a_reason() -> None:
    long = {
        f"{name_of(path)} {node.name}"
        for path in EVERYTHING
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and length(node) > 40
    }
    assert long == set(LONG_FUNCTIONS)


def test_the_page_of_the_rooms_names_places_that_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page.split("## Where would it go?")[1].split("## ")[0]
    places = [line.split("|")[2].strip(" `") for line in table.splitlines() if line.startswith("|")][2:]
    places = [place.split("`")[-1] if "`" in place else place for place in places]
    assert len(places) >= 10 and all((ROOT / place).exists() for place in places), places
    decided = page.split("## Where is it decided?")[1].split("## ")[0]
    rows = [[cell.strip(" `") for cell in line.split("|")[1:4]] for line in decided.splitlines() if line[:2] == "| "]
    for question, place, name in rows[1:]:
        text = (ROOT / place).read_text() if (ROOT / place).is_file() else (ROOT / place / "__init__.py").read_text()
        assert re.search(rf"\b(def|class) {name}\b|^{name}\b|\b{name}\b.*import|import.*\b{name}\b", text, re.M), (
            question
        )
    assert len(rows) > 20
    rooms = {folder.name for folder in ROOT.iterdir() if (folder / "__init__.py").exists()}
    assert all(f"{room}/" in page for room in rooms), rooms
