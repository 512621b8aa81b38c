"""SearchConfig: everything a search depends on besides its data, frozen, and refused if it makes no sense.

Names of algorithms and mutations, which plug-ins may add, are checked where a search begins
(`gp.evolution.evolve.check_registered`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from typing import Any

from fitness.across import WAYS
from fitness.objectives import LIKE_RHO, OBJECTIVES
from fitness.tables.probes import RETEST
from primitives.grammar import MAX_CHAIN, parse
from primitives.inputs import EXTENDED, TERMINALS
from primitives.operators import AGGREGATION, BINARY, USUAL_AGGREGATIONS, turned
from primitives.proxy import MAX_BRANCHES, BadProxy
from storage.datum import is_number, is_whole
from storage.errors import WrongInput

__all__ = ["JOINS", "PRESETS", "BadConfig", "SearchConfig"]

JOINS = ("inside", "outside")
TEACHERS = ("auto", "none", "always")
CHAMPIONS = ("fittest", "consensus")
MUTATED = ("branch", "replace")
"""The mutations that are drawn by default."""
SWEEPING = ("memetic", "operon")  # algorithms that compare all branches of a space
FINALISTS = 3  # times the size of the hall of fame
_MILLION = 1_000_000
WHOLE = {
    "seed": (0, 2**63 - 1), "iterations": (0, 100 * _MILLION), "population": (2, _MILLION), "n_unary": (1, MAX_CHAIN),
    "branches": (2, MAX_BRANCHES), "teacher_branches": (2, MAX_BRANCHES), "pool": (1, 10_000), "brood": (1, _MILLION),
    "sweeps": (0, 1000), "folds": (0, 100), "hall_size": (1, 1000), "tries": (1, _MILLION),
}  # fmt: skip
"""The settings that are whole numbers, and their ranges."""


class BadConfig(WrongInput):
    """A value that a search cannot run with: which field, what it got, what it wanted."""

    def __init__(self, field: str, got: object, wanted: str) -> None:
        shown = repr(got)
        super().__init__(f"{field}: got {shown if len(shown) <= 80 else shown[:77] + '...'}, wanted {wanted}")
        self.field, self.got, self.wanted = field, got, wanted


@dataclass(frozen=True)
class SearchConfig:
    """Settings of one search. The defaults were tuned on other splits than the reported ones; `PRESETS` holds others.

    `n_unary` operators stand in each branch; `crossover` and `mutation` are probabilities; parents come from the best
    `selection_ratio` of the population under lpzero; `inputs`, `aggregates`, `joins`, `operators` and `branches` say
    what the grammar may use, `mutations` which ones are drawn, all alike; `pps` switches the validity rules, one of
    which wants rho of `retest` between two initialisations; a generation of memetic is a `brood` of children and
    `sweeps` sweeps, and before it a cross-validation over `folds` says whether coarse formulas are better, each level
    of which is shared by at least `coarse` of the architectures (never with folds 0 or coarse 0); a formula that
    fails is varied again at most `tries` times; `constants` are fitted to what is added up, in every evaluation;
    `across` joins the agreements with several benchmarks; `nested` takes off what a formula lacks of growing with
    nested networks; `champion` is the fittest formula of the hall of fame or the one nearest to their mean ranking. A
    `teacher` fitted to the labels says what to expect of a `pool` of networks drawn from the space, for formulas of at
    most `teacher_branches`, where the cross-validation prefers these (auto), never (none) or always. The formulas
    of `start` are in the first population.
    """

    seed: int = 42
    iterations: int = 6000
    population: int = 600
    n_unary: int = 2
    crossover: float = 0.5
    mutation: float = 0.5
    selection_ratio: float = 0.1
    objective: str = "both"
    algorithm: str = "memetic"
    aggregates: tuple[str, ...] = USUAL_AGGREGATIONS
    joins: tuple[str, ...] = ("outside",)
    inputs: tuple[str, ...] = EXTENDED
    pps: bool = True
    branches: int = 3
    brood: int = 200
    sweeps: int = 20
    folds: int = 5
    coarse: float = 0.1
    hall_size: int = 10
    tries: int = 50
    mutations: tuple[str, ...] = MUTATED
    constants: bool = False
    across: str = "mean"
    nested: bool = False
    champion: str = "fittest"
    operators: tuple[str, ...] = tuple(BINARY)
    retest: float = RETEST
    teacher: str = "auto"
    pool: int = 100
    teacher_branches: int = MAX_BRANCHES
    start: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, (low, high) in WHOLE.items():
            self._check_integer(name, low, high)
        if self.folds == 1:
            raise BadConfig("folds", 1, "0, or at least 2")
        for name in ("crossover", "mutation", "selection_ratio", "coarse", "retest"):
            self._check_share(name)
        if self.crossover + self.mutation == 0:
            raise BadConfig("mutation", self.mutation, "more than 0 when crossover is 0")
        if self.selection_ratio == 0:
            raise BadConfig("selection_ratio", self.selection_ratio, "more than 0")
        self.check_choice("objective", OBJECTIVES)
        if not isinstance(self.algorithm, str):
            raise BadConfig("algorithm", self.algorithm, "the name of an algorithm")
        self.check_choice("across", WAYS)
        self.check_choice("champion", CHAMPIONS)
        self.check_choice("teacher", TEACHERS)
        for text in self.start:
            self._check_formula(text)
        self.check_names("aggregates", [*AGGREGATION, *map(turned, AGGREGATION)])
        self.check_names("joins", JOINS)
        self.check_names("inputs", TERMINALS)
        self.check_names("mutations")
        self.check_names("operators", BINARY)
        if "inside" not in self.joins and self.operators == ("matmul",):
            raise BadConfig("operators", self.operators, "another one too where branches are joined outside")
        for name in ("pps", "constants", "nested"):
            if not isinstance(getattr(self, name), bool):
                raise BadConfig(name, getattr(self, name), "true or false")
        if self.teacher == "always" and (reason := self._untaught()):
            raise BadConfig("teacher", "always", f"auto or none with {reason}")
        if self.nested and self.constants:
            raise BadConfig("nested", True, "false with constants, which are fitted to labels; leave one of them out")

    @property
    def sweeps_branches(self) -> bool:
        """True if the algorithm compares a formula with all that differ in one branch."""
        return self.algorithm in SWEEPING and "outside" in self.joins

    @property
    def teaches(self) -> bool:
        """True if a teacher may label a pool: sweeps find the long formulas, whose parts are added up and taken off."""
        return self.teacher == "always" or (self.teacher == "auto" and bool(self.folds) and not self._untaught())

    def _untaught(self) -> str:
        """The setting that no teacher goes with, and why; nothing where there is none."""
        reasons = {
            f"--algorithm {self.algorithm}, which sweeps no branches": not self.sweeps_branches,
            "operators without sum and difference": not {"sum", "difference"} <= set(self.operators),
            "--nested, which has no constants": self.nested,
            f"--objective {self.objective}, which asks for more than an order": self.objective not in LIKE_RHO,
        }
        return next((reason for reason, holds in reasons.items() if holds), "")

    def distilling(self) -> SearchConfig:
        """The settings of the evolution of distilled formulas."""
        return replace(self, branches=self.teacher_branches, constants=True)

    @property
    def finalists(self) -> int:
        """Number of formulas that are scored exactly to make the hall of fame."""
        return self.hall_size * (FINALISTS if self.algorithm in SWEEPING else 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON. Fields that are younger than the schema are there only if they say something."""
        plain = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}
        return {name: v for name, v in plain.items() if name not in _YOUNG or getattr(self, name) != _YOUNG[name]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SearchConfig:
        """Inverse of `to_dict`; missing fields are those of a search before they existed, or take their defaults;
        unknown ones are refused."""
        if not isinstance(data, Mapping):
            raise BadConfig("config", type(data).__name__, "an object of settings by name")
        known = [f.name for f in fields(cls)]
        for name in data:
            if name not in known:
                raise BadConfig(str(name), data[name], _one_of(str(name), known, "a known setting: "))
        settings: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in data.items()}
        return cls(**{**_YOUNG, **settings})

    def _check_integer(self, field: str, low: int, high: int) -> None:
        value = getattr(self, field)
        if not is_whole(value) or not low <= value <= high:
            raise BadConfig(field, value, f"a whole number from {low:,} to {high:,}")

    def _check_formula(self, text: object) -> None:
        if not isinstance(text, str):
            raise BadConfig("start", text, "the text of a formula")
        try:
            parse(text)
        except BadProxy as fault:
            raise BadConfig("start", text, f"a formula ({fault})") from None

    def _check_share(self, field: str) -> None:
        value = getattr(self, field)
        if not is_number(value) or not 0 <= value <= 1:
            raise BadConfig(field, value, "a number from 0 to 1")

    def check_choice(self, field: str, known: Collection[str]) -> None:
        """BadConfig if a field has a value that is not known."""
        value = getattr(self, field)
        if not isinstance(value, str) or value not in known:
            raise BadConfig(field, value, _one_of(value, known))

    def check_names(self, field: str, known: Collection[str] = ()) -> None:
        """BadConfig if a field is not a tuple of different names, or has one that is not among those `known`, if any
        are."""
        value = getattr(self, field)
        if not isinstance(value, tuple) or not value:
            raise BadConfig(field, value, f"a tuple of at least one of {', '.join(known) or 'the names'}")
        for name in value:
            if not isinstance(name, str) or (known and name not in known):
                raise BadConfig(field, name, _one_of(name, known) if known else "a name")
        if len(set(value)) < len(value):
            raise BadConfig(field, value, "each name once")


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "lpzero": {
        "algorithm": "lpzero", "iterations": 1000, "population": 80, "branches": 2, "joins": JOINS,
        "mutations": ("regrow", "replace"), "teacher": "none",
    },
    "universal": {
        "nested": True, "champion": "consensus", "operators": ("product",), "branches": 2, "n_unary": 1,
        "iterations": 600, "folds": 0, "retest": 0.99, "teacher": "none",
    },
}  # fmt: skip
"""Named settings, as changes to the defaults: LPZero's search (Dong et al. 2024, arXiv 2410.04808; its inputs and
aggregation are options of their own), and the search for one formula over several benchmarks (docs/universal.md)."""

_YOUNG = {
    name: getattr(SearchConfig, name)
    for name in (
        "mutations", "constants", "across", "nested", "champion", "operators", "retest", "teacher", "pool",
        "teacher_branches", "start",
    )
} | {"teacher": "none"}  # fmt: skip


def _one_of(name: object, known: Collection[str], prefix: str = "") -> str:
    near = get_close_matches(str(name), known, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"{prefix}one of {', '.join(known)}{hint}"
