"""Limits: when a search stops before its iterations are done. They are no part of what a run is: a stopped run
continues with `--resume`, with other limits or with none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gp.config import BadConfig
from gp.evolution.evolve import Step, Stop

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """`seconds` since this object was made, iterations without a better champion, a fitness that is enough.

    The last two depend on nothing but the state of the search, so they stop a resumed run where they would have
    stopped an uninterrupted one.
    """

    seconds: float | None = None
    patience: int | None = None
    target: float | None = None
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    begun: float = field(default=0.0, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.seconds is not None and not 0 < self.seconds < 1e9:
            raise BadConfig("time_budget", self.seconds, "more than 0 seconds")
        if self.patience is not None and self.patience < 1:
            raise BadConfig("patience", self.patience, "at least 1 iteration")
        if self.target is not None and not 0 <= self.target <= 1:
            raise BadConfig("target", self.target, "a correlation from 0 to 1")
        object.__setattr__(self, "begun", self.clock())

    def reached(self, step: Step) -> Stop | None:
        """The first limit that the search has reached."""
        if self.target is not None and (step.best_fitness or 0.0) >= self.target:
            return Stop.TARGET
        if self.patience is not None and idle_iterations(step) >= self.patience:
            return Stop.PATIENCE
        if self.seconds is not None and self.clock() - self.begun >= self.seconds:
            return Stop.TIME
        return None


def idle_iterations(step: Step) -> int:
    """Iterations since the champion was found; the initial population counts as one moment."""
    if step.best_found_at is None:
        return step.iteration
    return min(step.iteration, step.evaluations - step.best_found_at)
