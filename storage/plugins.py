"""Plug-ins: Python files that a user names, executed in this process and in the worker processes that it starts.

A plug-in registers operators, hand-made proxies, spaces, objectives or algorithms with their decorators. Its code runs
as it is, so only files that the user names are loaded, never one that a file names.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from storage.errors import ZcpError

__all__ = ["BadPlugin", "load_inherited", "load_plugin"]

VARIABLE = "ZCP_PLUGINS"  # paths of the plug-ins of the process that started this one


class BadPlugin(ZcpError, ValueError):
    """A plug-in that cannot be executed; the message names the file and the reason."""


def load_plugin(path: Path) -> None:
    """Execute a file once, as a module of its own, and name it to the processes that this one starts."""
    path = path.absolute()
    if not path.is_file() or path.suffix != ".py":
        raise BadPlugin(
            f"{path}: got no Python file, wanted the path of one that registers operators, proxies or spaces"
        )
    named = [place for place in os.environ.get(VARIABLE, "").split(os.pathsep) if place]
    if str(path) not in named:
        os.environ[VARIABLE] = os.pathsep.join([*named, str(path)])
    _execute(path)


def load_inherited() -> None:
    """Execute the plug-ins of the process that started this one."""
    for place in os.environ.get(VARIABLE, "").split(os.pathsep):
        if place:
            _execute(Path(place))


def _execute(path: Path) -> None:
    name = f"zcp_plugin_{path.stem}"
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return
    if known is not None:
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
