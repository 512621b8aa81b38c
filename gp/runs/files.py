"""RunFiles: the directory of a run, locked while it is open, and what may be trusted of what lies in it.

Every file is written whole or not at all. Settings and checkpoints carry the digest of their content; a damaged
checkpoint gives way to the one before it, and a search without any starts anew: it is deterministic, so what is
lost is time.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gp.config import SearchConfig
from gp.evolution.evolve import Step
from gp.evolution.state import SearchState
from gp.runs.settings import BadRun, RunSettings
from storage.datum import is_whole
from storage.files import BadFile, dump_json, load_json, sealed, unsealed, write_atomic
from storage.locks import held, sweep
from storage.log import RecordLog

__all__ = ["RunFiles", "environment"]

CHECKPOINT_SECONDS = 1.0  # at most this much work, or 20 times what writing it takes, is repeated after a crash
CHECKPOINT_SHARE = 20.0
MAX_CONFIG = 1 << 20  # bytes
MAX_CHECKPOINT = 1 << 30
LOCK = ".run.lock"

log = logging.getLogger("zcp.run")
log.addHandler(logging.NullHandler())  # silent, unless the program that uses it listens


class RunFiles:
    """Files of a run in progress."""

    def __init__(self, folder: Path, settings: RunSettings) -> None:
        self.folder, self.settings = folder, settings

    @classmethod
    @contextmanager
    def create(cls, folder: Path, settings: RunSettings) -> Iterator[RunFiles]:
        """A new directory; BadRun if something lies there already."""
        _refuse_filled(folder)
        with _locked(folder):
            _refuse_filled(folder)
            files = cls(folder, settings)
            files.save_settings()
            files.save_environment()
            yield files

    @classmethod
    @contextmanager
    def resume(cls, folder: Path) -> Iterator[RunFiles]:
        """An existing directory; BadRun if it holds no run, BadFile if its settings are damaged."""
        path = folder / "config.json"
        if not path.is_file():
            raise BadRun(f"{folder}: no config.json, so there is no run to resume; give the folder of a run")
        with _locked(folder):
            data = unsealed(load_json(path, MAX_CONFIG, "a run's settings"), str(path))
            files = cls(folder, RunSettings.from_dict(data, str(path)))
            if not (folder / "environment.json").exists():  # killed while it began
                files.save_environment()
            yield files

    def save_settings(self) -> None:
        """Save the settings."""
        write_atomic(self.folder / "config.json", dump_json(sealed(self.settings.to_dict())))

    def save_environment(self) -> None:
        """Save the environment."""
        write_atomic(self.folder / "environment.json", dump_json(environment()))

    @property
    def checkpoint(self) -> Path:
        """The search between two iterations."""
        return self.folder / "checkpoint.json"

    @property
    def previous(self) -> Path:
        """The checkpoint before."""
        return self.folder / "checkpoint.previous.json"

    def save_state(self, state: SearchState) -> None:
        """Write a checkpoint and keep the one before."""
        write_atomic(self.checkpoint, dump_json(sealed(state.to_dict()), None), self.previous)

    def finish(self) -> None:
        """The result is there: the second checkpoint is not needed any more."""
        self.previous.unlink(missing_ok=True)

    def load_state(self, search: SearchConfig) -> SearchState | None:
        """The last checkpoint that can be trusted; None if there is none, which is said if one is damaged.

        A damaged one is put aside. BadState for an undamaged one that does not fit, such as another version's.
        """
        faults = []
        for path in (self.checkpoint, self.previous):
            try:
                state = self._read_state(path, search)
            except BadFile as fault:
                faults.append(str(fault))
                os.replace(path, path.with_suffix(".damaged"))  # it must not become the previous one of the next
                continue
            if state is not None:
                _warn(faults, f"continuing from the checkpoint before it, iteration {state.iteration}")
                return state
        _warn(faults, "no other checkpoint is left, so the search starts anew, with the same result")
        return None

    def _read_state(self, path: Path, search: SearchConfig) -> SearchState | None:
        if not path.is_file():
            return None
        formulas = 2 * search.iterations + 2 * search.population + search.finalists
        limit = min(MAX_CHECKPOINT, MAX_CONFIG + 4096 * formulas)
        nodes = 1000 + 8 * formulas  # brackets of formulas look like lists when they are counted
        data = unsealed(load_json(path, limit, "a checkpoint", nodes), str(path))
        return SearchState.from_dict(data, search)

    @contextmanager
    def journal(self, state: SearchState | None) -> Iterator[Callable[[Step], None]]:
        """Append a line per step to generations.jsonl, and write a checkpoint now and then. Lines after the
        checkpoint that a run continues from are dropped, because these steps are done again."""
        last, pace = state.iteration if state else -1, _Pace()

        def is_done(record: dict[str, Any]) -> bool:
            return is_whole(at := record.get("iteration")) and at <= last

        with RecordLog.open(self.folder / "generations.jsonl", most=last + 1, wanted=is_done) as lines:

            def on_iteration(step: Step) -> None:
                due = pace.due()
                lines.append(step.record(), wait=due)
                if due:
                    with pace.measured():
                        self.save_state(step.state)

            yield on_iteration


class _Pace:
    """When the next checkpoint is due: not so often that writing takes a noticeable share of the time."""

    def __init__(self) -> None:
        self.next = time.monotonic() + CHECKPOINT_SECONDS

    def due(self) -> bool:
        return time.monotonic() >= self.next

    @contextmanager
    def measured(self) -> Iterator[None]:
        start = time.monotonic()
        yield
        end = time.monotonic()
        self.next = end + max(CHECKPOINT_SECONDS, CHECKPOINT_SHARE * (end - start))


def _warn(faults: list[str], consequence: str) -> None:
    if faults:
        log.warning("%s; %s", " and ".join(faults), consequence)


def _refuse_filled(folder: Path) -> None:
    """Refuse a directory with content, except for temporary files of a killed process."""
    try:
        filled = folder.exists() and any(not _is_leftover(path) for path in folder.iterdir())
    except OSError as error:
        raise BadRun(f"{folder}: cannot be used ({error.strerror}); choose another --out") from error
    if filled:
        raise BadRun(f"{folder}: is not empty, and a run is never overwritten; use --resume {folder} or another --out")


def _is_leftover(path: Path) -> bool:
    return path.name == LOCK or (path.name.startswith(".config.json.") and path.suffix == ".tmp")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            mine = stack.enter_context(held(folder / LOCK))
        except OSError as error:
            raise BadRun(f"{folder}: cannot be used ({error.strerror}); choose another --out") from error
        if not mine:
            raise BadRun(f"{folder}: another process works on this run; wait for it or choose another --out")
        sweep(folder)
        yield


def environment() -> dict[str, Any]:
    """Versions and machine, for environment.json and `doctor`."""
    names = ("torch", "transformers", "deap", "numpy", "scipy", "joblib", "click", "safetensors")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        **{name: version(name) for name in names},
    }
