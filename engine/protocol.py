"""Engine: what runs a list of tasks somewhere, and hands back each task with its result in whatever order they end."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

__all__ = ["Engine", "answer"]

Task = TypeVar("Task")
Result = TypeVar("Result")


class Engine(Protocol):
    """Worker processes, here or elsewhere, each with one device and one task at a time.

    `str` of a task is its name in messages. What is done does not depend on who does it; one lost worker costs a task
    nothing but another try.
    """

    def run(self, function: Callable[[Task, str], Result], tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """The pairs (task, function(task, device)) as they finish; the next task is asked for when a worker is free.

        Raises WorkerCrash when two workers were lost on one task; an exception of the function itself as it is.
        """
        ...

    def free_memory(self) -> int | None:
        """The bytes that any of its workers can take at least; None where nothing tells."""
        ...


def answer(function: Callable[[Any, str], Any], task: Any, device: str) -> tuple[bool, Any]:
    """Whether the function returned, and what it returned or raised; what a worker sends to its owner."""
    try:
        return True, function(task, device)
    except Exception as error:  # noqa: BLE001 - the owner raises it
        error.add_note(f"in a worker process:\n{traceback.format_exc()}")
        return False, error
