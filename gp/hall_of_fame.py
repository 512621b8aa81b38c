"""HallOfFame: the best formulas of a search, no two of which are the same or rank the networks alike."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

from fitness.evaluation import Evaluation
from primitives.proxy import Proxy

__all__ = ["Champion", "HallOfFame"]


@dataclass(frozen=True)
class Champion:
    """A formula (canonical), the sign that was fixed on the search split, its fitness there, and the number
    of evaluations after which it was found. `ranking` is the sha256 of the ranking it gives."""

    proxy: Proxy
    sign: int
    fitness: float
    found_at: int
    ranking: str

    @property
    def order(self) -> tuple[float, int, str]:
        """Best first: fitness, then the simpler formula, then the text."""
        return -self.fitness, self.proxy.complexity, self.proxy.text


class HallOfFame:
    """At most `size` champions, best first. What it holds does not depend on the order of the offers."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._by_ranking: dict[str, Champion] = {}
        self._sorted: tuple[Champion, ...] = ()

    @property
    def champions(self) -> tuple[Champion, ...]:
        """Best first."""
        return self._sorted

    @property
    def best(self) -> Champion | None:
        """The champion, once there is one."""
        return self._sorted[0] if self._sorted else None

    def offer(self, evaluation: Evaluation, found_at: int) -> bool:
        """Keep the evaluation if it is among the best; an invalid one never is. Says whether it was kept."""
        if evaluation.invalid is not None or not math.isfinite(evaluation.fitness):
            return False
        if len(self._sorted) == self.size and evaluation.fitness < self._sorted[-1].fitness:
            return False
        ranking = hashlib.sha256(evaluation.ranking).hexdigest()
        proxy = evaluation.proxy.canonical()
        return self.keep(Champion(proxy, evaluation.sign, evaluation.fitness, found_at, ranking))

    def keep(self, new: Champion) -> bool:
        """Keep a champion if it is among the best; of two with one text or one ranking the better stays."""
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
