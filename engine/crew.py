"""One worker process per device, work stealing, one retry after a crash; results do not depend on any of it."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from typing import Any, TypeVar

import torch

from storage.errors import ZcpError

__all__ = ["BadDevice", "WorkerCrash", "check_devices", "map_on_devices", "one_thread"]

_SPAWN = multiprocessing.get_context("spawn")

Task = TypeVar("Task")
Result = TypeVar("Result")


class BadDevice(ZcpError, ValueError):
    """A device that this machine does not have."""


class WorkerCrash(ZcpError, RuntimeError):
    """A worker process died twice on the same task."""


def check_devices(text: str) -> tuple[str, ...]:
    """Device names from a comma-separated list such as "cpu", "cpu,cpu" or "cuda:0,cuda:1", or "auto"."""
    if text == "auto":
        return _all_devices()
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise BadDevice(f"devices: got {text!r}, wanted a list such as cpu,cpu or cuda:0,cuda:1")
    for name in names:
        kind, _, index = name.partition(":")
        known = kind in ("cpu", "cuda") and (not index or index.isdigit())
        if not known or (kind == "cpu" and index):
            raise BadDevice(f"devices: got {name!r}, wanted cpu or cuda:NUMBER")
        if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
            raise BadDevice(f"devices: got {name!r}, but torch sees {torch.cuda.device_count()} CUDA devices; use cpu")
    return names


def _all_devices() -> tuple[str, ...]:
    """Every CUDA device, or else one process per core, at most eight (each holds one network)."""
    if count := torch.cuda.device_count():
        return tuple(f"cuda:{i}" for i in range(count))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ("cpu",) * min(cores, 8)


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread, because the number of threads can change the last bits of a sum."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def map_on_devices(
    function: Callable[[Task, str], Result], tasks: Iterable[Task], devices: Sequence[str]
) -> Iterator[tuple[Task, Result]]:
    """Yield (task, function(task, device)) as they finish. A single device works in this process.

    `function` must be importable (a worker is a fresh interpreter). Raises WorkerCrash when a task kills its worker
    twice; any exception of the function itself is raised as it is.
    """
    if len(devices) == 1:
        with one_thread():
            for task in tasks:
                yield task, function(task, devices[0])
        return
    with _Crew(devices) as crew:
        yield from crew.run(function, tasks)


class _Crew:
    """One single-worker pool per device; a broken pool is replaced. Workers leave when their owner does, even when it
    is killed: they hold the other end of a pipe that closes with it."""

    def __init__(self, devices: Sequence[str]) -> None:
        self.devices = list(devices)
        self.pools: list[ProcessPoolExecutor] = []
        self.theirs, self.ours = _SPAWN.Pipe(duplex=False)

    def __enter__(self) -> _Crew:
        self.pools = [self._pool() for _ in self.devices]
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        if kind is KeyboardInterrupt:  # leave at once; otherwise networks in progress are finished, for the bank
            self.ours.close()
        try:
            for pool in self.pools:
                pool.shutdown(wait=True, cancel_futures=True)
        finally:
            self.ours.close()
            self.theirs.close()

    def _pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, mp_context=_SPAWN, initializer=_start_worker, initargs=(self.theirs,))

    def run(self, function: Callable[[Task, str], Result], tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """Keep every device busy with one task until none is left."""
        waiting, retried = iter(tasks), set[int]()
        running: dict[Future[Result], tuple[int, Task]] = {}
        idle = list(range(len(self.devices)))
        again: list[Task] = []
        while True:
            for task in itertools.chain(again, waiting) if idle else ():
                worker = idle.pop()
                with _interrupts_blocked():  # a worker starts here, and inherits the mask
                    future = self.pools[worker].submit(function, task, self.devices[worker])
                running[future] = worker, task
                again = again[1:]
                if not idle:
                    break
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                worker, task = running.pop(future)
                idle.append(worker)
                try:
                    result = future.result()
                except BrokenProcessPool:
                    self.pools[worker] = self._pool()
                    if id(task) in retried:
                        raise WorkerCrash(
                            "a worker process died twice on one architecture; free memory or use fewer devices"
                        ) from None
                    retried.add(id(task))
                    again.append(task)
                else:
                    yield task, result


def _start_worker(lifeline: Connection) -> None:
    torch.set_num_threads(1)
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent decides
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(lifeline,), daemon=True).start()


def _leave_with(lifeline: Connection) -> None:
    """End this process when the other end of the pipe closes, on purpose or because its owner was killed."""
    wait_for([lifeline])
    os._exit(1)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Ctrl-C reaches the whole process group, but the parent alone decides; one that comes meanwhile is kept."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
