"""Order of candidates: places of equal scores, places among others, and the mean place under a committee."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import tiny_config
from test_rank import TEXTS

from fitness import candidates as candidates_module
from fitness.candidates import Candidate, CommitteeScorer, FormulaScorer, in_order, score_candidates
from fitness.costs import Costs
from fitness.evaluation import Evaluation
from fitness.positions import place_among
from models.spaces import SPACES
from primitives.grammar import parse


def test_places_are_shared_by_equal_scores_and_none_is_last() -> None:
    config = tiny_config(random.Random(0))
    rows = [("f", 5, 1.0), ("e", 3, 2.0), ("d", 3, 2.0), ("c", 4, 2.0), ("b", 1, None), ("a", 1, None)]
    candidates = [
        Candidate(SPACES["gpt2"].architecture(name, config), Costs(params, 1, 1, 1, 1), score)
        for name, params, score in rows
    ]
    found = [(place, candidate.architecture.id) for place, candidate in in_order(candidates)]
    assert found == [(1, "d"), (1, "e"), (1, "c"), (4, "f"), (None, "a"), (None, "b")]


def test_a_place_among_others_grows_with_the_value_everywhere() -> None:
    seen = np.array([1.0, 2.0, 2.0, 4.0])
    asked = np.array([-5.0, 1.0, 1.5, 2.0, 3.0, 4.0, 4.5, 100.0])
    places = place_among(seen, asked)
    assert (np.diff(places) > 0).all()
    assert np.allclose(places[[1, 3, 5]], [0.125, 0.5, 0.875]) and math.isclose(places[4], 0.6875)
    assert np.allclose(place_among(np.array([3.0, 3.0]), np.array([2.0, 3.0, 4.0])), [-0.5, 0.5, 1.5])
    assert np.isnan(place_among(seen, np.array([np.nan]))).all()


def test_a_committee_is_the_mean_place_of_its_signed_formulas() -> None:
    formulas = tuple(Evaluation(parse(text), 0.9, sign) for text, sign in zip(TEXTS, (1, -1, 1), strict=True))
    reference = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [np.nan, 5.0, 5.0]])
    scorer = CommitteeScorer(formulas, reference)
    exact = np.array([[2.0, 3.0, 1.0], [2.0, 1.0, np.nan], [5.0, 5.0, 5.0]])
    found = scorer.scores([], exact)
    assert np.allclose(found[:2], [0.5, (5 / 6 + 5 / 6 + 0.5) / 3]) and np.isnan(found[2])


def test_each_network_is_scored_once_in_the_workshop_of_its_space() -> None:
    config = tiny_config(random.Random(0))
    one, two, bad, odd = (SPACES["gpt2"].architecture(f"a{i}", config | {"n_token": 310 + i}) for i in range(4))
    other = SPACES["flexibert"].architecture(
        "f", {"hidden_size": 4, "operation": ["SDP"], "heads": [1], "ffn_dim": [8], "ffn_stack": [1]}
    )
    twin, trained = SPACES["gpt2"].architecture("twin", dict(one.config)), replace(one, id="t", tokens=5.0)
    asked: list[tuple[str, list[str]]] = []
    worth = {"a0": 1.5, "a1": math.inf, "a2": 3.0, "f": -2.0, "t": 7.0, "a3": math.nan}

    def workshop(space: str) -> Any:
        def exact(proxies: Any, some: Any, progress: Any, refused: dict[Any, str]) -> np.ndarray:
            asked.append((space, [a.id for a in some]))
            refused.update({a: "cannot be built" for a in some if a is bad})
            return np.array([[worth[a.id] for a in some]])

        return SimpleNamespace(exact_scores=exact, bank=SimpleNamespace())

    scorer = FormulaScorer(Evaluation(parse(TEXTS[0]), 0.9, -1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates_module, "_reason", lambda workshop, scorer, architecture: f"no {architecture.id}")
        refused: Any = {odd: "before"}
        del refused[odd]
        found = score_candidates([one, twin, other, two, bad, trained, odd], scorer, workshop, None, refused)
    assert found == [
        (-1.5, ""), (-1.5, ""), (2.0, ""), (None, "no a1"), (None, "cannot be built"), (-7.0, ""), (None, "no a3"),
    ]  # fmt: skip
    assert asked == [("gpt2", ["a0", "a1", "a2", "t", "a3"]), ("flexibert", ["f"])] and list(refused) == [bad]
