"""SearchState: all that a search is between two steps, and its exact form as plain data.

A formula is stored as its text, which is its identity: the same text gives the same tree. A fitness is stored
as JSON's shortest exact decimal, that of an invalid formula as null. A search that continues from `to_dict`
through JSON makes the same draws and ends with the same bytes as one that was never interrupted.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fitness.evaluation import Evaluation
from gp.config import SearchConfig
from gp.evolution.individual import Individual, Misfit
from gp.evolution.primitive_set import ProxySet, primitive_set
from gp.hall_of_fame import HallOfFame
from primitives.grammar import read_proxy
from storage.datum import Datum
from storage.errors import ZcpError

__all__ = ["BadState", "SearchState"]

SCHEMA = 1
_MANY = 200_000_000


class BadState(ZcpError, ValueError):
    """Data that is not a search state of this configuration; the message names the bad part."""


@dataclass
class SearchState:
    """`iteration` counts offspring, `evaluations` the initial population too; `seen` holds the canonical
    texts of all that was evaluated, in that order."""

    rng: random.Random
    hall: HallOfFame
    population: list[Individual] = field(default_factory=list)
    iteration: int = 0
    evaluations: int = 0
    rejections: Counter[str] = field(default_factory=Counter)
    seen: dict[str, None] = field(default_factory=dict)

    @classmethod
    def start(cls, config: SearchConfig) -> SearchState:
        """Nothing evaluated yet."""
        # Seeding by text goes through sha512, so it is the same in every process.
        return cls(random.Random(f"search:{config.seed}"), HallOfFame(config.hall_size))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` restores the state exactly."""
        version, words, spare = self.rng.getstate()
        return {
            "schema": SCHEMA,
            "iteration": self.iteration,
            "evaluations": self.evaluations,
            "population": [_individual_to_dict(individual) for individual in self.population],
            "rng": [version, list(words), spare],
            "rejections": dict(sorted(self.rejections.items())),
            "hall": [_champion_to_dict(champion) for champion in self.hall.champions],
            "seen": list(self.seen),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], config: SearchConfig) -> SearchState:
        """The state that `to_dict` wrote; BadState says what is wrong with anything else."""
        state, whole = cls.start(config), Datum("search state", data, BadState)
        whole.only("schema", "iteration", "evaluations", "population", "rng", "rejections", "hall", "seen")
        whole["schema"].integer(SCHEMA, SCHEMA)
        _restore_rng(state.rng, whole["rng"])
        pset = primitive_set(config)
        state.population = [_individual(item, pset) for item in whole["population"].items(config.population)]
        state.iteration = whole["iteration"].integer()
        state.evaluations = whole["evaluations"].integer()
        if len(state.population) < 2 and state.evaluations:
            raise whole["population"].refuse("at least two formulas")
        state.rejections = Counter(whole["rejections"].counts())
        state.seen = dict.fromkeys(item.text(10_000) for item in whole["seen"].items(_MANY))
        for item in whole["hall"].items(config.hall_size):
            if not state.hall.keep(_champion(item)):
                raise item.refuse("a formula and a ranking that no better entry has")
        return state


def _individual_to_dict(individual: Individual) -> dict[str, Any]:
    fitness = individual.fitness.values[0]
    return {"text": str(individual), "fitness": fitness if math.isfinite(fitness) else None}


def _champion_to_dict(champion: Evaluation) -> dict[str, Any]:
    return {
        "text": champion.proxy.text,
        "sign": champion.sign,
        "fitness": champion.fitness,
        "found_at": champion.found_at,
        "ranking": champion.ranking,
    }


def _champion(item: Datum) -> Evaluation:
    item.only("text", "sign", "fitness", "found_at", "ranking")
    ranking = item["ranking"].text()
    if not re.fullmatch("[0-9a-f]{64}", ranking):
        raise item["ranking"].refuse("a sha256 in hexadecimal")
    proxy, sign, fitness = read_proxy(item["text"]), item["sign"].sign(), item["fitness"].number()
    return Evaluation(proxy, fitness, sign, ranking, found_at=item["found_at"].integer())


def _individual(item: Datum, pset: ProxySet) -> Individual:
    item.only("text", "fitness")
    try:
        individual = Individual.from_proxy(read_proxy(item["text"]), pset)
    except Misfit as fault:
        raise BadState(f"{item.where}: {fault}") from None
    fitness = float("-inf") if item["fitness"].value is None else item["fitness"].number()
    individual.fitness.values = fitness, individual.canonical.complexity
    return individual


def _restore_rng(rng: random.Random, item: Datum) -> None:
    parts = list(item.items(3))
    if len(parts) != 3 or parts[2].value is not None:
        raise item.refuse("the version, the words and null")
    version = parts[0].integer(3, 3)
    words = tuple(word.integer(0, 2**32 - 1) for word in parts[1].items(625))
    if len(words) != 625 or words[-1] > 624:
        raise parts[1].refuse("624 words and a position up to 624")
    rng.setstate((version, words, None))
