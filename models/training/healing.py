"""llama-cut: a small LLaMA trained as usual, and subnets of it, each measured as it is cut and after a brief training.

The brief training, *healing*, is what an engineer does with a cut model, and what its loss as cut does not tell. The
trained network is a checkpoint like any other: config.json, float16 tensors, and a tokenizer whose ids are bytes.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch

from engine.crew import map_on_devices
from engine.threads import one_thread
from models.architecture import Architecture
from models.checkpoints.export import new_checkpoint
from models.spaces.checkpoint import Checkpoint
from models.spaces.llama.configuration import DEFAULTS
from models.spaces.llama.space import LlamaSpace
from models.spaces.llama.weights import FULL, SUPERNET
from models.training.corpus import load_corpus
from models.training.cuts.sample import CutSample, cut_config, subnets
from models.training.elastic import ElasticPlan, ElasticProgress, part_windows, train_supernet
from models.training.learning import Budget, drawn_windows, optimiser_of, spread_windows, update
from models.training.noise import noise_ceiling
from models.training.verification import ROUNDING, TOLERATED_SDS, Check, Verification, file_lines
from storage.files import BadFile, write_atomic
from storage.log import RecordLog

__all__ = ["CUT", "Healed", "HealingPlan", "HealingTask", "cut_subnets", "heal", "train_and_cut", "verify_healing"]

SPACE = LlamaSpace()
DIGITS = 6


@dataclass(frozen=True)
class HealingPlan:
    """The training of the whole network and the parts of the validation text (`base`), the subnets (`sample`, whose
    units are kept in an `order`), and how each is healed; the first `repeated` of them with so many `seeds`. A look is
    a loss as cut on so many windows of the training text: a few, and all."""

    base: ElasticPlan = field(default_factory=lambda: ElasticPlan(seed=1))
    sample: CutSample = field(
        default_factory=lambda: CutSample(
            cost=(0.0,) * SUPERNET["n_layer"],
            levels=(0.97, 0.94, 0.9, 0.86, 0.82, 0.78, 0.73, 0.68, 0.62, 0.55),
            borders=(0, 3, 6),
            branches=(56, 2, 5),
        )
    )
    order: str = "magnitude"
    healing: Budget = field(default_factory=lambda: Budget(steps=100, batch=8, length=32, learning_rate=5e-4))
    looks: tuple[int, int] = (4, 32)
    repeated: int = 10
    seeds: int = 3


CUT = HealingPlan()


@dataclass(frozen=True)
class HealingTask:
    """A task of a worker: a subnet of a checkpoint is measured, healed with a seed, and measured again."""

    architecture: Architecture
    weights: Checkpoint
    plan: HealingPlan
    seed: int = 0


@dataclass(frozen=True)
class Healed:
    """Losses of a subnet, nats per byte: on each part of the validation text as it is `cut` and `healed`, and as cut on
    a few and all windows of the training text (`looks`)."""

    cut: list[float]
    healed: list[float]
    looks: list[float]


def heal(task: HealingTask, device: str) -> Healed:
    """Measure, heal and measure again. All subnets of one seed see the same windows in the same order."""
    corpus, healing = load_corpus(), task.plan.healing
    parts, (few, most) = part_windows(task.plan.base), task.plan.looks
    shown = spread_windows(corpus.train, most, task.plan.base.budget.length)
    with one_thread(flush_denormals=True):
        model: Any = SPACE.loaded(task.architecture, task.weights).eval()
        cut, looks = _losses(model, parts), _losses(model, (shown[:: most // few], shown))
        optimiser, order = optimiser_of(model, healing), torch.Generator().manual_seed(task.seed)
        for step in range(healing.steps):
            rate = healing.rate(step, task.architecture.config["d_model"])
            update(model, optimiser, rate, drawn_windows(corpus.train, healing, order))
        return Healed(cut, _losses(model, parts), looks)


@torch.no_grad()
def _losses(model: Any, parts: Sequence[torch.Tensor]) -> list[float]:
    return [round(float(model.loss(windows)), DIGITS) for windows in parts]


def cut_subnets(plan: HealingPlan = CUT) -> list[Architecture]:
    """The whole network, then its subnets."""
    whole = dict(SUPERNET)
    configs = [cut_config(whole, subnet.cut, plan.order) for subnet in subnets(plan.sample, whole)]
    named = [("whole", whole), *((f"cut-{i:03d}", config) for i, config in enumerate(configs))]
    return [SPACE.architecture(id, config) for id, config in named]


def train_and_cut(
    path: Path,
    plan: HealingPlan = CUT,
    jobs: int = 1,
    niceness: int = 0,
    on_progress: Callable[[ElasticProgress], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Train the whole network, write it as a checkpoint to a folder beside `path`, measure and heal its subnets in
    `jobs` processes, write the benchmark. What is finished stays in `<stem>.partial.*` and is never done again;
    KeyboardInterrupt once it `should_stop`."""
    folder = path.with_suffix("")
    if not folder.exists():
        state = path.with_suffix(".partial.safetensors")
        trained = train_supernet(state, plan.base, on_progress, should_stop, widths=(FULL,))
        new_checkpoint(folder, SUPERNET, trained)
    weights = Checkpoint.open(folder)
    task = _task(plan, weights)
    chosen = cut_subnets(plan)
    seeds = [(a, seed) for a in chosen for seed in range(plan.seeds if a in chosen[: plan.repeated] else 1)]
    with RecordLog.open(path.with_suffix(".partial.jsonl"), task, most=len(seeds)) as log:
        done = {(record["id"], record["seed"]): record for record in log.records}
        left = [HealingTask(a, weights, plan, seed) for a, seed in seeds if (a.id, seed) not in done]
        start, working = time.monotonic(), takewhile(lambda task: not should_stop(), left)
        for number, (own, found) in enumerate(map_on_devices(heal, working, ("cpu",) * jobs, niceness), 1):
            record = {"id": own.architecture.id, "seed": own.seed, **asdict(found)}
            log.append(record)
            done[own.architecture.id, own.seed] = record
            if on_progress:
                seconds = (time.monotonic() - start) / number * (len(left) - number)
                on_progress(ElasticProgress("healed", len(done), len(seeds), _mean(found.healed), seconds))
        if len(done) < len(seeds):
            raise KeyboardInterrupt
        write_atomic(path, _benchmark(path.stem, chosen, done, plan, task))
    return path


