"""Build a wheel whose one package is `zcp`: the folders of a checkout below it, imports rewritten to match.

A checkout, and `pip install -e .`, keep the flat names (`from gp import search`); in an installed wheel they are
`from zcp.gp import search`, so that nothing in site-packages is called `models` or `report`.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
FOLDERS = ("commands", "engine", "fitness", "gp", "models", "primitives", "report", "storage")
EDITABLE = any("editable" in argument for argument in sys.argv)
FLAT = [name for folder in FOLDERS for name in (folder, *(f"{folder}.{part}" for part in find_packages(folder)))]

_names = "|".join(FOLDERS)
_FROM = re.compile(rf"^(\s*)from ((?:{_names})\b|cli\b)", re.MULTILINE)
_TEXT = re.compile(rf'"((?:{_names})\.[A-Za-z_.]*)"')


def inside_package(source: str) -> str:
    """Source whose imports, and texts that name modules, lie inside `zcp`."""
    return _TEXT.sub(r'"zcp.\1"', _FROM.sub(r"\1from zcp.\2", source))


class BuildInsidePackage(build_py):
    """Copy the packages, then add the program and the committed formulas, and rewrite the imports."""

    def run(self) -> None:
        """Build; an editable installation stays as the checkout is."""
        package = Path(self.build_lib) / "zcp"
        shutil.rmtree(package, ignore_errors=True)  # modules of an earlier build
        super().run()
        if EDITABLE:
            return
        shutil.copy(ROOT / "cli.py", package)
        shutil.copytree(ROOT / "proxies", package / "proxies", dirs_exist_ok=True)
        (package / "__init__.py").write_text('"""Evolving zero-cost proxies for language models."""\n')
        for path in (*package.rglob("*.py"), *package.rglob("*.pyi")):
            path.write_text(inside_package(path.read_text()))


def needed(name: str) -> list[str]:
    """Requirements of a file, up to those of tests."""
    text = (ROOT / name).read_text().split("# Tests and checks")[0]
    return [line.split("#")[0].strip() for line in text.splitlines() if line.split("#")[0].strip()]


setup(
    packages=FLAT if EDITABLE else [f"zcp.{name}" for name in FLAT],
    py_modules=["cli"] if EDITABLE else [],
    package_dir={} if EDITABLE else {f"zcp.{folder}": folder for folder in FOLDERS},
    install_requires=needed("requirements.txt"),
    extras_require={name: needed(f"requirements-{name}.txt") for name in ("cluster", "checkpoint", "operon", "pandas")},
    entry_points={"console_scripts": [f"zcp = {'' if EDITABLE else 'zcp.'}cli:script"]},
    cmdclass={"build_py": BuildInsidePackage},
)
