"""Writes docs/api.md from the docstrings of the public names:

python docs/make_api.py            write the page
python docs/make_api.py --check    exit 1 if the page differs from the docstrings
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "api.md"
PACKAGES = ("gp", "fitness", "models", "primitives", "engine", "report", "storage")
PLUG_INS = (
    "gp.evolve", "gp.Evolution", "gp.algorithm", "gp.mutation", "fitness.objective", "primitives.rule",
    "primitives.unary", "primitives.binary", "fitness.hand_made", "gp.SearchConfig",
)  # fmt: skip
OPENING = """\
# Python interface

This page is generated from the docstrings by `python docs/make_api.py`; CI checks that it is up to date. Importing a
package loads nothing until one of its names is used.
"""


def page() -> str:
    """The page as Markdown: first the names that extend a search, then every package."""
    parts = [OPENING, "## What DEAP users plug in\n"]
    parts += [entry(*name.split(".")) for name in PLUG_INS]
    for package in PACKAGES:
        module = importlib.import_module(package)
        parts.append(f"## {package}\n\n{inspect.cleandoc(module.__doc__ or '').split(chr(10) * 2)[0]}\n")
        parts += [entry(package, name) for name in sorted(module.__all__) if f"{package}.{name}" not in PLUG_INS]
    return "\n".join(parts)


def entry(package: str, name: str) -> str:
    """One public name: its signature and its docstring; for a class also its public methods."""
    found = getattr(importlib.import_module(package), name)
    lines = [f"### `{package}.{name}{signature(found)}`\n"]
    if inspect.isclass(found) or inspect.isroutine(found):
        lines.append(paragraphs(found))
    else:
        lines.append(f"A table or type of names, `{type(found).__name__}`.\n")
    if inspect.isclass(found) and not issubclass(found, BaseException):
        lines += [f"- {line}" for line in methods(found)]
        lines += [""] if lines[-1].startswith("- ") else []
    return "\n".join(lines)


def methods(cls: type) -> list[str]:
    """The public methods and properties that a class defines, with the first sentence of each docstring."""
    rows = []
    for name, member in vars(cls).items():
        plain = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        text = inspect.getdoc(plain)
        if name.startswith("_") or not text or not (inspect.isroutine(plain) or isinstance(plain, property)):
            continue
        call = "" if isinstance(plain, property) else signature(plain)
        rows.append(f"`{name}{call}`: {' '.join(text.split(chr(10) * 2)[0].split())}")
    return rows


def signature(found: Any) -> str:
    """The parameters of a callable without annotations, or nothing."""
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return ""
    shown = [p.replace(annotation=inspect.Parameter.empty) for p in parameters if p.name not in ("self", "cls")]
    text = str(inspect.Signature(shown))
    return re.sub(r"<[^<>]*(<[^<>]*>[^<>]*)*>|\(.{160,}\)$", "...", text)  # no addresses: <function <lambda> at 0x...>


def paragraphs(found: Any) -> str:
    """The docstring as Markdown, a paragraph a line."""
    text = inspect.cleandoc(found.__doc__ or "")
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n")) + "\n"


def main() -> int:
    """Write or check the page."""
    sys.path.insert(0, str(ROOT))
    text = page()
    if "--check" in sys.argv[1:]:
        fresh = PAGE.exists() and PAGE.read_text() == text
        print("docs/api.md is up to date" if fresh else "docs/api.md is stale; run python docs/make_api.py")
        return 0 if fresh else 1
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
