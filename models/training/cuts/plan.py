"""Plan of measuring a checkpoint's subnets: which ones, on which text, stage by stage."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from models.architecture import Architecture
from models.prose import load_prose
from models.spaces.checkpoint import Checkpoint
from models.spaces.llama.checkpoint import whole_architecture
from models.spaces.llama.space import LlamaSpace
from models.spaces.llama.unit_order import unit_order
from models.tokenizer import TextTokenizer
from models.tokens import spread
from models.training.cuts.measuring import Cut, CutNetwork
from models.training.cuts.sample import CutSample, cut_config, subnets
from models.training.cuts.table import LossTable
from storage.errors import WrongInput

__all__ = ["SMOLLM2", "BadCampaign", "CutPlan", "CutSetting", "Windows", "windows_of"]


class BadCampaign(WrongInput):
    """A measuring that cannot begin or go on; the message says why."""


@dataclass(frozen=True)
class CutPlan:
    """Sizes of a plan: a sample of subnets; windows of `length` tokens, `rounds` of them in each of `parts` disjoint
    parts of the measured text; `calibration` windows of the other text, the first `few` of them for the cheap look."""

    sample: CutSample
    length: int = 128
    parts: int = 5
    rounds: int = 26
    calibration: int = 16
    few: int = 2
    order: str = "activation"

    def stages(self) -> list[tuple[str, int]]:
        """Order of the stages: a round, the cheap look, a round, the rest of the calibration text, all other rounds."""
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


def windows_of(tokenizer: TextTokenizer, plan: CutPlan) -> Windows:
    """Evenly spread windows of both texts."""
    prose = load_prose()
    seen = spread(tokenizer.encode(prose.calibration), plan.calibration, plan.length, "calibration text")
    unseen = torch.tensor(
        spread(tokenizer.encode(prose.measured), plan.rounds * plan.parts, plan.length, "measured text")
    )
    # Part p is the p-th fifth of the windows, so that a round has one of each.
    return Windows(torch.tensor(seen), unseen.view(plan.parts, plan.rounds, plan.length).transpose(0, 1).contiguous())


@dataclass(frozen=True, eq=False)
class CutSetting:
    """Objects of a plan: the checkpoint, the windows of text, the subnets with the root of each, the whole network
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

    def below(self, root: int) -> list[Cut]:
        """The subnets below a root of the tree; the whole network counts to the first."""
        return [cut for cut, own in zip(self.cuts, self.roots, strict=True) if own == root]

    def table(self, path: Path) -> LossTable:
        """The table at a path, or an empty one."""
        cut = [cut_config(self.whole.config, cut, self.plan.order) for cut in self.cuts[1:]]
        return LossTable.resumed(path, self.task, self.plan, [dict(self.whole.config), *cut])

    def network(self) -> CutNetwork:
        """The whole network, ready to be cut."""
        parts = LlamaSpace().parts(self.whole, 0, weights=self.weights)
        return CutNetwork(parts, unit_order(self.plan.order, parts, self.windows.calibration))


def _task(plan: CutPlan, weights: Checkpoint, tokenizer: TextTokenizer) -> dict[str, Any]:
    """Everything that decides a figure."""
    return {
        "plan": json.loads(json.dumps(asdict(plan))),
        "checkpoint": weights.digest,
        "tokenizer": tokenizer.digest,
        "text": {"name": f"pydoc_data.topics of Python {platform.python_version()}", "digest": load_prose().digest},
        "torch": torch.__version__,
    }
