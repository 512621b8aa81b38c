"""smollm2-subnets: subnets of SmolLM2-135M, each measured as it is cut, on prose that every Python installation has.

All subnets are measured on one stage of the text, then on the next, so that the table is whole after every stage and
only grows more exact. What is finished is never computed again: a later run continues from the table, or, within a
stage, from the log beside it.
"""

from __future__ import annotations

import json
import platform
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from engine.threads import one_thread
from models.architecture import Architecture
from models.prose import load_prose
from models.spaces.checkpoint import Checkpoint
from models.spaces.llama import LlamaSpace
from models.spaces.llama_checkpoint import whole_architecture
from models.spaces.unit_order import unit_order
from models.tokenizer import TextTokenizer
from models.tokens import spread
from models.training.cuts.measuring import Cut, CutNetwork
from models.training.cuts.sample import CutSample, cut_config, subnets
from models.training.cuts.table import CutTable
from models.training.verification import ROUNDING, Check, Verification
from storage.errors import ZcpError
from storage.files import write_atomic
from storage.log import RecordLog

__all__ = [
    "SMOLLM2", "BadCampaign", "CutPlan", "CutProgress", "CutSetting", "Windows", "measure_cuts", "verify_cuts",
    "windows_of",
]  # fmt: skip


class BadCampaign(ZcpError, ValueError):
    """A measuring that cannot begin or go on; the message says why."""


@dataclass(frozen=True)
class CutPlan:
    """What is measured: a sample of subnets; windows of `length` tokens, `rounds` of them in each of `parts` disjoint
    parts of the measured text; `calibration` windows of the other text, the first `few` of them for the cheap look."""

    sample: CutSample
    length: int = 128
    parts: int = 5
    rounds: int = 26
    calibration: int = 16
    few: int = 2
    order: str = "activation"

    def stages(self) -> list[tuple[str, int]]:
        """What is done first: a round, the cheap look, a round, the rest of the calibration text, all other rounds."""
        looks = [("measured", 0), ("calibration", 0), ("measured", 1), ("calibration", 1)]
        return [*looks, *(("measured", r) for r in range(2, self.rounds))][: self.rounds + 2]


# Nats that dropping a block alone adds to the loss of SmolLM2 on the first calibration window.
COST = (
    9.145, 3.097, 0.578, 0.2, 0.045, 0.115, 0.211, 0.132, 0.793, 0.237, 0.158, 2.115, 0.008, 0.008, 0.095, 0.296, 0.122,
    0.134, 0.325, 0.226, 0.385, 0.153, 0.258, 0.263, 0.69, 0.137, 0.189, 0.208, 1.413, 3.19,
)  # fmt: skip
LEVELS = (0.98, 0.96, 0.94, 0.92, 0.9, 0.88, 0.86, 0.83, 0.8, 0.76, 0.71, 0.64, 0.54)
SMOLLM2 = CutPlan(CutSample(cost=COST, levels=LEVELS))


@dataclass(frozen=True)
class Windows:
    """Token ids of both texts: `calibration` (C, T) and `measured` (rounds, parts, T)."""

    calibration: torch.Tensor
    measured: torch.Tensor

    def of_stage(self, stage: tuple[str, int], few: int) -> torch.Tensor:
        """The windows (B, T) of a stage."""
        kind, index = stage
        if kind == "measured":
            return self.measured[index]
        return self.calibration[:few] if index == 0 else self.calibration[few:]


@dataclass(frozen=True)
class CutProgress:
    """A root's subnets are measured on a stage; `seconds_left` of this stage is an estimate."""

    stage: int
    stages: int
    done: int
    total: int
    loss: float
    seconds_left: float


def windows_of(tokenizer: TextTokenizer, plan: CutPlan) -> Windows:
    """Evenly spread windows of both texts."""
    prose = load_prose()
    seen = spread(tokenizer.encode(prose.calibration), plan.calibration, plan.length, "calibration text")
    unseen = torch.tensor(
        spread(tokenizer.encode(prose.measured), plan.rounds * plan.parts, plan.length, "measured text")
    )
    # Part p is the p-th fifth of the windows, so that a round has one of each.
    return Windows(torch.tensor(seen), unseen.view(plan.parts, plan.rounds, plan.length).transpose(0, 1).contiguous())


def measure_cuts(
    path: Path, weights: Checkpoint, work: Path, plan: CutPlan = SMOLLM2, stages: int | None = None,
    on_progress: Callable[[CutProgress], None] | None = None, should_stop: Callable[[], bool] = lambda: False,
) -> Path:  # fmt: skip
    """Measure the subnets of a plan until `stages` of its stages are done, and write the table to `path` after each.
    The log of the stage in progress is in the folder `work`. KeyboardInterrupt once it `should_stop`."""
    setting, todo = CutSetting.of(weights, plan), plan.stages()[:stages]
    table = setting.table(path)
    with one_thread(flush_denormals=True):
        network = setting.network()
        for number in range(table.stages, len(todo)):
            with _log(work / f"{path.stem}.partial.jsonl", setting.task, number) as log:
                stage = _Stage(number, len(plan.stages()), log, on_progress, should_stop)
                losses = stage.run(network, setting, setting.windows.of_stage(todo[number], plan.few))
            table.add(todo[number], losses)
            write_atomic(path, table.content(path.stem, len(plan.stages())))
    return path


