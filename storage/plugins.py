"""Plug-ins: Python files that a user names, executed in this process and in the worker processes that it starts.

A plug-in registers operators, hand-made proxies, spaces, objectives or algorithms with their decorators. Its code runs
as it is, so only files that the user names are loaded, never one that a file names.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from storage.errors import WrongInput

__all__ = ["BadPlugin", "load_plugins", "loaded_plugins", "plugin_module"]

_LOADED: list[Path] = []


class BadPlugin(WrongInput):
    """A plug-in that cannot be executed; the message names the file and the reason."""


def loaded_plugins() -> tuple[Path, ...]:
    """The plug-ins of this process, which its workers load as well."""
    return tuple(_LOADED)


def plugin_module(path: Path) -> ModuleType:
    """The module of a plug-in that was loaded."""
    return sys.modules[_name(path)]


def _name(path: Path) -> str:
    return f"zcp_plugin_{path.stem}"


def load_plugins(paths: Sequence[Path]) -> None:
    """Execute files, each once, as modules of their own."""
    for path in paths:
        path = path.absolute()
        if not path.is_file() or path.suffix != ".py":
            raise BadPlugin(f"{path}: got no Python file, wanted one that registers operators, proxies or spaces")
        if path not in _LOADED:
            _execute(path)
            _LOADED.append(path)


def _execute(path: Path) -> None:
    name = _name(path)
    if name in sys.modules:
        raise BadPlugin(f"{path}: got a second plug-in called {path.stem}, wanted files of different names")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadPlugin(f"{path}: cannot be loaded as a Python file")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise BadPlugin(f"{path}: {type(error).__name__}: {error}") from error
