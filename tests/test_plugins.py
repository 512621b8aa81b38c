"""--plugin: a Python file of the user registers operators, proxies, spaces and objectives for every command."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import cli
from engine.crew import map_on_devices
from fitness.objectives import OBJECTIVES
from fitness.zoo.registry import ZOO
from models.spaces import DRAWABLE, SPACES
from primitives.operators import UNARY
from storage import plugins
from storage.plugins import BadPlugin, load_plugins, loaded_plugins, plugin_module

TEXT = """
from fitness import hand_made, objective
from models import register_space
from models.spaces.gpt2.space import Gpt2Space
from primitives import Kind, Sign, unary

@unary("plugged", Kind.ENTRY, Sign.KEEP, "x^5")
def plugged(x, frame):
    return x * x * x * x * x

@hand_made("plugged count", "n", "a test")
def plugged_count(network):
    return 1.0

@objective("plugged")
def plugged_objective(target, scores):
    return target.spearman(scores)

class Mine(Gpt2Space):
    name = "plugged"

register_space(Mine())
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that nothing remembers afterwards."""
    monkeypatch.setattr(plugins, "_LOADED", [])
    tables = (UNARY, ZOO, OBJECTIVES, SPACES, DRAWABLE)
    before = [dict(table) for table in tables]
    path = tmp_path / "mine.py"
    path.write_text(TEXT)
    yield path
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)  # type: ignore[arg-type]
    sys.modules.pop("zcp_plugin_mine", None)


def is_known(name: str, device: str) -> bool:
    """What a worker process answers."""
    return name in UNARY and name in SPACES


def test_a_command_knows_what_its_plug_in_registers(
    plugin: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["rank", "--sample", "2", "--space", "plugged", "--proxy", "sum[ frobenius_norm(plugged(W)) ]", "--format",
             "json", "--bank", str(tmp_path / "bank"), "--devices", "cpu", "--batch", "1", "--seq-len", "8"]  # fmt: skip
    assert cli.main(words) == 2
    assert "got 'plugged', wanted one of gpt2" in capfd.readouterr().err
    assert cli.main([*words, "--max-params", "1K", "--plugin", str(plugin)]) == 2  # nothing is built
    assert "none of 2 candidates meets the bounds" in capfd.readouterr().err
    assert "plugged" in OBJECTIVES and "plugged count" in ZOO
    assert cli.main(["select", "--help"]) == 0
    shown = capfd.readouterr().out
    assert (
        "plugged" in shown
        and "--plugin FILE.py" in shown
        and "name only files that you trust" in " ".join(shown.split())
    )


def test_worker_processes_know_it_too(plugin: Path) -> None:
    load_plugins([plugin, plugin])  # once is enough
    (answer,) = map_on_devices(is_known, ["plugged"], ["cpu"], niceness=1)
    assert answer == ("plugged", True)


@pytest.mark.parametrize(
    ("text", "said"),
    [("1 / 0", "ZeroDivisionError: division by zero"), ("import nowhere_at_all", "ModuleNotFoundError")],
)
def test_a_plug_in_that_fails_is_one_line(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plugins, "_LOADED", [])
    (tmp_path / "broken.py").write_text(text)
    assert cli.main(["doctor", "--plugin", str(tmp_path / "broken.py")]) == 1
    error = capfd.readouterr().err
    assert (
        error.count("\n") == 1 and "broken.py: " in error and said in error and "zcp_plugin_broken" not in sys.modules
    )
    assert json.dumps(error)
    with pytest.raises(BadPlugin, match="got no Python file"):
        load_plugins([tmp_path / "absent.py"])


def test_a_plug_in_is_a_python_file_of_a_name_of_its_own(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_plugins([plugin])
    assert loaded_plugins() == (plugin,) and plugin_module(plugin).__name__ == "zcp_plugin_mine"
    assert plugin_module(plugin).Mine.name == "plugged"
    (tmp_path / "text.txt").write_text("")
    (tmp_path / "folder.py").mkdir()
    for path in (tmp_path / "text.txt", tmp_path / "folder.py"):
        with pytest.raises(
            BadPlugin, match="got no Python file, wanted one that registers operators, proxies or spaces$"
        ):
            load_plugins([path])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.py").write_text("")
    with pytest.raises(BadPlugin, match="got a second plug-in called mine, wanted files of different names$"):
        load_plugins([tmp_path / "other" / "mine.py"])
    (tmp_path / "third.py").write_text("")
    for spec in (None, SimpleNamespace(loader=None)):
        monkeypatch.setattr(plugins.importlib.util, "spec_from_file_location", lambda name, path, own=spec: own)
        with pytest.raises(BadPlugin, match=r"third\.py: cannot be loaded as a Python file$"):
            load_plugins([tmp_path / "third.py"])
    assert loaded_plugins() == (plugin,)
