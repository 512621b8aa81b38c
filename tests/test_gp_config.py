import dataclasses
import json

import pytest
from landscape import fingerprint, search, short

from gp.config import PRESETS, BadConfig, SearchConfig
from gp.evolution.algorithms import ALGORITHMS
from primitives.inputs import PAPER


def test_the_published_settings_are_those_of_lpzero():
    config = SearchConfig(**PRESETS["lpzero"])
    assert (config.population, config.iterations, config.seed, config.n_unary) == (80, 1000, 42, 2)
    assert (config.crossover, config.mutation, config.selection_ratio) == (0.5, 0.5, 0.1)
    assert (config.algorithm, config.branches, config.joins) == ("lpzero", 2, ("inside", "outside"))
    assert config.teacher == "none"
    assert (
        config.mutations == ("regrow", "replace")
        and not config.sweeps_branches
        and config.finalists == config.hall_size
    )


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_of_the_table_is_a_setting(name):
    assert SearchConfig(algorithm=name).algorithm == name


def test_settings_younger_than_the_schema_are_written_only_where_they_say_something():
    written = set(SearchConfig(teacher="none").to_dict())
    assert written == set(CHANGES) - {"mutations", "operators", "start"} | {
        "selection_ratio", "objective", "folds", "coarse",
    }  # fmt: skip
    assert set(SearchConfig().to_dict()) == written | {"teacher"}
    config = SearchConfig(mutations=("replace",))
    assert SearchConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_a_configuration_survives_json():
    config = SearchConfig(seed=7, inputs=PAPER, aggregates=("sum",), joins=("outside",), pps=False, crossover=0.25)
    assert SearchConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_a_missing_setting_takes_its_default_and_a_search_of_before_had_no_teacher():
    assert SearchConfig.from_dict({"seed": 1}) == SearchConfig(seed=1, teacher="none")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", -1),
        ("seed", 1.5),
        ("seed", True),
        ("seed", "42"),
        ("iterations", -1),
        ("population", 1),
        ("n_unary", 0),
        ("n_unary", 17),
        ("crossover", 1.1),
        ("crossover", float("nan")),
        ("mutation", -0.1),
        ("mutation", "often"),
        ("selection_ratio", 0),
        ("selection_ratio", 2),
        ("objective", "pearson"),
        ("algorithm", None),
        ("aggregates", ()),
        ("aggregates", ("median",)),
        ("aggregates", "mean"),
        ("aggregates", (["mean"],)),
        ("joins", ("sideways",)),
        ("inputs", ("A", "A")),
        ("inputs", ("X",)),
        ("pps", 1),
        ("hall_size", 0),
        ("tries", 0),
        ("branches", 1),
        ("branches", 9),
        ("brood", 0),
        ("start", ("mean[ nonsense(W) ]",)),
        ("brood", 2.0),
        ("sweeps", -1),
        ("sweeps", 1001),
        ("folds", 1),
        ("folds", 101),
        ("coarse", -0.1),
        ("coarse", 1.5),
    ],
)
def test_a_bad_value_is_refused_with_field_got_and_wanted(field, value):
    with pytest.raises(BadConfig) as caught:
        SearchConfig(**{field: value})
    assert caught.value.field == field
    assert caught.value.wanted in str(caught.value) and str(caught.value).startswith(f"{field}: got ")


def test_neither_crossover_nor_mutation_is_refused():
    with pytest.raises(BadConfig, match="more than 0"):
        SearchConfig(crossover=0.0, mutation=0.0)


def test_an_unknown_setting_is_refused_with_the_nearest_name():
    with pytest.raises(BadConfig, match="did you mean population"):
        SearchConfig.from_dict({"popullation": 80})


def test_a_misspelt_name_is_answered_with_the_nearest_one():
    with pytest.raises(BadConfig, match="did you mean kendall"):
        SearchConfig(objective="kendal")