def verify_cuts(
    path: Path, weights: Checkpoint, sample: int = 5, seed: int = 0, plan: CutPlan = SMOLLM2
) -> Verification:
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


@dataclass(frozen=True, eq=False)
class CutSetting:
    """What a plan is about: the checkpoint, the windows of text, the subnets with the root of each, the whole network
    first, and `task`, which names all that decides a figure."""

    plan: CutPlan
    weights: Checkpoint
    whole: Architecture
    windows: Windows
    cuts: Sequence[Cut]
    roots: Sequence[int]
    task: Mapping[str, Any]

    @classmethod
    def of(cls, weights: Checkpoint, plan: CutPlan) -> CutSetting:
        """The setting of a plan on a checkpoint; BadCampaign or BadTokenizer if it is not one of the plan."""
        tokenizer = TextTokenizer.of(weights.folder)
        if tokenizer is None:
            raise BadCampaign(f"{weights.folder}: has no tokenizer.json, wanted the tokenizer of the checkpoint")
        whole = whole_architecture(weights)
        if (depth := whole.config["n_layer"]) != len(plan.sample.cost):
            raise BadCampaign(
                f"{weights.folder}: got {depth} blocks, wanted {len(plan.sample.cost)}, those of the plan"
            )
        tokenizer.check(whole.config["n_token"])
        found = subnets(plan.sample, whole.config)
        full = whole.config["d_ffn"][0], whole.config["n_kv_head"][0]
        cuts = [(full,) * depth, *(subnet.cut for subnet in found)]
        roots, task = [0, *(subnet.root for subnet in found)], _task(plan, weights, tokenizer)
        return cls(plan, weights, whole, windows_of(tokenizer, plan), cuts, roots, task)

    def table(self, path: Path) -> CutTable:
        """The table at a path, or an empty one."""
        cut = [cut_config(self.whole.config, cut, self.plan.order) for cut in self.cuts[1:]]
        return CutTable.resumed(path, self.task, self.plan, [dict(self.whole.config), *cut])

    def network(self) -> CutNetwork:
        """The whole network, ready to be cut."""
        parts = LlamaSpace().parts(self.whole, 0, weights=self.weights)
        return CutNetwork(parts, unit_order(self.plan.order, parts, self.windows.calibration))


def _log(path: Path, task: Mapping[str, Any], stage: int) -> AbstractContextManager[RecordLog]:
    """The log, with what was measured of a stage."""
    return RecordLog.open(path, task, most=10**6, wanted=lambda record: record["stage"] == stage)


class _Stage:
    """All subnets on the windows of one stage, root by root."""

    def __init__(
        self, number: int, stages: int, log: RecordLog, on_progress: Callable[[CutProgress], None] | None,
        should_stop: Callable[[], bool],
    ) -> None:  # fmt: skip
        self.number, self.stages, self.log = number, stages, log
        self.on_progress, self.should_stop = on_progress, should_stop
        self.done = {record["root"]: record["losses"] for record in log.records}

    def run(self, network: CutNetwork, setting: CutSetting, tokens: torch.Tensor) -> list[list[float]]:
        """The loss of every subnet on every window, (N, B)."""
        start, new, names = time.monotonic(), 0, list(dict.fromkeys(setting.roots))
        for root in names:
            if root in self.done:
                continue
            if self.should_stop():
                raise KeyboardInterrupt
            members = [cut for cut, own in zip(setting.cuts, setting.roots, strict=True) if own == root]
            losses = [[round(loss, 6) for loss in row] for row in network.losses(members, tokens)]
            self.log.append({"stage": self.number, "root": root, "losses": losses})
            self.done[root], new = losses, new + 1
            if self.on_progress:
                left = (time.monotonic() - start) / new * (len(names) - len(self.done))
                mean = sum(map(sum, losses)) / (len(losses) * len(tokens))
                self.on_progress(CutProgress(self.number, self.stages, len(self.done), len(names), mean, left))
        rows = {root: iter(self.done[root]) for root in names}
        return [next(rows[root]) for root in setting.roots]


def _task(plan: CutPlan, weights: Checkpoint, tokenizer: TextTokenizer) -> dict[str, Any]:
    """What decides every figure."""
    return {
        "plan": json.loads(json.dumps(asdict(plan))),
        "checkpoint": weights.digest,
        "tokenizer": tokenizer.digest,
        "text": {"name": f"pydoc_data.topics of Python {platform.python_version()}", "digest": load_prose().digest},
        "torch": torch.__version__,
    }
