"""smollm2-subnets: subnets of SmolLM2-135M, each measured as it is cut, on prose that every Python installation has.

All subnets are measured on one stage of the text, then on the next, so that the table is whole after every stage and
only grows more exact. What is finished is never computed again: a later run continues from the table, or, within a
stage, from the log beside it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from engine.crew import map_on_devices
from engine.threads import one_thread
from models.spaces.checkpoint import Checkpoint
from models.training.cuts.measuring import CutNetwork
from models.training.cuts.plan import SMOLLM2, CutPlan, CutSetting
from models.training.verification import ROUNDING, Check, Verification
from storage.files import write_atomic
from storage.log import RecordLog

__all__ = ["CutProgress", "RootTask", "measure_cuts", "measure_root", "verify_cuts"]


@dataclass(frozen=True)
class CutProgress:
    """A root's subnets are measured on a stage; `seconds_left` of this stage is an estimate."""

    stage: int
    stages: int
    done: int
    total: int
    loss: float
    seconds_left: float


def measure_cuts(
    path: Path,
    weights: Checkpoint,
    work: Path,
    plan: CutPlan = SMOLLM2,
    stages: int | None = None,
    jobs: int = 1,
    niceness: int = 0,
    on_progress: Callable[[CutProgress], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Measure the subnets of a plan until `stages` of its stages are done, in `jobs` processes, and write the table to
    `path` after each. The log of the stage in progress is in the folder `work`. KeyboardInterrupt once it
    `should_stop`, after the roots in progress."""
    setting, todo = CutSetting.of(weights, plan), plan.stages()[:stages]
    table = setting.table(path)
    for number in range(table.stages, len(todo)):
        with _log(work / f"{path.stem}.partial.jsonl", setting.task, number) as log:
            losses = _Stage(number, setting, log, on_progress, should_stop).run(jobs, niceness)
        table.add(todo[number], losses)
        write_atomic(path, table.content(path.stem, len(plan.stages())))
    return path


def verify_cuts(path: Path, weights: Checkpoint, sample: int, seed: int, plan: CutPlan = SMOLLM2) -> Verification:
    """`sample` subnets of a table measured again on every round of text that is in it; only rounding may differ.
    BadFile if the table is of another plan, checkpoint or text."""
    setting = CutSetting.of(weights, plan)
    table = setting.table(path)
    chosen = random.Random(seed).sample(range(len(setting.cuts)), min(sample, len(setting.cuts)))
    rounds = setting.windows.measured[: table.rounds]
    with one_thread(flush_denormals=True):
        found = setting.network().losses([setting.cuts[i] for i in chosen], rounds.flatten(0, 1))
    checks = [
        Check(table.id(i), float(table.parts[i].mean()), sum(losses) / len(losses), ROUNDING)
        for i, losses in zip(chosen, found, strict=True)
    ]
    return Verification(True, tuple(sorted(checks, key=lambda check: check.id)))


def _log(path: Path, task: Mapping[str, Any], stage: int) -> AbstractContextManager[RecordLog]:
    """The log, with what was measured of a stage."""
    return RecordLog.open(path, task, most=10**6, wanted=lambda record: record["stage"] == stage)


@dataclass(frozen=True)
class RootTask:
    """A task of a worker: the subnets below one root of a plan's tree, on the windows of one stage."""

    weights: Checkpoint
    plan: CutPlan
    stage: int
    root: int


def measure_root(task: RootTask, device: str) -> list[list[float]]:
    """The loss of each subnet below a root on each window of a stage, rounded as it will be recorded."""
    with one_thread(flush_denormals=True):
        setting, network = _prepared(task)
        tokens = setting.windows.of_stage(task.plan.stages()[task.stage], task.plan.few)
        return [[round(loss, 6) for loss in row] for row in network.losses(setting.below(task.root), tokens)]


_kept: dict[tuple[str, CutPlan], tuple[CutSetting, CutNetwork]] = {}


def _prepared(task: RootTask) -> tuple[CutSetting, CutNetwork]:
    """The setting and the network of a task, which a worker makes once."""
    key = task.weights.digest, task.plan
    if key not in _kept:
        _kept.clear()
        setting = CutSetting.of(task.weights, task.plan)
        _kept[key] = setting, setting.network()
    return _kept[key]


class _Stage:
    """All subnets on the windows of one stage, root by root."""

    def __init__(
        self,
        number: int,
        setting: CutSetting,
        log: RecordLog,
        on_progress: Callable[[CutProgress], None] | None,
        should_stop: Callable[[], bool],
    ) -> None:
        self.number, self.setting, self.log = number, setting, log
        self.on_progress, self.should_stop = on_progress, should_stop
        self.done: dict[int, list[list[float]]] = {record["root"]: record["losses"] for record in log.records}

    def run(self, jobs: int, niceness: int) -> list[list[float]]:
        """The loss of every subnet on every window, (N, B); KeyboardInterrupt if it should stop before."""
        setting, start, begun = self.setting, time.monotonic(), len(self.done)
        names = list(dict.fromkeys(setting.roots))
        left = (root for root in names if root not in self.done)
        tasks = (RootTask(setting.weights, setting.plan, self.number, root) for root in left)
        working = takewhile(lambda task: not self.should_stop(), tasks)
        for task, losses in map_on_devices(measure_root, working, ("cpu",) * jobs, niceness):
            self.log.append({"stage": self.number, "root": task.root, "losses": losses})
            self.done[task.root] = losses
            if self.on_progress:
                seconds = (time.monotonic() - start) / (len(self.done) - begun) * (len(names) - len(self.done))
                mean = sum(map(sum, losses)) / sum(map(len, losses))
                stages = len(setting.plan.stages())
                self.on_progress(CutProgress(self.number, stages, len(self.done), len(names), mean, seconds))
        if len(self.done) < len(names):
            raise KeyboardInterrupt
        rows = {root: iter(self.done[root]) for root in names}
        return [next(rows[root]) for root in setting.roots]
