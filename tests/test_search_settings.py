"""Settings of a search and of features: ranges, names, switches and defaults."""

from __future__ import annotations

import re
from typing import Any

import click
import pytest

from commands.feature_options import FEATURES, _recorded_features
from gp.config import PRESETS, WHOLE, BadConfig, SearchConfig
from gp.hall_file import BadHall
from primitives.inputs import EXTENDED
from primitives.operators import BINARY, USUAL_AGGREGATIONS

# Settings of a search

RANGES = {
    "seed": (0, 2**63 - 1), "iterations": (0, 100_000_000), "population": (2, 1_000_000), "n_unary": (1, 16),
    "branches": (2, 8), "teacher_branches": (2, 8), "pool": (1, 10_000), "brood": (1, 1_000_000),
    "sweeps": (0, 1000), "folds": (0, 100), "hall_size": (1, 1000), "tries": (1, 1_000_000),
}  # fmt: skip


@pytest.mark.parametrize("field", WHOLE)
def test_a_whole_number_of_a_search_has_a_range(field: str) -> None:
    low, high = RANGES[field]
    for value in (low, high):
        assert getattr(SearchConfig(**{field: value}), field) == value
    for value in (low - 1, high + 1, float(high), True, None):
        with pytest.raises(BadConfig, match=f"^{field}: got .*, wanted a whole number from {low:,} to {high:,}$"):
            SearchConfig(**{field: value})


@pytest.mark.parametrize("field", ["crossover", "mutation", "selection_ratio", "coarse", "retest"])
def test_a_share_of_a_search_is_from_0_to_1(field: str) -> None:
    assert getattr(SearchConfig(**{field: 1}), field) == 1
    for value in (-0.01, 1.01, float("nan"), "0.5", True, None):
        with pytest.raises(BadConfig, match=f"^{field}: got .*, wanted a number from 0 to 1$"):
            SearchConfig(**{field: value})


DEFAULTS: dict[str, Any] = {
    "seed": 42, "iterations": 6000, "population": 600, "n_unary": 2, "crossover": 0.5, "mutation": 0.5,
    "selection_ratio": 0.1, "objective": "both", "algorithm": "memetic", "aggregates": tuple(USUAL_AGGREGATIONS),
    "joins": ("outside",), "inputs": EXTENDED, "pps": True, "branches": 3, "brood": 200, "sweeps": 20, "folds": 5,
    "coarse": 0.1, "hall_size": 10, "tries": 50, "mutations": ("branch", "replace"), "constants": False,
    "across": "mean", "nested": False, "champion": "fittest", "operators": tuple(BINARY), "retest": 0.5,
    "teacher": "auto", "pool": 100, "teacher_branches": 8, "start": (),
}  # fmt: skip
UNIVERSAL = {
    "nested": True, "champion": "consensus", "operators": ("product",), "branches": 2, "n_unary": 1, "iterations": 600,
    "folds": 0, "retest": 0.99, "teacher": "none",
}  # fmt: skip


def test_the_defaults_and_the_preset_of_a_universal_search_stay_as_they_are() -> None:
    assert vars(SearchConfig()) == DEFAULTS and PRESETS["universal"] == UNIVERSAL and PRESETS["default"] == {}
    assert SearchConfig(**UNIVERSAL).finalists == 30


NAMES = {
    "teacher": ("auto", "none", "always"), "champion": ("fittest", "consensus"), "across": ("mean", "worst"),
    "objective": ("both", "spearman", "kendall", "pairs"),
}  # fmt: skip


@pytest.mark.parametrize("field", NAMES)
def test_a_choice_of_a_search_is_one_of_its_names(field: str) -> None:
    for name in NAMES[field]:
        assert getattr(SearchConfig(**{field: name, "folds": 5}), field) == name
    for value in ("any", "", None, 1, [NAMES[field][0]]):
        with pytest.raises(BadConfig, match=f"^{field}: got .*, wanted one of .*{NAMES[field][0]}"):
            SearchConfig(**{field: value})


