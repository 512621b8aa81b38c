"""A cluster of dask.distributed as an engine: a task per worker at a time, and every attempt counted here.

What the scheduler would do with a lost worker is not relied on, for it differs between versions and settings: a task
is bound to the worker it was given to, and that worker is looked for while the answer is awaited. So answers come
through done-callbacks: `distributed.as_completed`, which is made of the same, cannot be left to look.
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
from engine.hands import ClusterError, Hand, Need, greeted
from engine.protocol import answer
from engine.threads import one_thread

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
    """The workers of one scheduler that have what the driver has; those that come later are used as well."""

    def __init__(
        self, client: Client, address: str, needs: Sequence[Need], devices: str = "auto", mix: bool = False
    ) -> None:
        self.address, self._client = address, client
        self._needs, self._devices, self._refused = tuple(needs), devices, set[str]()
        self.hands = {hand.address: hand for hand in greeted(client, self._addresses(), needs, devices)}
        if not self.hands:
            todo = "start one with dask worker ADDRESS --nthreads 1"
            raise ClusterError(f"scheduler {self.address}: has no worker, wanted at least one; {todo}")
        self.kind = kind_of([hand.device for hand in self.hands.values()], mix)

    @classmethod
    @contextmanager
    def open(cls, scheduler: str, needs: Sequence[Need], devices: str = "auto", mix: bool = False) -> Iterator[Cluster]:
        """The cluster of the scheduler at an address, or of the one that has written a file. ClusterError names the
        first worker that lacks something; BadDevice if workers of two kinds are not to be mixed."""
        address = address_of(scheduler)
        with connected(address) as client:
            yield cls(client, address, needs, devices, mix)

    def free_memory(self) -> int | None:
        """Bytes that any worker could take when it was asked what it is."""
        return min((hand.free for hand in self.hands.values() if hand.free is not None), default=None)

    def run(self, function: Callable[[Task, str], Result], tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """The pairs (task, result) as they finish; what is in progress when nobody asks for more is called off."""
        trip = _Round(self, function, map(_Errand[Task], tasks))
        try:
            yield from trip.pairs()
        finally:
            trip.call_off()

    def submit(self, function: Callable[[Task, str], Result], task: Task, hand: Hand) -> Future:
        """The task, given to one worker. It goes as bytes, which are the answer where they are read: the scheduler,
        which reads every task as well, needs neither this project nor torch."""
        import cloudpickle

        parcel = cloudpickle.dumps(_Parcel(function, task, hand.device, hand.id))
        key = f"zcp-{task}-{uuid.uuid4().hex}"
        return self._client.submit(cloudpickle.loads, parcel, key=key, workers=[hand.address], retries=0)

    def cancel(self, futures: Sequence[Future]) -> None:
        """Call off what has not begun; what has begun ends, and nobody asks for it."""
        if futures and self._client.status == "running":
            self._client.cancel(list(futures))

    def look(self) -> None:
        """See which workers left and which came; ClusterError if the scheduler is gone."""
        present = self._addresses()
        for address in self.hands.keys() - present:
            del self.hands[address]
        for address in sorted(present - self.hands.keys() - self._refused):
            try:
                for hand in greeted(self._client, [address], self._needs, self._devices):
                    if self.kind != MIXED:
                        kind_of([self.kind, hand.device])
                    self.hands[address] = hand
            except (ClusterError, BadDevice) as why:
                self._refused.add(address)
                log.warning("a worker that came later is left out: %s", why)

    def check(self) -> None:
        """ClusterError if the scheduler is gone."""
        if self._client.status != "running":
            raise ClusterError(
                f"scheduler {self.address}: the connection is lost; start it again if it is gone, then run this again: "
                "what is finished is kept"
            )

    def _addresses(self) -> set[str]:
        """Of the workers. Asked of the scheduler itself: what `Client.scheduler_info` returns may be a summary without
        any, which the client fetches for itself now and then."""
        self.check()
        try:
            return set(self._client.sync(cast(Any, self._client.scheduler).identity, n_workers=-1)["workers"])
        except OSError:
            self.check()
            raise ClusterError(f"scheduler {self.address}: does not answer; run this again when it does") from None


@dataclass(frozen=True)
class _Parcel(Generic[Task]):
    """A call that is made where it is unpacked."""

    function: Callable[[Task, str], Any]
    task: Task
    device: str
    id: str

    def __reduce__(self) -> tuple[Any, ...]:
        return _work, (self.function, self.task, self.device, self.id)


def _work(function: Callable[[Task, str], Result], task: Task, device: str, id: str) -> tuple[bool, Any] | None:
    """What a worker does: the answer to a task; None if it was given to another worker, which is gone."""
    from distributed import get_worker

    if get_worker().id != id:
        return None
    with one_thread():
        return answer(function, task, device)


@dataclass(eq=False)
class _Errand(Generic[Task]):
    """A task on its way: whom it was given to, and the workers that were lost on it."""

    task: Task
    lost: list[str] = field(default_factory=list)
    hand: Hand = field(init=False)


class _Round(Generic[Task, Result]):
    """One list of tasks: which are on their way, which have to be given out again."""

    def __init__(
        self, cluster: Cluster, function: Callable[[Task, str], Result], waiting: Iterator[_Errand[Task]]
    ) -> None:
        self.cluster, self.function, self.waiting = cluster, function, waiting
        self.sent: dict[Future, _Errand[Task]] = {}
        self.answers: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self.again: list[_Errand[Task]] = []
        self.looked = self.staffed = time.monotonic()

    def pairs(self) -> Iterator[tuple[Task, Result]]:
        """(task, result) as they finish."""
        while self._hand_out() or self.sent or self.again:
            for future in self._ended():
                errand = self.sent.pop(future)
                errand.hand.load -= 1
                if (said := self._said(future, errand)) is None:
                    self._lost(errand)
                elif said[0]:
                    yield errand.task, said[1]
                else:
                    raise said[1]

    def call_off(self) -> None:
        """Leave no task that has not begun, and all workers free."""
        for errand in self.sent.values():
            errand.hand.load -= 1
        self.cluster.cancel(list(self.sent))

    def _hand_out(self) -> bool:
        """Give every worker a task, then the next one; whether there may be more of them."""
        if not self.cluster.hands and not self.sent and not self.again:  # is there anything to wait for a worker for?
            self.again.extend(islice(self.waiting, 1))
            return bool(self.again)
        for load in range(DEPTH):
            for hand in [hand for hand in self.cluster.hands.values() if hand.load == load]:
                if (errand := self.again.pop() if self.again else next(self.waiting, None)) is None:
                    return False
                errand.hand, hand.load = hand, load + 1
                future = self.cluster.submit(self.function, errand.task, hand)
                self.sent[future] = errand
                future.add_done_callback(self.answers.put)
        return True

    def _ended(self) -> list[Future]:
        """The tasks whose answer is there, or whose worker is gone; none after a while without any."""
        ended = []
        with suppress(queue.Empty):
            ended.append(self.answers.get(timeout=LOOK))
        if time.monotonic() - self.looked > LOOK:
            self._look()
            ended += [f for f, e in self.sent.items() if f not in ended and self._is_gone(e.hand)]
        return [future for future in ended if future in self.sent]

    def _look(self) -> None:
        self.cluster.look()
        self.looked = time.monotonic()
        if self.cluster.hands:
            self.staffed = self.looked
        elif self.looked - self.staffed > ALONE:
            raise ClusterError(f"scheduler {self.cluster.address}: no worker is left; start one, then run this again")

    def _is_gone(self, hand: Hand) -> bool:
        return self.cluster.hands.get(hand.address) is not hand

    def _said(self, future: Future, errand: _Errand[Task]) -> tuple[bool, Any] | None:
        """The answer; None if the worker was lost before it could be fetched."""
        from distributed.scheduler import KilledWorker

        while future.status == "finished":
            try:
                if (said := future.result(timeout=GATHER)) is None:
                    self.cluster.hands.pop(errand.hand.address, None)  # it was started again, and is asked again
                return said
            except (TimeoutError, CancelledError):
                self._look()
                if self._is_gone(errand.hand):
                    break
        self.cluster.check()
        if future.status == "error" and not isinstance(fault := future.exception(timeout=GATHER), KilledWorker):
            raise ClusterError(f"{errand.task}: worker {errand.hand.address}: {type(fault).__name__}: {fault}")
        self.cluster.cancel([future])
        return None

    def _lost(self, errand: _Errand[Task]) -> None:
        """Have it done again: once, if it was the first that this worker had; those behind it were not begun."""
        if not errand.hand.is_mourned:
            errand.hand.is_mourned = True
            errand.lost.append(errand.hand.address)
            log.warning("the worker %s was lost on %s, which is given to another one", errand.hand.address, errand.task)
        if len(errand.lost) > 1:
            raise WorkerCrash(
                f"{errand.task}: lost the worker {errand.lost[0]} and then {errand.lost[1]}, wanted one that lives; "
                "give workers more memory, or leave it out, then run this again: what is finished is kept"
            )
        self.again.append(errand)
