"""Training runs in worker processes: interchangeable, replaceable when they die, gone when the parent is."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context

from models.architecture import Architecture
from models.training.corpus import load_corpus
from models.training.learning import Budget, Run, train_one
from storage.errors import ZcpError

__all__ = ["DIGITS", "Task", "TrainingError", "run_all"]

MAX_BREAKS = 5  # pools that may break (killed workers, no memory) before the training gives up
DIGITS = 6  # decimals of recorded losses

Task = tuple[Architecture, int]  # an architecture and a training seed
OnRun = Callable[[Task, Run, float], None]


class TrainingError(ZcpError, RuntimeError):
    """Workers died again and again; finished runs are kept and the same call continues."""


def run_all(tasks: Sequence[Task], jobs: int, niceness: int, budget: Budget, on_run: OnRun) -> None:
    """Train every task in `jobs` processes; `on_run(task, run, seconds)` is called in the parent for each.

    A broken pool is rebuilt and only what is missing is repeated; TrainingError after too many of them.
    """
    missing, breaks = dict.fromkeys(tasks), 0
    while missing:
        try:
            _run_in_one_pool(missing, jobs, niceness, budget, on_run)
        except BrokenProcessPool:
            breaks += 1
            if breaks > MAX_BREAKS:
                why = f"workers died {breaks} times with {len(missing)} runs to go"
                raise TrainingError(f"{why}; look at the memory that is left, then resume") from None


def _run_in_one_pool(missing: dict[Task, None], jobs: int, niceness: int, budget: Budget, on_run: OnRun) -> None:
    """Take every finished task out of `missing`."""
    context = get_context("spawn")
    lifeline, held = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(jobs, context, _prepare_worker, (niceness, lifeline))
    try:
        futures = {pool.submit(_work, *task, budget): task for task in missing}
        for future in as_completed(futures):
            run, seconds = future.result()
            del missing[futures[future]]
            on_run(futures[future], run, seconds)
    except BaseException:
        held.close()  # do not wait for runs that nobody will read
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        held.close()
        lifeline.close()


def _prepare_worker(niceness: int, lifeline: connection.Connection) -> None:
    """Be polite, leave Ctrl-C to the parent, and never outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if niceness:
        os.nice(niceness)
    threading.Thread(target=_leave_with, args=(lifeline,), daemon=True).start()


def _leave_with(lifeline: connection.Connection) -> None:
    """End this process when the other end of the pipe closes, on purpose or because its owner was killed."""
    connection.wait([lifeline])
    os._exit(1)


def _work(architecture: Architecture, seed: int, budget: Budget) -> tuple[Run, float]:
    """One run in a worker, rounded as it will be recorded, and its wall-clock seconds."""
    start = time.perf_counter()
    run = train_one(architecture, seed, budget, load_corpus())
    rounded = Run(round(run.loss, DIGITS), tuple(round(value, DIGITS) for value in run.curve))
    return rounded, time.perf_counter() - start
