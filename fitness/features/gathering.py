"""Gathering: visits handed out one by one, and what comes back written to the bank by this process alone.

A network is claimed when a worker is free for it and until its results are on the disk, so that processes which share
a bank share the work. What another process is at is left for later, then waited for, with nothing claimed meanwhile:
two processes that wait for each other are impossible.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from engine.crew import WorkerCrash
from fitness.features.bank import FeatureBank
from fitness.features.takers import Taker
from fitness.features.visit import Failure, Visit, tried, visit
from models.architecture import Architecture
from models.spaces.checkpoint import Checkpoint
from models.tokens import TokenBatch
from storage.errors import WorkStopped

__all__ = ["BadAnswer", "Gathering", "Progress", "Refused"]

MAX_REASON = 1000  # characters

Progress = Callable[[int, int], None]
"""Called with (networks done, networks in all)."""

Run = Callable[[Callable[[Visit, str], Any], Iterable[Visit]], Iterator[tuple[Visit, Any]]]
"""The `run` of an engine."""

Refused = dict[Architecture, str]
"""Why networks could not be visited. Who gives one to fill wants the others visited all the same."""


class BadAnswer(WorkStopped, RuntimeError):
    """An invalid answer of a worker; the message names the network."""


class Gathering:
    """Requests of the `takers`. Networks have the `weights` of a checkpoint if there is one; those with the digests
    `streamed` are visited block by block. A network that cannot be visited is an error, unless there are those
    `refused` to add it to."""

    def __init__(
        self,
        bank: FeatureBank,
        batch: TokenBatch,
        takers: Sequence[Taker],
        total: int,
        progress: Progress | None,
        weights: Checkpoint | None = None,
        streamed: Collection[str] = (),
        refused: Refused | None = None,
    ) -> None:
        self.bank, self.batch, self.takers = bank, batch, takers
        self.total, self.made, self.done = total, 0, 0
        self.weights, self.streamed, self.refused = weights, streamed, refused
        self._progress, self._told, self._asked = progress, 0, list[KeyboardInterrupt]()
        self._claims: dict[str, ExitStack] = {}
        self._later: list[Architecture] = []
        self._ended = set[str]()

    def gather(self, architectures: Sequence[Architecture], run: Run) -> None:
        """Visit them all. Where `progress` asks to stop, what is in progress is finished and kept before that."""
        while architectures:
            self._round(architectures, run)
            if self._asked:
                raise self._asked[0]
            if architectures := self._later:
                with self.bank.claim(architectures[0], wait=True):
                    self._later = []

    def _round(self, architectures: Sequence[Architecture], run: Run) -> None:
        """Visit those that no other process is at; those that a lost worker leaves are for another round."""
        try:
            for task, taken in run(visit if self.refused is None else tried, self._visits(architectures)):
                self._keep(task, taken)
                self._claims.pop(task.architecture.digest).close()
                self.made += 1
                self._end(task.architecture)
                self._tell()
            self._tell()
        except WorkerCrash as crash:
            self._lost(crash)
            self._later = [architecture for architecture in architectures if architecture.digest not in self._ended]
        finally:
            for claim in self._claims.values():
                claim.close()

    def _end(self, architecture: Architecture) -> None:
        """Mark this network as done."""
        self._ended.add(architecture.digest)
        self.done += 1

    def _lost(self, crash: WorkerCrash) -> None:
        """Refuse the network whose visit ended its worker twice, such as one for which the memory was too short."""
        if self.refused is None or not isinstance(crash.task, Visit):
            raise crash
        self.refused[crash.task.architecture] = str(crash)[:MAX_REASON]
        self._end(crash.task.architecture)

    def _keep(self, task: Visit, taken: Any) -> None:
        """Write an answer to the bank, once it is known to be one: a worker of a cluster may send anything."""
        if isinstance(taken, Failure) and self.refused is not None:
            self.refused[task.architecture] = str(taken.reason)[:MAX_REASON]
            return
        whole = isinstance(taken, list) and len(taken) == len(task.takers)
        if not whole or not all(taker.fits(part) for taker, part in zip(task.takers, taken, strict=True)):
            raise BadAnswer(
                f"{task.architecture.id}: got an answer of another shape from a worker, wanted what its visit takes; "
                "stop the workers that run something else, then run this again: what is finished is kept"
            )
        for taker, part in zip(task.takers, taken, strict=True):
            taker.keep(self.bank, task.architecture, part)

    def _visits(self, architectures: Sequence[Architecture]) -> Iterator[Visit]:
        """A visit whenever a worker is free, claimed."""
        key = self.bank.key
        for architecture in architectures:
            if self._asked:
                return
            with ExitStack() as claim:
                if not claim.enter_context(self.bank.claim(architecture)):
                    self._later.append(architecture)
                elif lacking := self._lacking(architecture):
                    self._claims[architecture.digest] = claim.pop_all()
                    made = architecture, self.batch, key.init_seed, key.build
                    yield Visit(*made, lacking, self.weights, architecture.digest in self.streamed)
                else:  # another process has been there
                    self._end(architecture)

    def _lacking(self, architecture: Architecture) -> list[Taker]:
        found = [taker.lacking(self.bank, architecture) for taker in self.takers]
        return [taker for taker in found if taker is not None]

    def _tell(self) -> None:
        """Say how many are done; a wish to stop is kept until what is in progress is finished."""
        try:
            while self._progress and self._told < self.done and not self._asked:
                self._told += 1
                self._progress(self._told, self.total)
        except KeyboardInterrupt as asked:
            self._asked.append(asked)