def test_something_else_than_settings_is_refused():
    with pytest.raises(BadConfig, match="an object of settings"):
        SearchConfig.from_dict([("seed", 1)])


def test_a_configuration_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SearchConfig().seed = 1


@pytest.mark.parametrize(
    ("change", "sweeps"),
    [
        ({}, True),
        ({"folds": 0}, True),
        ({"joins": ("inside",)}, False),
        ({"algorithm": "nsga2"}, False),
        ({"algorithm": "operon"}, True),
    ],
)
def test_what_settings_sweep_branches(change, sweeps):
    assert SearchConfig(**change).sweeps_branches is sweeps


def test_three_times_as_many_formulas_as_the_hall_holds_are_scored_exactly_after_sweeps():
    assert (
        SearchConfig(hall_size=7).finalists == SearchConfig(hall_size=7, algorithm="operon").finalists == 21
        and SearchConfig(algorithm="random", hall_size=7).finalists == 7
    )


CHANGES = {
    "seed": 7, "iterations": 50, "population": 12, "n_unary": 1, "crossover": 0.1, "mutation": 0.9,
    "algorithm": "random", "aggregates": ("mean",), "joins": ("inside",), "inputs": PAPER, "pps": False,
    "hall_size": 3, "tries": 1, "mutations": ("replace",), "branches": 2, "brood": 9, "sweeps": 1,
    "operators": ("sum",), "start": ("mean[ abs(W) ]",),
}  # fmt: skip
READ_BY_LPZERO = {"selection_ratio": 0.9}
READ_BY_EVALUATE = {"objective", "constants", "across", "nested"}  # tests/test_gp_constants, test_across, test_nested
READ_BY_THE_CHOICE = {"folds", "coarse", "champion", "retest"}  # tests/test_gp_choice.py
READ_BY_THE_TEACHER = {"teacher", "pool", "teacher_branches"}  # tests/test_gp_teacher.py


def test_every_setting_is_tested_for_an_effect():
    elsewhere = READ_BY_EVALUATE | READ_BY_THE_CHOICE | READ_BY_THE_TEACHER
    assert {f.name for f in dataclasses.fields(SearchConfig)} == set(CHANGES) | set(READ_BY_LPZERO) | elsewhere


@pytest.mark.parametrize(
    ("algorithm", "field"), [("memetic", f) for f in CHANGES] + [("lpzero", f) for f in READ_BY_LPZERO]
)
def test_every_setting_changes_the_search(algorithm, field):
    default = short(algorithm=algorithm)
    change = {"algorithm": algorithm, **{field: {**CHANGES, **READ_BY_LPZERO}[field]}}
    assert getattr(default, field) != change[field]
    assert fingerprint(search(algorithm=algorithm)) != fingerprint(search(**change))


@pytest.mark.parametrize(
    "name", ["seed", "iterations", "population", "n_unary", "objective", "algorithm", "branches", "brood", "sweeps", "folds", "hall_size", "retest", "teacher", "pool", "teacher_branches"],
)  # fmt: skip
def test_the_command_has_the_defaults_of_a_search(name: str) -> None:
    from commands.evolve import evolve

    (option,) = (parameter for parameter in evolve.params if parameter.name == name)
    assert option.default == getattr(SearchConfig(), name)


def test_the_command_has_the_names_of_a_search() -> None:
    from commands.evolve import evolve

    defaults = {parameter.name: parameter.default for parameter in evolve.params}
    assert (defaults["joins"],) == SearchConfig().joins
    assert tuple(defaults["mutations"].split(",")) == SearchConfig().mutations
    assert tuple(defaults["operators"].split(",")) == SearchConfig().operators


def test_numbers_cannot_be_joined_by_a_product_of_matrices_alone() -> None:
    with pytest.raises(BadConfig, match="operators: .* wanted another one too where branches are joined outside"):
        SearchConfig(operators=("matmul",))
    assert SearchConfig(operators=("matmul",), joins=("inside",)).operators == ("matmul",)
