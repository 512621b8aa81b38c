"""A benchmark checked against its own claim: some of its architectures are trained again."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load

from engine.crew import map_on_devices
from models.architecture import Architecture
from models.spaces import SPACES
from models.spaces.llama.weights import MAX_WEIGHTS
from models.training.campaign import Task, work
from models.training.corpus import load_corpus
from models.training.elastic import ELASTIC, part_losses
from models.training.learning import Budget
from models.training.noise import NoiseCeiling
from models.training.recipes import RECIPES
from storage.datum import Datum, is_whole
from storage.files import BadFile, parse_json, read_limited

__all__ = [
    "ROUNDING",
    "TOLERATED_SDS",
    "Check",
    "Verification",
    "check_trainable",
    "file_lines",
    "verify_by_measuring",
    "verify_by_training",
]

TOLERATED_SDS = 4.0
ROUNDING = 1e-4  # nats per byte, between machines
MAX_FILE = 16 << 20  # bytes


@dataclass(frozen=True)
class Check:
    """One architecture trained again: |measured - recorded| must not exceed `allowed`, nats per byte."""

    id: str
    recorded: float
    measured: float
    allowed: float

    @property
    def agrees(self) -> bool:
        return abs(self.measured - self.recorded) <= self.allowed


@dataclass(frozen=True)
class Verification:
    """`corpus_matches` is False under another Python version, whose text, and so whose losses, differ."""

    corpus_matches: bool
    checks: tuple[Check, ...]

    @property
    def agrees(self) -> bool:
        return all(check.agrees for check in self.checks)


def verify_by_training(path: Path, sample: int = 5, seed: int = 0, *, jobs: int = 2) -> Verification:
    """`sample` architectures of the benchmark trained again, drawn by `seed`, and compared within the noise.

    A difference of 4 standard deviations of the replicate noise is allowed: on the same machine it is 0,
    elsewhere rounding differs and training amplifies it. BadFile if the file does not say how it was trained.
    """
    header, records = _read(path)
    budget, ceiling = _budget(header["budget"]), _noise(header["noise_ceiling"])
    corpus = header["corpus"]["digest"].text()
    drawn = random.Random(seed).sample(records, min(sample, len(records)))
    space = header["space"].text()
    described = [(_architecture(record, space, budget), record) for record in drawn]
    recorded = {architecture.digest: record for architecture, record in described}
    losses = {digest: record["loss"].number() for digest, record in recorded.items()}
    allowed = {digest: _allowed(ceiling, loss, header["noise_ceiling"]) for digest, loss in losses.items()}
    tasks = [Task(_architecture(r, space, budget), r["seed"].integer(), budget) for r in recorded.values()]
    checks = []
    for task, (run, _) in map_on_devices(work, tasks, ("cpu",) * jobs):
        digest = task.architecture.digest
        checks.append(Check(task.architecture.id, losses[digest], run.loss, allowed[digest]))
    return Verification(corpus == load_corpus().digest, tuple(sorted(checks, key=lambda check: check.id)))


def verify_by_measuring(path: Path, sample: int = 5, seed: int = 0) -> Verification:
    """`sample` subnets of the file measured again with the weights beside it; only rounding may differ. BadFile if it
    is of another plan than ours."""
    header, records = file_lines(path)
    if header["plan"].value != json.loads(json.dumps(asdict(ELASTIC))):
        raise BadFile(f"{path}: got another plan than this version's, wanted a file that this version made")
    weights = path.with_suffix(".safetensors")
    stored = load(read_limited(weights, MAX_WEIGHTS, "the weights of a supernet"))
    checks = []
    for record in random.Random(seed).sample(records, min(sample, len(records))):
        architecture = SPACES["llama"].architecture(record["id"].text(), record["config"].mapping())
        losses = part_losses(architecture, stored)
        checks.append(Check(architecture.id, record["loss"].number(), sum(losses) / len(losses), ROUNDING))
    matches = header["corpus"].text() == load_corpus().digest
    return Verification(matches, tuple(sorted(checks, key=lambda check: check.id)))


def _read(path: Path) -> tuple[Datum, list[Datum]]:
    header, records = file_lines(path)
    if "budget" not in header.mapping():
        raise BadFile(f"{path}: no training budget in line 1, wanted a benchmark trained by this toolkit")
    spaces = [recipe.space for recipe in RECIPES.values()]
    if header["space"].value not in spaces:
        raise header["space"].refuse(f"{' or '.join(spaces)}, whose architectures can be trained here")
    return header, records


def file_lines(path: Path) -> tuple[Datum, list[Datum]]:
    """The header of a file in our own layout, and its records."""
    lines = read_limited(path, MAX_FILE, "a trained benchmark").splitlines() or [b""]
    places = [(f"{path}, line {i}", line) for i, line in enumerate(lines, start=1) if i == 1 or line.strip()]
    values = [Datum(where, parse_json(line, where, "a JSON object"), BadFile) for where, line in places]
    return values[0], values[1:]


def _budget(stated: Datum) -> Budget:
    stated.only(*(field.name for field in fields(Budget)))
    values: dict[str, Any] = {
        field.name: stated[field.name].integer(1, 10**6) if is_whole(field.default) else stated[field.name].number()
        for field in fields(Budget)
    }
    return Budget(**values)


def _noise(stated: Datum) -> NoiseCeiling:
    if stated.value is None:
        raise BadFile(f"{stated.where}: not measured, wanted replicates of at least two architectures")
    figures = {name: stated[name].number() for name in ("kendall", "spearman", "sd", "slope", "center")}
    return NoiseCeiling(**figures, replicated=stated["replicated"].integer(), seeds=stated["seeds"].integer())


def _allowed(ceiling: NoiseCeiling, loss: float, stated: Datum) -> float:
    """The difference that noise explains; a file may state more than there can be."""
    with np.errstate(over="ignore"):
        allowed = float(TOLERATED_SDS * ceiling.sd_at(loss))
    if not 0 <= allowed < np.inf:
        raise BadFile(f"{stated.where}: got noise of {allowed} at the loss {loss}, wanted a finite number from 0")
    return allowed


def _architecture(record: Datum, space: str, budget: Budget) -> Architecture:
    architecture = SPACES[space].architecture(record["id"].text(), record["config"].mapping())
    check_trainable(architecture, record.where, budget, space)
    return architecture


def check_trainable(architecture: Architecture, where: str, budget: Budget, space: str) -> None:
    """BadFile unless the recipe of a space can train the architecture: one of it, for all bytes and for its
    sequences."""
    if architecture.space != space:
        raise BadFile(f"{where}: {architecture.id}: got the space {architecture.space}, wanted {space}")
    if (runs := architecture.config.get("runs", 1)) > 1:
        raise BadFile(f"{where}: {architecture.id}: runs: got {runs}, wanted 1; each run would be trained apart")
    length, vocabulary = SPACES[space].limits(architecture)
    if length < budget.length or vocabulary < 256:
        raise BadFile(f"{where}: reads {length} tokens of {vocabulary}, wanted {budget.length} of 256, all bytes")
