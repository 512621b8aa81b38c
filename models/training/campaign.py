"""An embedded benchmark: sample, train in worker processes, resume after any interruption."""

from __future__ import annotations

import json
import math
import platform
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch

from engine.crew import map_on_devices
from models.architecture import Architecture
from models.spaces import SPACES
from models.training.corpus import bigram_loss, load_corpus
from models.training.learning import Budget, Learned, train_one, validation_windows
from models.training.noise import noise_ceiling
from models.training.recipes import RECIPES, Recipe
from storage.files import write_atomic
from storage.log import RecordLog

__all__ = [
    "TRUTH_SEED", "Campaign", "FinishedRun", "Runs", "Task", "header_of", "record_of", "run_key", "train", "work",
]  # fmt: skip

TRUTH_SEED = 0  # the seed whose loss is the ground truth of every architecture
DIGITS = 6  # decimals of recorded losses


@dataclass(frozen=True)
class Task:
    """A run that is to be done."""

    architecture: Architecture
    seed: int
    budget: Budget


def work(task: Task, device: str) -> tuple[Learned, float]:
    """One run, rounded as it will be recorded, and its wall-clock seconds."""
    start = time.perf_counter()
    run = train_one(task.architecture, task.seed, task.budget, load_corpus())
    rounded = Learned(round(run.loss, DIGITS), tuple(round(value, DIGITS) for value in run.curve))
    return rounded, time.perf_counter() - start


@dataclass(frozen=True)
class FinishedRun:
    """A finished run: `done` of `total` are on the disk; `seconds_left` is an estimate (None before the first run)."""

    done: int
    total: int
    id: str
    seed: int
    loss: float
    seconds: float
    seconds_left: float | None


