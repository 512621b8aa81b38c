"""Engine protocol: run a list of tasks and yield each task with its result, in completion order."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

__all__ = ["Engine", "answer"]

Task = TypeVar("Task")
Result = TypeVar("Result")


class Engine(Protocol):
    """Worker processes, here or elsewhere, each with one device and one task at a time.

    `str` of a task is its name in messages. Results do not depend on which worker runs a task; a task is tried again
    after one lost worker.
    """

    def run(self, function: Callable[[Task, str], Result], tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """Yield pairs (task, function(task, device)) as they finish; the next task is read when a worker is free.

        Raises WorkerCrash when two workers were lost on one task; an exception of the function itself as it is.
        """
        ...

    def free_memory(self) -> int | None:
        """Smallest number of bytes that a worker can allocate; None if unknown."""
        ...


def answer(function: Callable[[Any, str], Any], task: Any, device: str) -> tuple[bool, Any]:
    """Call the function and return (True, result) or (False, exception), as a worker sends it to its owner."""
    try:
        return True, function(task, device)
    except Exception as error:  # noqa: BLE001 - the owner raises it
        error.add_note(f"in a worker process:\n{traceback.format_exc()}")
        return False, error
