"""Studies: the same search under several settings and seeds, to see what each part of it contributes.

`search`, `pps`, `population` and `unary` repeat the ablations of LPZero (Dong et al. 2024, arXiv 2410.04808, figures 6
and 7, table 5); the others are ours. They are of the evolution alone, but for `growth`. All settings of a seed search
on the same split and are tested on the same held-out architectures, so they can be compared seed by seed. Held-out
values are of sketch scores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from engine.crew import map_on_devices
from fitness.evaluation import OBJECTIVES, Evaluation, Split, split_groups
from fitness.features.workshop import Progress, Workshop
from fitness.ranking import kendall, spearman
from fitness.replay import branch_table
from fitness.tables.branches import BranchTable
from gp.config import SearchConfig
from gp.evolution.evolve import evolve
from gp.growth.problem import prepare
from gp.hall_of_fame import Champion
from models.benchmarks.benchmark import Benchmark
from primitives.inputs import EXTENDED, PAPER
from primitives.operators import AGGREGATION
from primitives.proxy import Proxy
from storage.errors import ZcpError

__all__ = ["STUDIES", "BadStudy", "Setting", "Study", "Trial", "plan", "run_study"]


class BadStudy(ZcpError, ValueError):
    """A study that this benchmark is too small for."""


@dataclass(frozen=True)
class Setting:
    """`changes` to the default SearchConfig; `search_size` None is the one asked for."""

    label: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    search_size: int | None = None


@dataclass(frozen=True)
class Study:
    """What is varied; differences are taken to the setting `reference`, the default where there is one."""

    name: str
    title: str
    reference: str
    settings: tuple[Setting, ...]


def _aggregations() -> tuple[Setting, ...]:
    """As published, ours, both, and everything the table has if that is more."""
    sets: dict[str, tuple[str, ...]] = {"mean": ("mean",), "sum": ("sum",), "mean and sum": ("mean", "sum")}
    sets["all"] = tuple(AGGREGATION)
    return tuple(Setting(label, {"aggregates": names}) for label, names in sets.items())


_WITH, _WITHOUT = Setting("evolution with PPS"), Setting("evolution without PPS", {"pps": False})
_RANDOM = (
    Setting("random with PPS", {"algorithm": "random"}),
    Setting("random without PPS", {"algorithm": "random", "pps": False}),
)
_POPULATIONS = tuple(Setting(f"population {n}", {"population": n}) for n in (80, 100, 200))
_UNARY = tuple(Setting(f"{n} unary", {"n_unary": n}) for n in range(1, 6))
_INPUTS = (Setting("paper", {"inputs": PAPER}), Setting("extended", {"inputs": EXTENDED}))
_OBJECTIVES = tuple(Setting(name, {"objective": name}) for name in OBJECTIVES)
_BEAM = SearchConfig().beam
_GROWTH = (
    Setting("evolution alone"),
    Setting("two branches", {"beam": _BEAM, "branches": 2, "coarse": 0}),
    Setting("or three", {"beam": _BEAM, "coarse": 0}),
    Setting("or coarse", {"beam": _BEAM}),
)
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
        Study("growth", "what growth adds to the evolution", _GROWTH[0].label, _GROWTH),
        Study("sample", "n, the architectures that the search sees", "n = 50", _SIZES),
    )
}


@dataclass(frozen=True, eq=False)
class Trial:
    """One search to be done: setting number `place` of its study; `holdout` are the architectures that no setting of
    this seed searches on."""

    benchmark: Benchmark
    workshop: Workshop
    place: int
    label: str
    config: SearchConfig
    split: Split
    holdout: tuple[int, ...]


def plan(
    study: Study, benchmark: Benchmark, workshop: Workshop, seeds: Sequence[int], iterations: int, search_size: int = 50
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
    trials = []
    for seed in seeds:
        splits = {s.label: split_groups(benchmark.groups, s.search_size or search_size, seed) for s in kept}
        common = tuple(sorted(set.intersection(*(set(split.holdout) for split in splits.values()))))
        for place, setting in enumerate(kept):
            config = SearchConfig(**{"seed": seed, "iterations": iterations, "beam": 0, **setting.changes})
            trials.append(Trial(benchmark, workshop, place, setting.label, config, splits[setting.label], common))
    return sorted(trials, key=lambda trial: -trial.config.n_unary)


def run_study(
    trials: Sequence[Trial],
    jobs: int = 1,
    progress: Progress | None = None,
    on_trial: Callable[[Trial, Mapping[str, Any]], None] | None = None,
    done: Mapping[tuple[int, int], Mapping[str, Any]] | None = None,
) -> list[Mapping[str, Any]]:
    """The records of all trials, in `jobs` processes of one thread each; the same for any number, times apart.
    `done` are the records by (place, seed) that are known already; `on_trial` hears of the others.

    A record holds label, seed, search_size, evaluations, seconds (of processor time, in the search), rejections by
    rule, and `curve`: a point for each evaluation that brought a new champion, with its evaluations, seconds, text,
    fitness and held-out spearman and kendall (None where it has no value on some architecture).
    """
    if not trials:
        return []
    workshop = trials[0].workshop
    workshop.extract(trials[0].benchmark.architectures, progress)
    # Workers find everything in the bank but perhaps the second initialisation of the probes.
    alone = replace(workshop, devices=workshop.devices[:1])
    records = dict(done or {})
    tasks = [replace(t, workshop=alone) for t in trials if (t.place, t.config.seed) not in records]
    for trial, record in map_on_devices(_run_trial, tasks, ("cpu",) * min(jobs, len(tasks))) if tasks else ():
        records[trial.place, trial.config.seed] = record
        if on_trial:
            on_trial(trial, record)
    return [records[key] for key in sorted(records)]


class _Recorder:
    """Stands between search and evaluation, and writes down when which formula became champion.

    Of equals the simpler one is champion, then the first by text, as in the hall of fame.
    """

    def __init__(self, evaluate: Callable[[Sequence[Proxy]], Sequence[Evaluation]]) -> None:
        self._evaluate = evaluate
        self.evaluations = 0
        self.points: list[tuple[int, float, Evaluation]] = []
        self._start = time.process_time()

    @property
    def seconds(self) -> float:
        """Processor time since the beginning, which another process on the machine does not lengthen."""
        return time.process_time() - self._start

    def __call__(self, proxies: Sequence[Proxy]) -> list[Evaluation]:
        found = list(self._evaluate(proxies))
        for evaluation in found:
            self.evaluations += 1
            if evaluation.invalid is None and (not self.points or _order(evaluation) < _order(self.points[-1][2])):
                self.points.append((self.evaluations, self.seconds, evaluation))
        return found

    def grew(self, best: Champion | None, compared: int) -> None:
        """The champion after growth, which is the same if there was none."""
        self.evaluations = compared
        if best is not None and self.points and best.proxy != self.points[-1][2].proxy:
            evaluation = Evaluation(best.proxy, best.fitness, best.sign, b"")
            self.points.append((compared, self.seconds, evaluation))


def _order(evaluation: Evaluation) -> tuple[float, int, str]:
    return -evaluation.fitness, evaluation.proxy.complexity, evaluation.proxy.text


def _run_trial(trial: Trial, device: str) -> dict[str, Any]:
    """One search, then the held-out value of each champion it had on the way."""
    ground = prepare(trial.benchmark, trial.workshop, trial.split, trial.config)
    recorder = _Recorder(ground.evaluate)
    result = evolve(trial.config, recorder, ground.predict)
    finalists = ground.grow(trial.config, result.hall, recorder.evaluations)
    recorder.grew(finalists.hall.best, finalists.evaluations)
    seconds = recorder.seconds
    return {
        "label": trial.label,
        "seed": trial.config.seed,
        "search_size": len(trial.split.search),
        "holdout_size": len(trial.holdout),
        "evaluations": recorder.evaluations,
        "seconds": round(seconds, 3),
        "rejections": dict(sorted(result.state.rejections.items())),
        "curve": _curve(trial, recorder),
    }


def _curve(trial: Trial, recorder: _Recorder) -> list[dict[str, Any]]:
    scores = _whole_table(trial).scores([evaluation.proxy for _, _, evaluation in recorder.points])[
        :, list(trial.holdout)
    ]
    quality = trial.benchmark.quality[list(trial.holdout)]
    curve = []
    for (evaluations, seconds, evaluation), row in zip(recorder.points, scores, strict=True):
        point = {"evaluations": evaluations, "seconds": round(seconds, 3), "text": evaluation.proxy.text}
        rankable = np.isfinite(row).all() and row.min() < row.max()
        for name, statistic in (("spearman", spearman), ("kendall", kendall)):
            point[f"holdout_{name}"] = round(evaluation.sign * statistic(row, quality), 6) if rankable else None
        curve.append(point | {"sign": evaluation.sign, "fitness": evaluation.fitness})
    return curve


_tables: dict[tuple[str, str], BranchTable] = {}  # what this process has loaded: that of one benchmark


def _whole_table(trial: Trial) -> BranchTable:
    """The branch table of all architectures; a worker makes it once."""
    key = trial.workshop.bank.key.digest, trial.benchmark.digest
    if key not in _tables:
        _tables.clear()
        _tables[key] = branch_table(trial.benchmark.architectures, trial.workshop)
    return _tables[key]
