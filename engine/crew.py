"""Crew: the local engine, one worker process per device, one retry after a lost worker.

Results do not depend on the number of workers or on which worker runs a task. Workers are fresh interpreters, on Linux
forked from one that has imported the libraries, each with a pipe to its owner; there is no queue and no semaphore that
a killed owner could leave behind.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any, Generic, TypeVar

from engine.memory import free_on
from engine.protocol import answer
from engine.threads import one_thread
from storage.errors import WorkStopped
from storage.plugins import load_plugins, loaded_plugins

__all__ = ["Crew", "WorkerCrash", "map_on_devices"]

Task = TypeVar("Task")
Result = TypeVar("Result")

_SERVED = sys.platform == "linux"
_STARTS: Any = multiprocessing.get_context("forkserver" if _SERVED else "spawn")
if _SERVED:  # imported once by the process that workers are forked from, which takes seconds
    _STARTS.set_forkserver_preload(["torch", "scipy.stats", "joblib", "safetensors.torch"])
_UNGUARDED = 86  # exit code of a worker that would have started workers while it imported its owner's script


class WorkerCrash(WorkStopped, RuntimeError):
    """A `task` whose worker died twice, or workers that cannot start (no task)."""

    def __init__(self, message: str, task: object = None) -> None:
        super().__init__(message)
        self.task = task


def map_on_devices(
    function: Callable[[Task, str], Result], tasks: Iterable[Task], devices: Sequence[str], niceness: int = 0
) -> Iterator[tuple[Task, Result]]:
    """The pairs (task, function(task, device)) as they finish. A single device works in this process, unless its
    work is to be nicer than this process.

    `function` must be importable. Raises WorkerCrash when a task kills its worker twice; any exception of the
    function itself is raised as it is.
    """
    if len(devices) == 1 and not niceness:
        with one_thread():
            for task in tasks:
                yield task, function(task, devices[0])
        return
    with Crew(devices, niceness) as crew:
        yield from crew.run(function, tasks)


@dataclass(eq=False)
class _Job(Generic[Task]):
    """A task, and whether a worker was lost on it."""

    task: Task
    lost: bool = False


class _Worker:
    """A process on one device that does one job at a time and leaves with its owner."""

    job: _Job[Any]

    def __init__(self, device: str, niceness: int) -> None:
        self.device = device
        self.connection, theirs = _STARTS.Pipe()
        self.process = _STARTS.Process(target=_work, args=(theirs, niceness, loaded_plugins()))
        with _interrupts_blocked():  # the worker inherits the mask
            self.process.start()
        theirs.close()

    def begin(self, function: Callable[[Any, str], Any], job: _Job[Any]) -> None:
        """Send the job; a dead worker is noticed when its answer is read."""
        self.job = job
        with contextlib.suppress(BrokenPipeError):
            self.connection.send((function, job.task, self.device))

    def leave(self) -> None:
        """Wait for an idle process to end."""
        self.connection.close()
        self.process.join()

    def kill(self) -> None:
        """End the process at once."""
        self.connection.close()
        self.process.kill()
        self.process.join()


class Crew:
    """Worker processes that start when first needed and stay for further lists of tasks, because starting one takes
    seconds. A lost worker is replaced; none outlives the block."""

    def __init__(self, devices: Sequence[str], niceness: int = 0) -> None:
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            os._exit(_UNGUARDED)  # this process is a worker that imports the script of its owner
        self.devices, self.vacant, self.niceness = tuple(devices), list(devices), niceness
        self.idle: list[_Worker] = []
        self.busy: list[_Worker] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is not KeyboardInterrupt:
                self._settle()
                for worker in self.idle:
                    worker.leave()
        finally:
            for worker in self.idle + self.busy:
                worker.kill()

    def free_memory(self) -> int | None:
        """Bytes that can be allocated on every device."""
        return free_on(self.devices)

    def run(self, function: Callable[[Task, str], Result], tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """Yield (task, result) pairs as they finish, one task per device at a time. When the iterator is closed,
        running tasks are finished, unless Ctrl-C asks to stop at once."""
        try:
            yield from self._run(function, tasks)
        except (Exception, GeneratorExit):
            self._settle()
            raise

    def _run(self, function: Callable[[Task, str], Result], tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        waiting, again = map(_Job[Task], tasks), list[_Job[Task]]()
        while True:
            while self.idle or self.vacant:
                if (job := again.pop() if again else next(waiting, None)) is None:
                    break
                self._begin(function, job)
            if not self.busy:
                return
            ready = wait_for([worker.connection for worker in self.busy])
            for worker in [worker for worker in self.busy if worker.connection in ready]:
                self.busy.remove(worker)
                try:
                    finished, result = worker.connection.recv()
                except (EOFError, OSError):
                    again.append(self._lost(worker))
                    continue
                self.idle.append(worker)
                if not finished:
                    raise result
                yield worker.job.task, result

    def _begin(self, function: Callable[[Task, str], Result], job: _Job[Task]) -> None:
        worker = self.idle.pop() if self.idle else _Worker(self.vacant.pop(), self.niceness)
        self.busy.append(worker)
        worker.begin(function, job)

    def _settle(self) -> None:
        """Wait for running jobs and drop their results."""
        while self.busy:
            worker = self.busy[-1]
            try:
                worker.connection.recv_bytes()
                self.idle.append(worker)
            except (EOFError, OSError):
                worker.leave()
                self.vacant.append(worker.device)
            self.busy.remove(worker)

    def _lost(self, worker: _Worker) -> _Job[Any]:
        """The job of a dead worker, for its retry; WorkerCrash after a second loss or a failed start."""
        worker.leave()
        code = worker.process.exitcode or 0
        if code == _UNGUARDED:
            raise WorkerCrash(
                "the script starts workers while it is imported, and every worker imports it; put what it does "
                'under if __name__ == "__main__":'
            ) from None
        self.vacant.append(worker.device)
        if worker.job.lost:
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            raise WorkerCrash(
                f"a worker process died twice on one task ({how}); free memory or use fewer workers, then "
                "resume: what is finished is kept",
                worker.job.task,
            ) from None
        worker.job.lost = True
        return worker.job


def _work(connection: Connection, niceness: int, plugins: Sequence[Path]) -> None:
    """Main loop of a worker process: receive a job, send its answer, until the owner closes the pipe."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the owner decides
        signal.signal(number, signal.SIG_IGN)
    os.nice(niceness)
    load_plugins(plugins)
    threading.Thread(target=_leave_with_owner, daemon=True).start()
    with one_thread(), contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            connection.send(answer(*connection.recv()))


def _leave_with_owner() -> None:
    """End this process when its owner is gone, even when that was killed."""
    if (owner := multiprocessing.parent_process()) is not None:
        wait_for([owner.sentinel])
        os._exit(1)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block SIGINT in workers, because Ctrl-C reaches the whole process group and the owner decides; a signal that
    arrives meanwhile is kept."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
