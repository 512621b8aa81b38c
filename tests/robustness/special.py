"""What is no file, where a command or a loader expects one: a pipe, a device, a folder, a socket."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fitness.features.bank import FeatureBank
from gp.runs.files import RunFiles
from storage.files import write_atomic
from tests.robustness.small import FEATURES
from tests.robustness.watch import WATCH

if TYPE_CHECKING:
    from tests.robustness.targets import Targets

__all__ = ["FINE", "PLACES", "SPECIAL"]

Make = Callable[[Path], object]


def _listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


SPECIAL: dict[str, Make] = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "zero": lambda path: path.symlink_to("/dev/zero"),
    "null": lambda path: path.symlink_to("/dev/null"),
    "socket": _listen,
}


def _of_command(*arguments: str, name: str = "it.json") -> Callable[[Targets, Make], object]:
    """A command one of whose words, IT, is the name of something special."""

    def call(targets: Targets, make: Make) -> object:
        make(path := targets.place / name)
        words: dict[str, str | Path] = {"IT": path, "TABLE": targets.table, "OUT": targets.place / "out"}
        return targets.command(*(words.get(word, word) for word in arguments))

    return call


def _of_run(name: str) -> Callable[[Targets, Make], object]:
    def call(targets: Targets, make: Make) -> object:
        targets.copy_run()
        (targets.place / name).unlink()
        make(targets.place / name)
        WATCH.armed = True
        with RunFiles.resume(targets.place) as files:
            state = files.load_state(files.settings.search)
            with files.journal(state):
                return state is not None  # a checkpoint that is none counts as absent

    return call


def _of_bank(kind: str) -> Callable[[Targets, Make], object]:
    def call(targets: Targets, make: Make) -> object:
        bank = FeatureBank(targets.place, targets.bank.key)
        path = targets.entries(bank, targets.entry)[kind]
        path.parent.mkdir(parents=True)
        make(path)
        return targets.served(kind, bank)

    return call


def _of_yaml(name: str) -> Callable[[Targets, Make], object]:
    def call(targets: Targets, make: Make) -> object:
        shutil.copytree(targets.yaml, folder := targets.place / "b")
        (folder / name).unlink()
        make(folder / name)
        return targets.verify(folder)

    return call


def _written(targets: Targets, make: Make) -> object:
    make(path := targets.place / "it")
    write_atomic(path, b"x")
    return True


SMALL = ("--search-size", "16", *FEATURES)
PLACES: dict[str, Callable[[Targets, Make], object]] = {
    "show": _of_command("show", "IT"),
    "replay": _of_command("replay", "IT", "--bank", "OUT"),
    "plot": _of_command("plot", "IT", "--bank", "OUT"),
    "leaderboard": _of_command("leaderboard", "--benchmark", "TABLE", "--hall", "IT", "--bank", "OUT", *SMALL),
    "compare": _of_command("exhaust", "--benchmark", "TABLE", "--compare", "IT", "--bank", "OUT", *SMALL),
    **{f"verify{s}": _of_command("benchmarks", "verify", "IT", name=f"it{s}") for s in (".json", ".jsonl", ".csv", "")},
    "corpus": _of_command("evolve", "--benchmark", "TABLE", "--corpus", "IT", "--out", "OUT", *SMALL),
    "resume": _of_command("evolve", "--resume", "IT"),
    **{name: _of_run(name) for name in ("config.json", "checkpoint.json", "generations.jsonl")},
    **{kind.replace(" ", "-"): _of_bank(kind) for kind in ("sketch", "exact scores", "zoo")},
    **{name: _of_yaml(name) for name in ("ppl_summary.yaml", "config_3/j0/model_config.yaml")},
    "written": _written,
}
FINE = {("written", "null"), ("written", "zero")}  # devices are written through to
