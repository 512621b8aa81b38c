"""The plan of a study: the same search under several settings and seeds, to see what each part contributes.

`search`, `pps`, `population` and `unary` repeat the ablations of LPZero (Dong et al. 2024, arXiv 2410.04808, figures 6
and 7, table 5) with its settings; the others are ours. All settings of a seed search
on the same split and are tested on the same held-out architectures, so they can be compared seed by seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from fitness.evaluation import split_groups
from fitness.features.workshop import Workshop
from fitness.objectives import OBJECTIVES
from fitness.protocol import check_rankable
from gp.case import Case
from gp.config import PRESETS, SearchConfig
from gp.studies.transfer import seen, unseen
from models.benchmarks.benchmark import Benchmark
from primitives.inputs import INPUT_SETS
from primitives.operators import USUAL_AGGREGATIONS
from storage.errors import WrongInput

__all__ = ["STUDIES", "BadStudy", "Setting", "Study", "Trial", "plan", "plan_transfer"]


class BadStudy(WrongInput):
    """A study that this benchmark is too small for."""


@dataclass(frozen=True)
class Setting:
    """`changes` to the default SearchConfig; `search_size` None is the one asked for."""

    label: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    search_size: int | None = None


@dataclass(frozen=True)
class Study:
    """A study: its settings, the `reference` setting that differences are taken to, and `base`, changes to the default
    SearchConfig that all settings share."""

    name: str
    title: str
    reference: str
    settings: tuple[Setting, ...]
    base: Mapping[str, Any] = field(default_factory=lambda: PRESETS["lpzero"])


def _aggregations() -> tuple[Setting, ...]:
    """Settings: the published aggregation, ours, both, and all that the table has if that is more."""
    sets: dict[str, tuple[str, ...]] = {"mean": ("mean",), "sum": ("sum",), "mean and sum": ("mean", "sum")}
    sets["all"] = USUAL_AGGREGATIONS
    return tuple(Setting(label, {"aggregates": names}) for label, names in sets.items())


_WITH, _WITHOUT = Setting("evolution with PPS"), Setting("evolution without PPS", {"pps": False})
_RANDOM = (
    Setting("random with PPS", {"algorithm": "random"}),
    Setting("random without PPS", {"algorithm": "random", "pps": False}),
)
_POPULATIONS = tuple(Setting(f"population {n}", {"population": n}) for n in (80, 100, 200))
_UNARY = tuple(Setting(f"{n} unary", {"n_unary": n}) for n in range(1, 6))
_INPUTS = tuple(Setting(name, {"inputs": INPUT_SETS[name]}) for name in INPUT_SETS)
_OBJECTIVES = tuple(Setting(name, {"objective": name}) for name in OBJECTIVES)
_KINDS = (
    Setting("two branches", {"branches": 2, "folds": 0}),
    Setting("three branches", {"folds": 0}),
    Setting("or coarse"),
)
_ALGORITHMS = (
    Setting("memetic"),
    Setting("without sweeps", {"sweeps": 0}),
    Setting("sweeps alone", {"crossover": 0.0, "mutation": 1.0, "brood": 1}),
    Setting("random", {"algorithm": "random", "population": 200}),
    Setting("nsga2", {"algorithm": "nsga2", "population": 200}),
    Setting("lpzero", PRESETS["lpzero"]),
    Setting("operon", {"algorithm": "operon"}),
)
_CONSTANTS = (Setting("without constants"), Setting("constants", {"constants": True}))
_TEACHERS = (
    Setting("without a teacher", {"teacher": "none"}),
    Setting("auto", {"teacher": "auto"}),
    *(Setting(f"pool {n}", {"teacher": "always", "pool": n}) for n in (50, 100, 200, 400)),
    *(Setting(f"{n} branches", {"teacher": "always", "teacher_branches": n}) for n in (3, 6)),
    Setting("network and sizes", {"teacher": "always", "inputs": INPUT_SETS["both"]}),
)
_ALONE = {"teacher": "none"}  # of studies of the search itself
_ACROSS = (Setting("mean"), Setting("worst", {"across": "worst"}))
_SIZES = tuple(Setting(f"n = {n}", search_size=n) for n in (20, 30, 50, 100, 150))

STUDIES: dict[str, Study] = {
    s.name: s
    for s in (
        Study("search", "evolution and random search, with and without PPS", _WITH.label, (_WITH, _WITHOUT, *_RANDOM)),
        Study("pps", "what the pruning rules save", _WITHOUT.label, (_WITH, _WITHOUT)),
        Study("population", "size of the population", "population 80", _POPULATIONS),
        Study("unary", "unary operators in a branch", "2 unary", _UNARY),
        Study("aggregate", "aggregations that a formula may use", "all", _aggregations()),
        Study("inputs", "inputs that a formula may use", "extended", _INPUTS),
        Study("objective", "what the search maximises", "both", _OBJECTIVES),
        Study("kind", "kinds of formula and the choice among them", "or coarse", _KINDS, _ALONE),
        Study("algorithm", "what crossover, mutation and sweeps contribute", "memetic", _ALGORITHMS, _ALONE),
        Study("constants", "constants before what is added up", "without constants", _CONSTANTS, _ALONE),
        Study("teacher", "a teacher on networks without labels", "without a teacher", _TEACHERS, {}),
        Study("transfer", "one formula for all others, tested on the benchmark left out", "mean", _ACROSS, {}),
        Study("sample", "n, the architectures that the search sees", "n = 50", _SIZES),
    )
}


@dataclass(frozen=True, eq=False)
class Trial:
    """One search to be done, the one number `place` of its study and seed: the `cases` that it sees, and the case that
    its champions are tested on, one of these or one that is left out. `holdout` are the architectures of the tested one
    that no setting of this seed searches on."""

    cases: tuple[Case, ...]
    tested: Case
    place: int
    label: str
    config: SearchConfig
    holdout: tuple[int, ...]

    @property
    def leaves_out(self) -> bool:
        """True if the search sees nothing of the tested case."""
        return not self.tested.split.search

    @property
    def everything(self) -> tuple[Case, ...]:
        """Cases whose features the trial needs."""
        return (self.tested, *self.cases) if self.leaves_out else self.cases

    def alone(self) -> Trial:
        """A copy of the trial for another process."""
        cases = tuple(replace(case, workshop=case.workshop.alone()) for case in self.cases)
        return replace(self, cases=cases, tested=replace(self.tested, workshop=self.tested.workshop.alone()))


def plan(
    study: Study,
    benchmark: Benchmark,
    workshop: Workshop,
    seeds: Sequence[int],
    iterations: int | None = None,
    search_size: int = 50,
) -> list[Trial]:
    """Every setting with every seed, the slow ones first; settings that leave fewer than 10 architectures held out
    are left out, and BadStudy is raised where fewer than two remain."""
    most = len(benchmark) - 10
    kept = [s for s in study.settings if (s.search_size or search_size) <= most]
    if len(kept) < 2:
        raise BadStudy(
            f"{benchmark.name}: has {len(benchmark)} architectures, too few for the study {study.name} "
            "(10 are held out, and two settings are the least); take a larger benchmark or a smaller --search-size"
        )
    asked = {} if iterations is None else {"iterations": iterations}
    trials = []
    for seed in seeds:
        splits = {s.label: split_groups(benchmark.groups, s.search_size or search_size, seed) for s in kept}
        for split in splits.values():
            check_rankable(benchmark, split)
        common = tuple(sorted(set.intersection(*(set(split.holdout) for split in splits.values()))))
        for place, setting in enumerate(kept):
            config = SearchConfig(**{**study.base, "seed": seed, **asked, **setting.changes})
            case = Case(benchmark, workshop, splits[setting.label])
            trials.append(Trial((case,), case, place, setting.label, config, common))
    return sorted(trials, key=lambda trial: -trial.config.n_unary)


def plan_transfer(
    study: Study, cases: Sequence[Case], seeds: Sequence[int], iterations: int | None = None, search_size: int = 50
) -> list[Trial]:
    """Every setting and seed with each of the cases left out; BadStudy where that leaves nothing to search on."""
    if len(cases) < 2:
        raise BadStudy(f"the study {study.name}: got one benchmark, wanted at least 2; each in turn is left out")
    asked = {} if iterations is None else {"iterations": iterations}
    trials = []
    for seed in seeds:
        split = [seen(case, seed, search_size) for case in cases]
        for case in split:
            check_rankable(case.benchmark, case.split)
        for place, (setting, left) in enumerate(product(study.settings, range(len(cases)))):
            config = SearchConfig(**{**study.base, "seed": seed, **asked, **setting.changes})
            mine = unseen(cases[left].benchmark, cases[left].workshop)
            others = tuple(split[:left] + split[left + 1 :])
            trials.append(Trial(others, mine, place, setting.label, config, mine.split.holdout))
    return trials
