"""The trials of a study: each is one search, done in a process of its own. Held-out values are of sketch scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from engine.crew import map_on_devices
from fitness.evaluation import Evaluation
from fitness.features.workshop import Progress
from fitness.ranking import kendall, spearman
from fitness.tables.branches import BranchTable
from fitness.tables.table_file import branch_table
from gp.benchmark_search import PreparedSearch
from gp.evolution.evolve import Step
from gp.problem import SearchProblem, probed, second_initialisation
from gp.studies.plan import Trial
from gp.studies.transfer import transferred
from models.architecture import Architecture

__all__ = ["run_study"]


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
    fitness and held-out spearman and kendall (None where it has no value on some architecture). One that leaves its
    benchmark out has its name in `left_out`, and `tau` and `chosen` of all rankings of it (`transferred`).
    """
    records = dict(done or {})
    tasks = [trial.alone() for trial in trials if (trial.place, trial.config.seed) not in records]
    _fill_banks(trials, tasks, progress)
    for trial, record in map_on_devices(_run_trial, tasks, ("cpu",) * min(jobs, len(tasks))) if tasks else ():
        records[trial.place, trial.config.seed] = record
        if on_trial:
            on_trial(trial, record)
    return [records[key] for key in sorted(records)]


def _fill_banks(trials: Sequence[Trial], tasks: Sequence[Trial], progress: Progress | None) -> None:
    """Workers find everything in the banks, the second initialisation of the probes as well."""
    known = {(c.benchmark.digest, c.workshop.bank.key.digest): c for t in trials for c in t.everything}
    probes: dict[tuple[str, str], list[Architecture]] = {key: [] for key in known}
    for case in (case for task in tasks if task.config.pps for case in task.cases):
        probes[case.benchmark.digest, case.workshop.bank.key.digest] += probed(case.seen)
    for key, case in known.items():
        case.workshop.extract(case.benchmark.architectures, progress)
        second_initialisation(case.workshop).extract(probes[key], progress)


class _Recorder:
    """Hears of every step of a search and writes down when which formula became champion.

    `points` are the champions one after the other (`found_at`: formulas compared until then), each with the seconds it
    took.
    """

    def __init__(self) -> None:
        self.points: list[tuple[Evaluation, float]] = []
        self._start = time.process_time()

    @property
    def seconds(self) -> float:
        """Processor time since the beginning, which another process on the machine does not lengthen."""
        return time.process_time() - self._start

    def __call__(self, step: Step) -> None:
        best = step.state.hall.best
        if best is not None and (not self.points or best.order < self.points[-1][0].order):
            self.points.append((best, self.seconds))


def _run_trial(trial: Trial, device: str) -> dict[str, Any]:
    """One search, then the held-out value of each champion it had on the way."""
    problem = SearchProblem.of(trial.cases, trial.config)
    recorder = _Recorder()
    result = PreparedSearch.of(problem, trial.config).evolve(recorder)
    seconds = recorder.seconds
    return _beside(trial, result.hall.champions[: trial.config.hall_size]) | {
        "label": trial.label,
        "seed": trial.config.seed,
        "search_size": sum(len(case.split.search) for case in trial.cases),
        "holdout_size": len(trial.holdout),
        "evaluations": result.state.evaluations,
        "seconds": round(seconds, 3),
        "rejections": dict(sorted(result.state.rejections.items())),
        "curve": _curve(trial, recorder),
    }


def _beside(trial: Trial, hall: Sequence[Evaluation]) -> dict[str, Any]:
    """All rankings of the benchmark that the trial leaves out."""
    if not trial.leaves_out:
        return {}
    left = trial.tested
    return {"left_out": left.benchmark.name, **transferred(left, trial.cases, hall, trial.config)}


def _curve(trial: Trial, recorder: _Recorder) -> list[dict[str, Any]]:
    held = list(trial.holdout)
    scores = _whole_table(trial).scores([champion.proxy for champion, _ in recorder.points])[:, held]
    quality = trial.tested.benchmark.quality[held]
    curve = []
    for (champion, seconds), row in zip(recorder.points, scores, strict=True):
        point = {"evaluations": champion.found_at, "seconds": round(seconds, 3), "text": champion.proxy.text}
        rankable = np.isfinite(row).all() and row.min() < row.max()
        for name, statistic in (("spearman", spearman), ("kendall", kendall)):
            point[f"holdout_{name}"] = round(champion.sign * statistic(row, quality), 6) if rankable else None
        curve.append(point | {"sign": champion.sign, "fitness": champion.fitness})
    return curve


_tables: dict[tuple[str, str], BranchTable] = {}  # what this process has loaded: that of one benchmark


def _whole_table(trial: Trial) -> BranchTable:
    """The branch table of all architectures; a worker makes it once."""
    benchmark, workshop = trial.tested.benchmark, trial.tested.workshop
    key = workshop.bank.key.digest, benchmark.digest
    if key not in _tables:
        _tables.clear()
        _tables[key] = branch_table(benchmark.architectures, workshop)
    return _tables[key]
