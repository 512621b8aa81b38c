"""Real clusters on loopback: a scheduler and workers started by their own commands.

Those of tests are steered through a folder of flags, because they load `tests/flags.py` before anything else: a task
stands still while there is a file `hold` (empty, or with the name of its architecture), and kills its worker where a
file with that name says how often.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 180  # seconds, for what takes one or two on an idle machine


def wait_until(true: Callable[[], Any], what: str) -> Any:
    """The first value that is true; how long that takes says nothing."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if value := true():
            return value
        time.sleep(0.05)
    raise AssertionError(f"never: {what}")


@dataclass
class Loopback:
    """A scheduler, and workers that can be killed."""

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("", "flags"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", self.file, path=""
        )
        wait_until(self.file.exists, "a scheduler file")

    @property
    def file(self) -> Path:
        return self.folder / "scheduler.json"

    @property
    def options(self) -> list[str]:
        """Of a command that works here."""
        return ["--engine", "dask", "--scheduler", str(self.file)]

    def flag(self, name: str, text: str = "") -> Path:
        path = self.folder / "flags" / name
        path.write_text(text)
        return path

    def staff(self, *names: str, path: str | None = None, preload: bool = False) -> None:
        """Workers by name, present when this returns."""
        flags = ("--preload", ROOT / "tests" / "flags.py") if preload else ()
        for name in names:
            self.workers[name] = self._start(
                "worker", "--scheduler-file", self.file, "--name", name, "--nthreads", "1", "--no-nanny",
                "--local-directory", self.folder / name, *flags, path=path,
            )  # fmt: skip
        wait_until(lambda: set(names) <= self.names(), f"workers {names}")

    def names(self) -> set[str]:
        """Of the workers that the scheduler knows."""
        return set(self._known().values())

    def address(self, name: str) -> str:
        return next(address for address, known in self._known().items() if known == name)

    def executed(self) -> int:
        """How many tasks the workers have begun so far."""
        return sum(self.ask(lambda c: c.run(lambda dask_worker: dask_worker.state.executed_count)).values())

    def executing(self) -> list[str]:
        """The names of the workers that are at a task."""
        busy, known = self.ask(lambda c: c.processing()), self._known()
        return [known[address] for address, tasks in busy.items() if tasks]

    def _known(self) -> dict[str, str]:
        """Address -> name. `Client.scheduler_info` may return a summary without workers."""
        workers = self.ask(lambda c: c.sync(c.scheduler.identity, n_workers=-1))["workers"]
        return {address: said["name"] for address, said in workers.items()}

    def ask(self, question: Callable[[Any], Any]) -> Any:
        """What the scheduler says, to a client of its own."""
        from distributed import Client

        with Client(scheduler_file=str(self.file), set_as_default=False, timeout=PATIENCE) as client:
            return question(client)

    def kill(self, *names: str) -> None:
        """kill -9."""
        for name in names:
            process = self.workers.pop(name)
            process.send_signal(signal.SIGKILL)
            process.wait()

    def dismiss(self, *names: str) -> None:
        """The same, and wait until the scheduler knows."""
        self.kill(*names)
        wait_until(lambda: not set(names) & self.names(), "workers gone")

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()

    def _start(self, *words: object, path: str | None = None) -> subprocess.Popen[bytes]:
        known = {"PYTHONPATH": str(ROOT) if path is None else path, "ZCP_FLAGS": str(self.folder / "flags")}
        process = subprocess.Popen(
            [sys.executable, "-B", "-m", "dask", *map(str, words), "--no-dashboard"], cwd=self.folder,
            env={**os.environ, **known, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL,
            stderr=(self.folder / f"{len(self.processes)}.log").open("wb"), start_new_session=True,
        )  # fmt: skip
        self.processes.append(process)
        return process
