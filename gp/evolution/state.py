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
from gp.lineage import Birth
from primitives.grammar import read_proxy
from storage.datum import Datum
from storage.errors import WrongInput

__all__ = ["BadState", "SearchState"]

SCHEMA = 2
_MANY = 200_000_000


class BadState(WrongInput):
    """Data that is not a search state of this configuration; the message names the bad part."""


@dataclass
class SearchState:
    """`iteration` counts offspring, `evaluations` the initial population and what sweeps compared too; `seen` holds the
    canonical texts of all that was evaluated, in that order, and their births; `swept` names the sweeps."""

    rng: random.Random
    hall: HallOfFame
    population: list[Individual] = field(default_factory=list)
    iteration: int = 0
    evaluations: int = 0
    rejections: Counter[str] = field(default_factory=Counter)
    seen: dict[str, Birth | None] = field(default_factory=dict)
    swept: dict[str, None] = field(default_factory=dict)

    @classmethod
    def start(cls, config: SearchConfig) -> SearchState:
        """State before the first evaluation."""
        # Seeding by text goes through sha512, so it is the same in every process.
        return cls(random.Random(f"search:{config.seed}"), HallOfFame(config.finalists))

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
            "births": _births_to_list(self.seen),
            "swept": list(self.swept),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], config: SearchConfig) -> SearchState:
        """The state that `to_dict` wrote; BadState says what is wrong with anything else."""
        state, whole = cls.start(config), Datum("search state", data, BadState)
        whole.only(
            "schema", "iteration", "evaluations", "population", "rng", "rejections", "hall", "seen", "births", "swept"
        )
        whole["schema"].integer(SCHEMA, SCHEMA)
        _restore_rng(state.rng, whole["rng"])
        pset = primitive_set(config)
        state.population = [_individual(item, pset) for item in whole["population"].items(config.population)]
        state.iteration = whole["iteration"].integer()
        state.evaluations = whole["evaluations"].integer()
        if len(state.population) < 2 and state.evaluations:
            raise whole["population"].refuse("at least two formulas")
        state.rejections = Counter(whole["rejections"].counts())
        state.seen = _seen(whole)
        state.swept = dict.fromkeys(item.text(10_000) for item in whole["swept"].items(_MANY))
        for item in whole["hall"].items(config.finalists):
            if not state.hall.keep(_champion(item)):
                raise item.refuse("a formula and a ranking that no better entry has")
        return state


def _individual_to_dict(individual: Individual) -> dict[str, Any]:
    fitness = individual.fitness.values[0]
    plain = {"text": str(individual), "fitness": fitness if math.isfinite(fitness) else None}
    return plain | ({"ranking": individual.ranking} if individual.ranking else {})


def _births_to_list(seen: Mapping[str, Birth | None]) -> list[list[Any]]:
    """An operator and the places of the parents for each formula; no operator where it is not known."""
    place = {text: at for at, text in enumerate(seen)}
    return [[b.operator, *(place[p] for p in b.parents if p in place)] if b else [""] for b in seen.values()]


def _seen(whole: Datum) -> dict[str, Birth | None]:
    """Evaluated formulas with the births that `_births_to_list` wrote."""
    texts = [item.text(10_000) for item in whole["seen"].items(_MANY)]
    births = list(whole["births"].items(_MANY))
    if len(births) != len(texts):
        raise whole["births"].refuse(f"{len(texts)} births, one for each formula seen")
    seen: dict[str, Birth | None] = {}
    for at, (text, item) in enumerate(zip(texts, births, strict=True)):
        parts = list(item.items(3))
        if not parts:
            raise item.refuse("an operator and the places of the parents")
        parents = tuple(texts[part.integer(0, at - 1)] for part in parts[1:])
        seen[text] = Birth(parts[0].text(), parents) if parts[0].value else None
    return seen


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
    ranking = _ranking(item["ranking"])
    proxy, sign, fitness = read_proxy(item["text"]), item["sign"].sign(), item["fitness"].number()
    return Evaluation(proxy, fitness, sign, ranking, found_at=item["found_at"].integer())


def _individual(item: Datum, pset: ProxySet) -> Individual:
    item.only("text", "fitness", "ranking")
    try:
        individual = Individual.from_proxy(read_proxy(item["text"]), pset)
    except Misfit as fault:
        raise BadState(f"{item.where}: {fault}") from None
    fitness = float("-inf") if item["fitness"].value is None else item["fitness"].number()
    individual.fitness.values = fitness, individual.canonical.complexity
    individual.ranking = _ranking(item["ranking"]) if "ranking" in item.mapping() else ""
    return individual


def _ranking(item: Datum) -> str:
    if not re.fullmatch("[0-9a-f]{64}", ranking := item.text()):
        raise item.refuse("a sha256 in hexadecimal")
    return ranking


def _restore_rng(rng: random.Random, item: Datum) -> None:
    parts = list(item.items(3))
    if len(parts) != 3 or parts[2].value is not None:
        raise item.refuse("the version, the words and null")
    version = parts[0].integer(3, 3)
    words = tuple(word.integer(0, 2**32 - 1) for word in parts[1].items(625))
    if len(words) != 625 or words[-1] > 624:
        raise parts[1].refuse("624 words and a position up to 624")
    rng.setstate((version, words, None))
