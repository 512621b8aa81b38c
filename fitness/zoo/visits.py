"""Visits: one per network measures every hand-made proxy (and formula) that the bank lacks, value and cost."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine.crew import map_on_devices
from fitness.features.bank import MAX_ENTRY, FeatureBank, FeatureKey
from fitness.features.collect import collect
from fitness.features.workshop import Progress, Workshop
from fitness.zoo import ZOO, find
from fitness.zoo.registry import NoValue, Subject
from models.architecture import Architecture
from models.spaces import SPACES
from models.tokens import TokenBatch
from primitives.grammar import parse
from primitives.invalid import Invalid
from primitives.scoring import Scorer
from storage.files import BadFile, dump_json, parse_json, read_limited, write_atomic

__all__ = ["Measurement", "ZooShelf", "measure_all", "measurements"]

FORMULA_VERSION = 1  # of formulas in our language; hand-made proxies have a version each


@dataclass(frozen=True)
class Measurement:
    """One proxy on one network: its value, or None with the reason; `seconds` of passes and arithmetic, the time to
    build the network not counted."""

    value: float | None
    seconds: float
    reason: str = ""


class ZooShelf:
    """The measurements in a bank, a file per architecture beside its exact scores, sealed like these."""

    def __init__(self, bank: FeatureBank) -> None:
        self.bank = bank

    def path(self, architecture: Architecture) -> Path:
        """Where the architecture's measurements lie or would lie."""
        return self.bank.folder / "zoo" / f"{self.bank.key.of(architecture)}.json"

    def load(self, architecture: Architecture) -> dict[str, Measurement]:
        """Measurements by name, without those of another version; empty when there are none to be trusted."""
        return {
            name: Measurement(record["value"], record["seconds"], record["reason"])
            for name, record in self._records(architecture).items()
            if record["version"] == _version(name)
        }

    def save(self, architecture: Architecture, measured: Mapping[str, Measurement]) -> None:
        """Add measurements to those already there."""
        new = {name: {**vars(m), "version": _version(name)} for name, m in measured.items()}
        records = {**self._records(architecture), **new}
        write_atomic(self.path(architecture), dump_json({"records": records, "sha256": _seal(records)}, None))

    def _records(self, architecture: Architecture) -> dict[str, Any]:
        try:
            content = read_limited(self.path(architecture), MAX_ENTRY, "measurements of the bank")
            data = parse_json(content, "measurements", "an object")
            return data["records"] if data["sha256"] == _seal(data["records"]) else {}
        except (BadFile, KeyError, TypeError):
            return {}


def _seal(records: Mapping[str, Any]) -> str:
    return hashlib.sha256(dump_json(records, None)).hexdigest()


def _version(name: str) -> int:
    """Of the code that measures `name`; 0, which no measurement has, for a proxy that no longer exists."""
    if _is_formula(name):
        return FORMULA_VERSION
    return ZOO[name].version if name in ZOO else 0


def _is_formula(name: str) -> bool:
    return "[" in name


def measurements(subject: Subject, names: Sequence[str], collecting: float = 0.0) -> dict[str, Measurement]:
    """Measure hand-made proxies (by name) and formulas (by text); `collecting` is what the features took. A network
    that overflows has no value of anything that reads its features, not even of what happens to be finite."""
    overflows = not subject.features.finite
    return {name: _measure(subject, name, collecting, overflows) for name in names}


def _measure(subject: Subject, name: str, collecting: float, overflows: bool) -> Measurement:
    compute: Callable[[Subject], float | Invalid]
    if _is_formula(name):
        compute, own_pass = (lambda s: Scorer(s.features.blocks).score(parse(name))), False
    else:
        compute, own_pass = find(name).measure, find(name).own_pass
    if overflows and not own_pass:
        return Measurement(None, round(collecting, 6), Invalid.NON_FINITE.value)
    start = time.perf_counter()
    value: float | None = None
    reason = ""
    try:
        result = compute(subject)
        if isinstance(result, Invalid):
            reason = result.value
        elif math.isfinite(result):
            value = float(result)
        else:
            reason = Invalid.NON_FINITE.value
    except NoValue as why:
        reason = str(why)
    except (torch.linalg.LinAlgError, ArithmeticError, ValueError):  # nan in an eigenvalue routine, log of 0
        reason = Invalid.NON_FINITE.value
    seconds = time.perf_counter() - start + (0.0 if own_pass else collecting)
    return Measurement(value, round(seconds, 6), reason)


@dataclass(frozen=True)
class _ZooVisit:
    """What one worker does with one network."""

    folder: Path
    key: FeatureKey
    batch: TokenBatch
    architecture: Architecture
    names: tuple[str, ...]


def _visit(task: _ZooVisit, device: str) -> None:
    model: Any = SPACES[task.architecture.space].build(task.architecture, task.key.init_seed, task.key.build)
    model.to(device).eval()
    start = time.perf_counter()
    features = collect(model, task.batch)
    subject = Subject(model, task.batch.tokens.to(device), features)
    found = measurements(subject, task.names, time.perf_counter() - start)
    ZooShelf(FeatureBank(task.folder, task.key)).save(task.architecture, found)


def measure_all(
    workshop: Workshop, names: Sequence[str], architectures: Sequence[Architecture], progress: Progress | None = None
) -> list[dict[str, Measurement]]:
    """(N,) measurements by name, from the bank where it has them; a network that lacks some is visited once."""
    shelf = ZooShelf(workshop.bank)
    tasks = []
    for architecture in {a.digest: a for a in architectures}.values():
        known = shelf.load(architecture)
        if wanted := tuple(name for name in dict.fromkeys(names) if name not in known):
            workshop.check(architecture)
            tasks.append(_ZooVisit(workshop.bank.folder, workshop.bank.key, workshop.batch, architecture, wanted))
    tasks.sort(key=lambda task: -SPACES[task.architecture.space].parameters(task.architecture).total)
    for done, _ in enumerate(map_on_devices(_visit, tasks, workshop.devices), start=1):
        if progress:
            progress(done, len(tasks))
    return [shelf.load(a) for a in architectures]
