"""Golden searches: what a seed draws, varies and keeps, for each algorithm, on a landscape without networks.

They pin the order of the draws, which no property does; a change that is meant changes them once. Those of lpzero,
random and nsga2 are of the commit 42df40a, before there were sweeps: LPZero's search is still the same. How often a
formula was refused counts, not by which of the rules that it breaks.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random

import pytest
from deap import base
from landscape import search

from gp.config import PRESETS, SearchConfig
from gp.evolution.individual import Individual
from gp.evolution.primitive_set import primitive_set
from gp.evolution.variation import MUTATIONS, Exhausted, Guard, crossover, generate, make_toolbox
from primitives.grammar import parse
from primitives.inputs import PAPER

CONFIG = SearchConfig(**{**PRESETS["lpzero"], "n_unary": 1, "inputs": PAPER})
PSET = primitive_set(CONFIG)


def digest(data: object) -> str:
    return hashlib.sha256(json.dumps(data).encode()).hexdigest()[:16]


GOLDEN = {
    ("lpzero", True): "857275e08e09eb86",
    ("random", True): "5e3a82ea6c56f9f6",
    ("nsga2", True): "86cce18e84bcce48",
    ("lpzero", False): "bd048f9db24c8a0e",
    ("memetic", True): "327ccb740eaaa513",
}


@pytest.mark.parametrize(("algorithm", "pps"), GOLDEN)
def test_a_seed_evaluates_the_same_formulas_in_the_same_order(algorithm: str, pps: bool) -> None:
    state = search(algorithm=algorithm, pps=pps, inputs=list(PAPER), seed=3).state
    kept = [(e.proxy.text, e.fitness, e.sign, e.found_at) for e in state.hall.champions]
    assert GOLDEN[algorithm, pps] == digest([list(state.seen), kept, state.rejections.total()])


def test_a_seed_grows_the_same_trees() -> None:
    rng = random.Random(11)
    assert [str(generate(rng, PSET).to_proxy()) for _ in range(3)] == [
        "product( mean[ to_mean(H) ], mean[ normalized_sum(G) ] )", "product( mean[ sigmoid(G) ], first[ abslog(W) ] )", "sum( falling[ to_std(J) ], mean[ pow2(A) ] )",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "wanted"), [("regrow", "b3b2bd1589aa3d1d"), ("replace", "2e2a740739945ee3"), ("mate", "8a1a7ca3bd18f10c")]
)
def test_a_seed_varies_a_parent_in_the_same_way(name: str, wanted: str) -> None:
    texts = ("sum[ product( abs(W), exp(G) ) ]", "difference( mean[ log(A) ], last[ sqrt(J) ] )")
    first, second = (Individual.from_proxy(parse(text), PSET) for text in texts)
    rng = random.Random(5)
    made = [
        crossover(rng, first, second, PRESETS["lpzero"]["mutations"]) if name == "mate" else MUTATIONS[name](rng, first)
        for _ in range(40)
    ]
    assert digest([str(child.to_proxy()) for child in made]) == wanted


def test_a_foreign_operator_gives_its_first_individual() -> None:
    own = base.Toolbox()
    own.register("mate", lambda rng, first, second: (second, first))
    first, second = (Individual.from_proxy(parse(f"sum[ sum( abs({x}), exp(G) ) ]"), PSET) for x in "WG")
    assert str(make_toolbox(PSET, None, own).mate(random.Random(0), first, second)) == str(second)


def test_exhaustion_is_said_after_20_times_the_tries_with_the_three_commonest_rules() -> None:
    names = itertools.cycle(["a", "a", "a", "a", "b", "b", "b", "c", "c", "d"])
    toolbox = make_toolbox(PSET, Guard(PSET, 3, lambda proxies: [next(names) for _ in proxies]))
    with pytest.raises(Exhausted, match=r"no new valid formula in 60 tries \(rejected: [^,]+, [^,]+, [^,]+\); "):
        toolbox.individual(random.Random(0))