@pytest.mark.parametrize("field", ["aggregates", "joins", "inputs", "mutations", "operators"])
def test_names_of_a_search_are_a_tuple_of_different_ones(field: str) -> None:
    first = getattr(SearchConfig(), field)[0]
    for value, wanted in (
        ((), "a tuple of at least one of "), (first, "a tuple of at least one of "), ([first], "a tuple of at least one"),
        ((first, first), "each name once"), ((3,), "a name|one of "),
    ):  # fmt: skip
        with pytest.raises(BadConfig, match=f"^{field}: got .*, wanted ({wanted})"):
            SearchConfig(**{field: value})


@pytest.mark.parametrize("field", ["pps", "constants", "nested"])
def test_a_switch_of_a_search_is_true_or_false(field: str) -> None:
    for value in (0, 1, "true", None):
        with pytest.raises(BadConfig, match=f"^{field}: got {value!r}, wanted true or false$"):
            SearchConfig(**{field: value})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start": (3,)}, "start: got 3, wanted the text of a formula"),
        ({"start": ("mean[",)}, r"start: got 'mean\[', wanted a formula \(.+\)"),
        ({"algorithm": 3}, "algorithm: got 3, wanted the name of an algorithm"),
        ({"selection_ratio": 0}, "selection_ratio: got 0, wanted more than 0"),
        ({"folds": 1}, "folds: got 1, wanted 0, or at least 2"),
        ({"crossover": 0, "mutation": 0}, "mutation: got 0, wanted more than 0 when crossover is 0"),
        ({"nested": True, "constants": True, "teacher": "none"}, "nested: got True, wanted false with constants"),
        ({"teacher": "always", "algorithm": "nsga2"}, "teacher: got 'always', wanted auto or none with --algorithm nsga2"),
        ({"teacher": "always", "joins": ("inside",)}, "teacher: got .* with --algorithm memetic, which sweeps no branches"),
        ({"teacher": "always", "operators": ("sum",)}, "teacher: got .* with operators without sum and difference"),
        ({"teacher": "always", "nested": True}, "teacher: got .* with --nested, which has no constants"),
        ({"teacher": "always", "objective": "pairs"}, "teacher: got .* with --objective pairs, which asks for more"),
        ({"start": ("x" * 90 + "[",)}, r"start: got 'x{76}\.\.\., wanted"),
    ],
)  # fmt: skip
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadConfig, match=f"^{message}"):
        SearchConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "teaches"),
    [
        ({}, True), ({"folds": 0}, False), ({"teacher": "none"}, False), ({"teacher": "always", "folds": 0}, True),
        ({"algorithm": "nsga2"}, False), ({"operators": ("sum", "product")}, False), ({"nested": True}, False),
        ({"objective": "pairs"}, False), ({"objective": "kendall"}, True), ({"operators": ("sum", "difference")}, True),
        ({"aggregates": ("sum", "T*sum", "T*mean")}, True), ({"algorithm": "operon"}, True),
    ],
)  # fmt: skip
def test_what_settings_have_a_teacher(settings: dict[str, Any], teaches: bool) -> None:
    config = SearchConfig(**settings)
    assert config.teaches is teaches
    distilling = config.distilling() if teaches else SearchConfig(teacher_branches=5).distilling()
    assert distilling.constants and distilling.branches == distilling.teacher_branches == (8 if teaches else 5)


# Settings of features

FEATURE_RANGES = {"batch": (1, 4096), "seq_len": (2, 4096), "init_seed": (0, 2**63 - 2)}


@pytest.mark.parametrize("name", FEATURE_RANGES)
def test_a_number_of_the_features_has_a_range_in_files_and_in_commands(name: str) -> None:
    low, high = FEATURE_RANGES[name]

    @click.command(params=[])
    def command(**values: Any) -> None: ...

    for option in FEATURES:
        option(command)
    kind = next(p.type for p in command.params if p.name == name)
    assert isinstance(kind, click.IntRange) and (kind.min, kind.max) == (low, high)
    for value in (low, high):
        assert _recorded_features({name: value}, None) == {name: value}
    for value in (low - 1, high + 1, float(low), "4"):
        with pytest.raises(BadHall, match=re.escape(f"{name}: got {value!r}, wanted a whole number from {low:,} to ")):
            _recorded_features({name: value}, None)
