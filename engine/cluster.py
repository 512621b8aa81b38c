"""A cluster of dask.distributed as an engine: a task per worker at a time, and every attempt counted here.

How a scheduler treats a lost worker differs between versions and settings, so we do not rely on it: every task is bound
to one worker, and the driver checks that this worker is alive while it waits for the answer. Answers arrive through
done-callbacks, because a loop over `distributed.as_completed` cannot be interrupted for that check.
"""

from __future__ import annotations

import logging
import queue
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from engine.connection import address_of, connected
from engine.crew import WorkerCrash
from engine.devices import MIXED, BadDevice, kind_of
from engine.protocol import answer
from engine.threads import one_thread
from engine.workers import ClusterError, Need, Worker, greeted

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["Cluster"]

Task = TypeVar("Task")
Result = TypeVar("Result")

DEPTH = 1  # tasks that a worker has: with two, which of them killed it is not always known
LOOK = 1.0  # seconds between two looks for workers that left or came
ALONE = 60.0  # seconds without any worker, which may be about to be replaced
GATHER = 10.0  # seconds that a result may take to come before its worker is looked for

log = logging.getLogger("zcp.cluster")
log.addHandler(logging.NullHandler())  # silent, unless the program that uses it listens


class Cluster:
    """All workers of one scheduler whose versions match the driver's; workers that join later are used too."""

    def __init__(
        self, client: Client, address: str, needs: Sequence[Need], devices: str = "auto", mix: bool = False
    ) -> None:
        self.address, self._client = address, client
        self._needs, self._devices, self._refused = tuple(needs), devices, set[str]()
        self.workers = {worker.address: worker for worker in greeted(client, self._addresses(), needs, devices)}
        if not self.workers:
            todo = "start one with dask worker ADDRESS --nthreads 1"
            raise ClusterError(f"scheduler {self.address}: has no worker, wanted at least one; {todo}")
        self.kind = kind_of([worker.device for worker in self.workers.values()], mix)

    @classmethod
    @contextmanager
    def open(cls, scheduler: str, needs: Sequence[Need], devices: str = "auto", mix: bool = False) -> Iterator[Cluster]:
        """Connect to the scheduler at an address, or to the one described by a scheduler file. ClusterError names the
        first unusable worker; BadDevice is raised for a mix of CPU and GPU workers that was not asked for."""
        address = address_of(scheduler)
        with connected(address) as client:
            yield cls(client, address, needs, devices, mix)

    def free_memory(self) -> int | None:
        """Smallest number of free bytes that a worker reported when it joined."""
        return min((worker.free for worker in self.workers.values() if worker.free is not None), default=None)

    def run(self, function: Callable[[Task, str], Result], tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """Yield (task, result) pairs as they finish; closing the iterator cancels what has not begun."""
        dispatch = _Dispatch(self, function, map(_Assignment[Task], tasks))
        try:
            yield from dispatch.pairs()
        finally:
            dispatch.call_off()

    def submit(self, function: Callable[[Task, str], Result], task: Task, worker: Worker) -> Future:
        """Submit the task to one worker. It is sent as pickled bytes whose unpickling runs the task, so that the
        scheduler needs neither this project nor torch to forward it."""
        import cloudpickle

        payload = cloudpickle.dumps(_Call(function, task, worker.device, worker.id))
        key = f"zcp-{task}-{uuid.uuid4().hex}"
        return self._client.submit(cloudpickle.loads, payload, key=key, workers=[worker.address], retries=0)

    def cancel(self, futures: Sequence[Future]) -> None:
        """Cancel tasks that have not begun; running ones end, and their results are dropped."""
        if futures and self._client.status == "running":
            self._client.cancel(list(futures))

    def look(self) -> None:
        """Update the list of workers; ClusterError if the scheduler is gone."""
        present = self._addresses()
        for address in self.workers.keys() - present:
            del self.workers[address]
        for address in sorted(present - self.workers.keys() - self._refused):
            try:
                for worker in greeted(self._client, [address], self._needs, self._devices):
                    if self.kind != MIXED:
                        kind_of([self.kind, worker.device])
                    self.workers[address] = worker
            except (ClusterError, BadDevice) as why:
                self._refused.add(address)
                log.warning("a worker that came later is left out: %s", why)

    def check(self) -> None:
        """Raise ClusterError if the scheduler is gone."""
        if self._client.status != "running":
            raise ClusterError(
                f"scheduler {self.address}: the connection is lost; start it again if it is gone, then run this again: "
                "what is finished is kept"
            )

    def _addresses(self) -> set[str]:
        """Addresses of the workers, asked of the scheduler itself: `Client.scheduler_info` may return a cached summary
        without workers."""
        self.check()
        try:
            return set(self._client.sync(cast(Any, self._client.scheduler).identity, n_workers=-1)["workers"])
        except OSError:
            self.check()
            raise ClusterError(f"scheduler {self.address}: does not answer; run this again when it does") from None


@dataclass(frozen=True)
class _Call(Generic[Task]):
    """A call that runs when it is unpickled."""

    function: Callable[[Task, str], Any]
    task: Task
    device: str
    id: str

    def __reduce__(self) -> tuple[Any, ...]:
        return _work, (self.function, self.task, self.device, self.id)


def _work(function: Callable[[Task, str], Result], task: Task, device: str, id: str) -> tuple[bool, Any] | None:
    """Run a task on a worker; returns None if the task was meant for another worker that is gone."""
    from distributed import get_worker

    if get_worker().id != id:
        return None
    with one_thread():
        return answer(function, task, device)


def checked_reply(said: Any, task: object, address: str) -> tuple[bool, Any] | None:
    """The reply of a worker if it is one that `answer` makes; ClusterError names the worker of another one."""
    if said is None:
        return None
    if not isinstance(said, tuple) or len(said) != 2 or not isinstance(said[0], bool):
        raise _foreign(task, address, f"a {type(said).__name__}")
    if not said[0] and not isinstance(said[1], Exception):
        raise _foreign(task, address, f"a failure that is a {type(said[1]).__name__}")
    return said[0], said[1]


def _foreign(task: object, address: str, got: str) -> ClusterError:
    return ClusterError(
        f"{task}: worker {address}: got {got}, wanted the reply to a task; it runs something else: stop it, then run "
        "this again: what is finished is kept"
    )


@dataclass(eq=False)
class _Assignment(Generic[Task]):
    """A submitted task, its worker, and the workers that were lost on it."""

    task: Task
    lost: list[str] = field(default_factory=list)
    worker: Worker = field(init=False)


class _Dispatch(Generic[Task, Result]):
    """One list of tasks: those submitted, and those to submit again."""

    def __init__(
        self, cluster: Cluster, function: Callable[[Task, str], Result], waiting: Iterator[_Assignment[Task]]
    ) -> None:
        self.cluster, self.function, self.waiting = cluster, function, waiting
        self.sent: dict[Future, _Assignment[Task]] = {}
        self.answers: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self.again: list[_Assignment[Task]] = []
        self.looked = self.staffed = time.monotonic()

    def pairs(self) -> Iterator[tuple[Task, Result]]:
        """Yield (task, result) pairs as they finish."""
        while self._assign() or self.sent or self.again:
            for future in self._ended():
                job = self.sent.pop(future)
                job.worker.load -= 1
                if (said := self._said(future, job)) is None:
                    self._lost(job)
                elif said[0]:
                    yield job.task, said[1]
                else:
                    raise said[1]

    def call_off(self) -> None:
        """Cancel the tasks that have not begun and mark all workers free."""
        for job in self.sent.values():
            job.worker.load -= 1
        self.cluster.cancel(list(self.sent))

    def _assign(self) -> bool:
        """Submit tasks until every worker has DEPTH of them; returns whether more tasks may follow."""
        if not self.cluster.workers and not self.sent and not self.again:  # is there anything to wait for a worker for?
            self.again.extend(islice(self.waiting, 1))
            return bool(self.again)
        for load in range(DEPTH):
            for worker in [worker for worker in self.cluster.workers.values() if worker.load == load]:
                if (job := self.again.pop() if self.again else next(self.waiting, None)) is None:
                    return False
                job.worker, worker.load = worker, load + 1
                future = self.cluster.submit(self.function, job.task, worker)
                self.sent[future] = job
                future.add_done_callback(self.answers.put)
        return True

    def _ended(self) -> list[Future]:
        """Futures that have an answer or whose worker is gone; empty if none arrived within LOOK seconds."""
        ended = []
        with suppress(queue.Empty):
            ended.append(self.answers.get(timeout=LOOK))
        if time.monotonic() - self.looked > LOOK:
            self._look()
            ended += [f for f, e in self.sent.items() if f not in ended and self._is_gone(e.worker)]
        return [future for future in ended if future in self.sent]

    def _look(self) -> None:
        self.cluster.look()
        self.looked = time.monotonic()
        if self.cluster.workers:
            self.staffed = self.looked
        elif self.looked - self.staffed > ALONE:
            raise ClusterError(f"scheduler {self.cluster.address}: no worker is left; start one, then run this again")

    def _is_gone(self, worker: Worker) -> bool:
        return self.cluster.workers.get(worker.address) is not worker

    def _said(self, future: Future, job: _Assignment[Task]) -> tuple[bool, Any] | None:
        """The reply of a worker; None if the worker was lost before it could be fetched."""
        from distributed.scheduler import KilledWorker

        while future.status == "finished":
            try:
                if (said := future.result(timeout=GATHER)) is None:
                    self.cluster.workers.pop(job.worker.address, None)  # it was started again, and is asked again
                return checked_reply(said, job.task, job.worker.address)
            except (TimeoutError, CancelledError):
                self._look()
                if self._is_gone(job.worker):
                    break
            except ClusterError:
                raise
            except Exception as unread:  # noqa: BLE001 - a reply that cannot be read raises anything
                raise _foreign(job.task, job.worker.address, f"{type(unread).__name__}: {unread}") from None
        self.cluster.check()
        if future.status == "error" and not isinstance(fault := future.exception(timeout=GATHER), KilledWorker):
            raise ClusterError(f"{job.task}: worker {job.worker.address}: {type(fault).__name__}: {fault}")
        self.cluster.cancel([future])
        return None

    def _lost(self, job: _Assignment[Task]) -> None:
        """Queue the task again; a second lost worker on the same task raises WorkerCrash. Only the first task of a lost
        worker counts as its cause of death: the tasks behind it had not begun."""
        if not job.worker.is_lost:
            job.worker.is_lost = True
            job.lost.append(job.worker.address)
            log.warning("the worker %s was lost on %s, which is given to another one", job.worker.address, job.task)
        if len(job.lost) > 1:
            raise WorkerCrash(
                f"{job.task}: lost the worker {job.lost[0]} and then {job.lost[1]}, wanted one that lives; "
                "give workers more memory, or leave it out, then run this again: what is finished is kept",
                job.task,
            )
        self.again.append(job)