def train(
    path: Path,
    *,
    work: Path | None = None,
    jobs: int = 2,
    niceness: int = 0,
    recipe: Recipe = RECIPES["gpt2-mini"],
    count: int | None = None,
    replicated: int | None = None,
    seeds: int | None = None,
    budget: Budget | None = None,
    chosen: Sequence[Architecture] = (),
    on_progress: Callable[[FinishedRun], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Train the architectures of a recipe, or `count` drawn as they are, `replicated` of them with `seeds` seeds; write
    the benchmark to `path`. Where architectures are `chosen`, it is these that are trained, each with all seeds.

    Finished runs go to `<stem>.partial.jsonl` in the folder `work` (default: beside `path`) and are never
    repeated; wall-clock seconds go to `<stem>.seconds.jsonl`, so that `path` is the same to the byte however
    often the training was stopped. OtherTask if the partial file belongs to another task, BadFile if another process
    writes it; KeyboardInterrupt after the runs in progress once it `should_stop`.
    """
    budget, work = budget or Budget(), work or path.parent
    architectures = list(chosen) or list(recipe.architectures(count))
    count, seeds = len(architectures), recipe.seeds if seeds is None else seeds
    replicated = count if chosen else recipe.replicated if replicated is None else replicated
    task = _task_header(budget, count, replicated, seeds, recipe.space)
    if chosen:
        task["chosen"] = [architecture.digest for architecture in architectures]
    total = count + min(replicated, count) * (seeds - 1)
    with (
        RecordLog.open(work / f"{path.stem}.partial.jsonl", task, most=total) as log,
        RecordLog.open(
            work / f"{path.stem}.seconds.jsonl", {"unit": "seconds of one process"}, most=2 * total
        ) as clock,
    ):
        campaign = Campaign(log, clock, total, budget.steps, on_progress, should_stop)
        campaign.finish(_mixed([Task(a, TRUTH_SEED, budget) for a in architectures]), jobs, niceness)
        repeated = _spread_over_quality(architectures, campaign.of_budget(budget), replicated)
        campaign.finish(_mixed([Task(a, s, budget) for a in repeated for s in range(seeds)]), jobs, niceness)
        runs = campaign.of_budget(budget)
        write_atomic(path, _assemble(path.stem, architectures, repeated, seeds, runs, task))
    return path


Runs = dict[tuple[str, int, int], Learned]
"""Finished runs by digest of the architecture, steps of the budget, and seed."""


def run_key(task: Task) -> tuple[str, int, int]:
    """Key of a finished run."""
    return task.architecture.digest, task.budget.steps, task.seed


class Campaign:
    """The finished runs, and the function that hears of each new one."""

    def __init__(
        self,
        log: RecordLog,
        clock: RecordLog,
        total: int,
        steps: int,  # of a record that does not say how many
        on_progress: Callable[[FinishedRun], None] | None,
        should_stop: Callable[[], bool],
    ) -> None:
        self.runs: Runs = {
            (r["architecture"], r.get("steps", steps), r["seed"]): Learned(r["loss"], tuple(r["curve"]))
            for r in log.records
        }
        self._log, self._clock, self._total, self._on_progress = log, clock, total, on_progress
        self._should_stop, self._start, self._new = should_stop, time.monotonic(), 0

    def of_budget(self, budget: Budget) -> Mapping[tuple[str, int], Learned]:
        """Finished runs with as many steps, by digest of the architecture and seed."""
        return {(digest, seed): run for (digest, steps, seed), run in self.runs.items() if steps == budget.steps}

    def left(self, tasks: Sequence[Task]) -> list[Task]:
        """The runs that are not finished yet."""
        return [task for task in tasks if run_key(task) not in self.runs]

    def finish(self, tasks: Sequence[Task], jobs: int, niceness: int) -> None:
        """Run what is not finished yet, in order; KeyboardInterrupt where it was asked to stop before the last."""
        begun = takewhile(lambda task: not self._should_stop(), self.left(tasks))
        for task, (run, seconds) in map_on_devices(work, begun, ("cpu",) * jobs, niceness):
            self._record(task, run, seconds)
        if self.left(tasks):
            raise KeyboardInterrupt

    def _record(self, task: Task, run: Learned, seconds: float) -> None:
        self._new += 1
        id, steps = task.architecture.id, task.budget.steps
        name = {"architecture": task.architecture.digest, "id": id, "seed": task.seed, "steps": steps}
        self._clock.append({**name, "seconds": round(seconds, 3)})
        self._log.append({**name, "loss": run.loss, "curve": run.curve})
        self.runs[run_key(task)] = run
        if self._on_progress is not None:
            left = (time.monotonic() - self._start) / self._new * (self._total - len(self.runs))
            self._on_progress(FinishedRun(len(self.runs), self._total, id, task.seed, run.loss, seconds, left))


def _mixed(tasks: Sequence[Task]) -> list[Task]:
    """In an order that mixes sizes, so that the time left is telling."""
    return random.Random(0).sample(tasks, len(tasks))


def _spread_over_quality(
    architectures: Sequence[Architecture], runs: Mapping[tuple[str, int], Learned], replicated: int
) -> list[Architecture]:
    """Architectures at evenly spaced ranks of the loss, the best and the worst included."""
    ranked = sorted(architectures, key=lambda a: (runs[a.digest, TRUTH_SEED].loss, a.id))
    last, size = len(ranked) - 1, min(replicated, len(ranked))
    return [ranked[round(last * k / max(size - 1, 1))] for k in range(size)]


def _task_header(budget: Budget, count: int, replicated: int, seeds: int, space: str) -> dict[str, Any]:
    """Settings that affect every figure: runs of another budget, text or torch must not be mixed."""
    return {
        "budget": asdict(budget),
        "corpus": load_corpus().digest,
        "count": count,
        "replicated": replicated,
        "seeds": seeds,
        "space": space,
        "torch": torch.__version__,
    }


def _assemble(
    name: str,
    architectures: Sequence[Architecture],
    chosen: Sequence[Architecture],
    seeds: int,
    runs: Mapping[tuple[str, int], Learned],
    task: Mapping[str, Any],
) -> bytes:
    """The benchmark's bytes: header, then one record per architecture in the order of sampling."""
    records = [record_of(a, runs[a.digest, TRUTH_SEED]) for a in architectures]
    by_digest = dict(zip((a.digest for a in architectures), records, strict=True))
    for a in chosen if seeds > 1 else ():
        by_digest[a.digest]["replicates"] = [runs[a.digest, seed].loss for seed in range(seeds)]
    lines = [header_of(name, records, task), *records]
    return "".join(json.dumps(line, sort_keys=True, allow_nan=False) + "\n" for line in lines).encode()


def record_of(architecture: Architecture, run: Learned) -> dict[str, Any]:
    """The line of a benchmark that a finished run is."""
    return {
        "id": architecture.id,
        "config": dict(architecture.config),
        "loss": run.loss,
        "bits_per_byte": round(run.loss / math.log(2), DIGITS),
        "curve": run.curve,
        "parameters": asdict(SPACES[architecture.space].parameters(architecture)),
        "seed": TRUTH_SEED,
    }


def header_of(name: str, records: Sequence[Mapping[str, Any]], task: Mapping[str, Any]) -> dict[str, Any]:
    """The first line of a benchmark that was trained: what decided its figures, and how noisy they are."""
    budget, corpus = Budget(**task["budget"]), load_corpus()
    ceiling = noise_ceiling(records)
    windows = validation_windows(corpus, budget.final_windows, budget.length)
    return {
        "schema": 1,
        "name": name,
        "space": task["space"],
        "metric": "loss",
        "higher_is_better": False,
        "unit": "nats per byte of validation text",
        "budget": task["budget"],
        "checkpoint_steps": budget.checkpoint_steps(),
        "replicate_seeds": list(range(task["seeds"])),
        "corpus": {
            "text": f"source of the standard library of Python {platform.python_version()}",
            "digest": corpus.digest,
            "train_bytes": len(corpus.train),
            "validation_bytes": len(corpus.validation),
        },
        "torch": task["torch"],
        "bigram_loss": round(bigram_loss(corpus, windows), DIGITS),
        "noise_ceiling": ceiling.as_dict() if ceiling else None,
    }
