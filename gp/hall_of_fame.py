"""HallOfFame: the best formulas of a search, no two of which are the same or rank the networks alike."""

from __future__ import annotations

import math
from dataclasses import replace

from fitness.evaluation import Evaluation

__all__ = ["HallOfFame"]


class HallOfFame:
    """At most `size` evaluations, best first. What it holds does not depend on the order of the offers."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._by_ranking: dict[str, Evaluation] = {}
        self._sorted: tuple[Evaluation, ...] = ()

    @property
    def champions(self) -> tuple[Evaluation, ...]:
        """Best first."""
        return self._sorted

    @property
    def best(self) -> Evaluation | None:
        """The champion, once there is one."""
        return self._sorted[0] if self._sorted else None

    def led_by(self, champion: Evaluation) -> HallOfFame:
        """This hall of fame with one of its formulas first."""
        led = HallOfFame(self.size)
        led._by_ranking = dict(self._by_ranking)
        led._sorted = (champion, *(other for other in self._sorted if other is not champion))
        return led

    def offer(self, evaluation: Evaluation, found_at: int) -> bool:
        """Keep the evaluation if it is among the best; an invalid one never is. Says whether it was kept."""
        if evaluation.invalid is not None or not math.isfinite(evaluation.fitness):
            return False
        if len(self._sorted) == self.size and evaluation.fitness < self._sorted[-1].fitness:
            return False
        return self.keep(replace(evaluation, proxy=evaluation.proxy.canonical(), found_at=found_at))

    def keep(self, new: Evaluation) -> bool:
        """Keep a valid, canonical formula if it is among the best; of two with one text or one ranking the better
        stays."""
        rivals = [c for c in self._sorted if c.ranking == new.ranking or c.proxy == new.proxy]
        if any(rival.order <= new.order for rival in rivals):
            return False
        for rival in rivals:
            del self._by_ranking[rival.ranking]
        self._by_ranking[new.ranking] = new
        kept = sorted(self._by_ranking.values(), key=lambda champion: champion.order)[: self.size]
        self._by_ranking = {champion.ranking: champion for champion in kept}
        self._sorted = tuple(kept)
        return new.ranking in self._by_ranking
