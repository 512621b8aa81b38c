"""Reporter: callbacks through which a search tells of its progress and learns that it should stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fitness.evaluation import Evaluation
    from fitness.features.workshop import Progress
    from gp.case import Case
    from gp.evolution.evolve import Step, Stop

__all__ = ["Reporter"]


@dataclass
class Reporter:
    """Callbacks of a search for its progress; every field is optional.

    `iteration` is called with a Step (iteration, evaluations, best_fitness, best_text, rejections, statistics of the
    population) after the initial population and after each step; a true answer ends the search, whose hall of fame
    then gets exact scores as at the end of all iterations. `should_stop` interrupts it instead: sketch scores remain.
    `stage` is told what begins, `networks` how many of how many networks are visited, `early` the formulas that lead
    by sketch scores.
    """

    stage: Callable[[str], None] = field(default=lambda text: None)
    networks: Progress | None = None
    iteration: Callable[[Step], Stop | bool | None] | None = None
    should_stop: Callable[[], bool] = field(default=lambda: False)
    early: Callable[[Sequence[Evaluation]], None] = field(default=lambda champions: None)  # by sketch scores

    def told(self, step: Step) -> Stop | None:
        """Tell of a step; returns why the search should stop, if a callback says so."""
        from gp.evolution.evolve import Stop

        answer = self.iteration(step) if self.iteration else None
        if self.should_stop():
            return Stop.ASKED
        return answer if isinstance(answer, Stop) else Stop.CALLBACK if answer else None

    def sound(self, case: Case, on_invalid: str, part: Sequence[int] | None = None) -> Case:
        """The case without networks that overflow, after a word on what was dropped."""
        left, said = case.sound(on_invalid, self.networks, part)
        if said:
            self.stage(said)
        return left
