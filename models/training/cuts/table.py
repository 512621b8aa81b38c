"""The table of measured cuts: sums of losses per part of the text, which grow with every stage."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.spaces.llama.configuration import DEFAULTS
from models.training.noise import noise_ceiling
from storage.datum import Datum
from storage.files import BadFile, parse_json, read_limited

if TYPE_CHECKING:
    from models.training.cuts.plan import CutPlan

__all__ = ["MAX_TABLE", "LossTable"]

MAX_TABLE = 8 << 20  # bytes
DIGITS = 6
LOOKS = "calibration_few", "calibration_all"  # fields of the losses on calibration text


class LossTable:
    """`parts` (N, P): mean losses over the rounds so far; `looks`: mean losses on calibration text by field; `stages`:
    how many are in."""

    def __init__(self, task: Mapping[str, Any], plan: CutPlan, configs: Sequence[Mapping[str, Any]]) -> None:
        self.task, self.plan, self.configs, self.stages = task, plan, configs, 0
        self.parts = np.zeros((len(configs), plan.parts))
        self.looks = dict[str, np.ndarray]()

    @classmethod
    def resumed(
        cls, path: Path, task: Mapping[str, Any], plan: CutPlan, configs: Sequence[Mapping[str, Any]]
    ) -> LossTable:
        """The table at a path, or an empty one; BadFile if it is of another task."""
        table = cls(task, plan, configs)
        if not path.exists():
            return table
        lines = read_limited(path, MAX_TABLE, "a table of measured cuts").splitlines()
        header, *records = (
            Datum(f"{path}, line {i}", parse_json(line, f"{path}, line {i}", "a JSON object"), BadFile)
            for i, line in enumerate(lines, start=1)
        )
        if other := sorted(name for name, value in task.items() if header.mapping().get(name) != value):
            raise BadFile(f"{path}: measured with other values of {', '.join(other)}; restore them, or move it away")
        if len(records) != len(configs):
            raise BadFile(f"{path}: got {len(records)} subnets, wanted {len(configs)}; restore it, or move it away")
        table.stages = header["stages"]["done"].integer(0, len(plan.stages()))
        table.parts = np.array(
            [[item.number() for item in record["replicates"].items(plan.parts)] for record in records]
        )
        for name in LOOKS:
            if all(name in record.mapping() for record in records):
                table.looks[name] = np.array([record[name].number() for record in records])
        return table

    @property
    def rounds(self) -> int:
        """Number of measured rounds in the table."""
        return sum(kind == "measured" for kind, _ in self.plan.stages()[: self.stages])

    def add(self, stage: tuple[str, int], losses: Sequence[Sequence[float]]) -> None:
        """Losses (N, B) of all subnets on the windows of the next stage."""
        values, (kind, index) = np.array(losses), stage
        if kind == "measured":
            self.parts = (self.parts * self.rounds + values) / (self.rounds + 1)
        elif index == 0:
            self.looks[LOOKS[0]] = values.mean(axis=1)
        else:
            few, total = self.plan.few, self.plan.calibration
            self.looks[LOOKS[1]] = (self.looks[LOOKS[0]] * few + values.sum(axis=1)) / total
        self.stages += 1

    def id(self, index: int) -> str:
        """Id of a subnet; the whole network is the first."""
        return "whole" if index == 0 else f"cut-{index - 1:03d}"

    def content(self, name: str, stages: int) -> bytes:
        """The benchmark's bytes: a header, then a record per subnet; its loss is the mean over the parts."""
        records = [self._record(i) for i in range(len(self.configs))]
        ceiling = noise_ceiling(records, averaged=self.plan.parts)
        header = {
            "schema": 1,
            "name": name,
            "space": "llama",
            "metric": "loss",
            "higher_is_better": False,
            "unit": "nats per token of the measured text",
            **self.task,
            "stages": {"done": self.stages, "of": stages},
            "measured_tokens": self.rounds * self.plan.parts * (self.plan.length - 1),
            "noise": "disjoint parts of the measured text, one checkpoint",
            "noise_ceiling": ceiling.as_dict() if ceiling else None,
        }
        lines = [header, *records]
        return "".join(json.dumps(line, sort_keys=True, allow_nan=False) + "\n" for line in lines).encode()

    def _record(self, index: int) -> dict[str, Any]:
        parts = [round(float(value), DIGITS) for value in self.parts[index]]
        config = {k: v for k, v in self.configs[index].items() if DEFAULTS.get(k) != v}
        looks = {name: round(float(values[index]), DIGITS) for name, values in self.looks.items()}
        return {
            "id": self.id(index),
            "config": config,
            "loss": round(sum(parts) / len(parts), DIGITS),
            "replicates": parts,
            **looks,
        }
