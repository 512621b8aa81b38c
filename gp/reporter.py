"""Reporter: callbacks through which long work tells of its progress and learns that it should stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fitness.evaluation import Evaluation
    from fitness.features.workshop import Progress
    from gp.case import Case
    from gp.evolution.evolve import Step

__all__ = ["Reporter"]


@dataclass
class Reporter:
    """Callbacks of a search for its progress; every field is optional."""

    stage: Callable[[str], None] = field(default=lambda text: None)
    networks: Progress | None = None
    iteration: Callable[[Step], None] | None = None
    should_stop: Callable[[], bool] = field(default=lambda: False)
    early: Callable[[Sequence[Evaluation]], None] = field(default=lambda champions: None)  # by sketch scores

    def sound(self, case: Case, on_invalid: str, part: Sequence[int] | None = None) -> Case:
        """The case without networks that overflow, after a word on what was dropped."""
        left, said = case.sound(on_invalid, self.networks, part)
        if said:
            self.stage(said)
        return left