def verify_healing(path: Path, sample: int = 5, seed: int = 0) -> Verification:
    """`sample` subnets of the file measured and healed again with the checkpoint beside it: only rounding may differ,
    which healing amplifies on another machine, so there by 4 standard deviations of its noise. BadFile if the file is
    of another plan or checkpoint than ours."""
    (header, records), weights = file_lines(path), Checkpoint.open(path.with_suffix(""))
    ours = _task(CUT, weights)
    if other := sorted(name for name in ("plan", "checkpoint") if header[name].value != ours[name]):
        raise BadFile(f"{path}: got another {' and another '.join(other)}, wanted a file that this version made")
    checks, noise = list[Check](), TOLERATED_SDS * header["healed_noise_ceiling"]["sd"].number()
    for record in random.Random(seed).sample(records, min(sample, len(records))):
        architecture = SPACE.architecture(record["id"].text(), record["config"].mapping())
        found = heal(HealingTask(architecture, weights, CUT), "cpu")
        for name, losses, allowed in (("loss", found.cut, ROUNDING), ("healed", found.healed, noise)):
            checks.append(Check(f"{architecture.id} {name}", record[name].number(), _mean(losses), allowed))
    matches = header["corpus"].value == ours["corpus"]
    return Verification(matches, tuple(sorted(checks, key=lambda check: check.id)))


def _mean(losses: Sequence[float]) -> float:
    return round(sum(losses) / len(losses), DIGITS)


def _task(plan: HealingPlan, weights: Checkpoint) -> dict[str, Any]:
    """Everything that decides a figure."""
    return {
        "plan": json.loads(json.dumps(asdict(plan))),
        "checkpoint": weights.digest,
        "corpus": load_corpus().digest,
        "torch": torch.__version__,
    }


def _benchmark(
    name: str,
    chosen: Sequence[Architecture],
    done: Mapping[tuple[str, int], Mapping[str, Any]],
    plan: HealingPlan,
    task: Mapping[str, Any],
) -> bytes:
    """The benchmark's bytes: header, then one record per subnet with two metrics, each a mean over the parts."""
    records: list[dict[str, Any]] = []
    for architecture in chosen:
        runs = [done[key] for key in ((architecture.id, seed) for seed in range(plan.seeds)) if key in done]
        healed, parts = [_mean(run["healed"]) for run in runs], runs[0]["cut"]
        record = {
            "id": architecture.id,
            "config": {key: value for key, value in architecture.config.items() if DEFAULTS.get(key) != value},
            "loss": _mean(parts),
            "replicates": parts,
            "healed": healed[0],
            **dict(zip(("calibration_few", "calibration_all"), runs[0]["looks"], strict=True)),
        }
        records.append(record | ({"healed_seeds": healed} if len(healed) > 1 else {}))
    healed_ones = [
        {"healed": r["healed"]} | ({"replicates": r["healed_seeds"]} if "healed_seeds" in r else {}) for r in records
    ]
    ceilings = noise_ceiling(records, averaged=plan.base.parts), noise_ceiling(healed_ones, "healed")
    header = {
        "schema": 1,
        "name": name,
        "space": "llama",
        "metric": "loss",
        "higher_is_better": False,
        "unit": "nats per byte of validation text",
        **task,
        "noise": "loss: disjoint parts of the validation text; healed: seeds of the windows of text",
        "noise_ceiling": ceilings[0].as_dict() if ceilings[0] else None,
        "healed_noise_ceiling": ceilings[1].as_dict() if ceilings[1] else None,
    }
    lines = [header, *records]
    return "".join(json.dumps(line, sort_keys=True, allow_nan=False) + "\n" for line in lines).encode()
