"""llama-elastic: one supernet trained with random feed-forward widths per block, then its subnets measured as they are
(after LoNAS, Munoz et al. 2024, arXiv 2404.10934, and once-for-all networks, Cai et al. 2020, arXiv 1908.09791)."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch.func import functional_call

from engine.threads import one_thread
from models.architecture import Architecture
from models.spaces.llama.configuration import DEFAULTS
from models.spaces.llama.network import LlamaNetwork
from models.spaces.llama.space import RATIOS, LlamaSpace
from models.spaces.llama.weights import FULL, SUPERNET, fill, sliced, subnet
from models.training.corpus import bigram_loss, load_corpus
from models.training.learning import CLIP, Budget, drawn_windows, optimiser_of, validation_windows
from models.training.noise import noise_ceiling
from storage.files import read_limited, write_atomic
from storage.log import RecordLog

__all__ = ["ELASTIC", "ElasticPlan", "ElasticProgress", "part_losses", "part_windows", "subnets", "train_elastic",
           "train_supernet"]  # fmt: skip

SPACE = LlamaSpace()
DIGITS = 6
SAVED_EVERY = 100  # steps
MAX_STATE = 64 << 20  # bytes
WIDTHS = tuple(round(FULL * ratio) for ratio in RATIOS)


@dataclass(frozen=True)
class ElasticPlan:
    """Plan of the supernet and its subnets: `levels` of total width with `each` subnets, and three anchors; losses on
    `parts` disjoint parts of the validation text, `windows` of each."""

    budget: Budget = field(default_factory=lambda: Budget(steps=4000, batch=16, length=64))
    seed: int = 0
    levels: tuple[int, int] = (6, 27)  # of the sum of places among WIDTHS, narrowest 0
    each: int = 25
    parts: int = 5
    windows: int = 48


ELASTIC = ElasticPlan()


@dataclass(frozen=True)
class ElasticProgress:
    """Progress: `done` of `total` steps or subnets, in `stage`."""

    stage: str
    done: int
    total: int
    loss: float
    seconds_left: float


Progress = Callable[[ElasticProgress], None]


def subnets(plan: ElasticPlan = ELASTIC) -> list[Architecture]:
    """The distinct subnets that are measured: full, middle and smallest, then `each` per level of total width."""
    rng, count = random.Random(plan.seed), SUPERNET["n_layer"]
    anchors = {"full": WIDTHS[0], "middle": WIDTHS[2], "smallest": WIDTHS[-1]}
    found = {(width,) * count: name for name, width in anchors.items()}
    for level in range(*plan.levels):
        target = len(found) + plan.each
        while len(found) < target:
            found.setdefault(_widths(level, count, rng), f"elastic-{len(found) - len(anchors):03d}")
    return [SPACE.architecture(id, subnet(widths)) for widths, id in found.items()]


def _widths(level: int, count: int, rng: random.Random) -> tuple[int, ...]:
    """Widths whose places sum to `level`, raised one by one at random blocks."""
    places = [0] * count
    for _ in range(level):
        open_blocks = [i for i, place in enumerate(places) if place < len(WIDTHS) - 1]
        places[rng.choice(open_blocks)] += 1
    return tuple(sorted(WIDTHS)[place] for place in places)


def train_elastic(
    path: Path,
    weights: Path | None = None,
    plan: ElasticPlan = ELASTIC,
    on_progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Train the supernet, write its float16 weights beside `path`, measure its subnets, write the benchmark. What is
    finished stays in `<stem>.partial.*` and is never done again; KeyboardInterrupt once it `should_stop`."""
    weights = weights or path.with_suffix(".safetensors")
    if not weights.exists():
        trained = train_supernet(path.with_suffix(".partial.safetensors"), plan, on_progress, should_stop)
        write_atomic(weights, save({name: tensor.half() for name, tensor in trained.items()}))
    content = read_limited(weights, MAX_STATE, "the weights of a supernet")
    stored, chosen = load(content), subnets(plan)
    task = _task(plan) | {"weights": hashlib.sha256(content).hexdigest()}
    with RecordLog.open(path.with_suffix(".partial.jsonl"), task, most=len(chosen)) as log:
        parts = {record["architecture"]: record["parts"] for record in log.records}
        start, new = time.monotonic(), 0
        for architecture in chosen:
            if architecture.digest in parts:
                continue
            if should_stop():
                raise KeyboardInterrupt
            losses = [round(loss, DIGITS) for loss in part_losses(architecture, stored, plan)]
            log.append({"architecture": architecture.digest, "id": architecture.id, "parts": losses})
            parts[architecture.digest], new = losses, new + 1
            if on_progress:
                left = (time.monotonic() - start) / new * (len(chosen) - len(parts))
                on_progress(ElasticProgress("measured", len(parts), len(chosen), sum(losses) / len(losses), left))
        write_atomic(path, _benchmark(path.stem, chosen, parts, plan, task))
    return path


def train_supernet(
    state: Path,
    plan: ElasticPlan,
    on_progress: Progress | None,
    should_stop: Callable[[], bool],
    widths: Sequence[int] = WIDTHS,
) -> dict[str, torch.Tensor]:
    """The weights after all steps, each on a network whose blocks have some of the `widths`; the full one alone is a
    usual training. Every step draws its windows and widths from a seed of its own, so that a training that goes on from
    `state` is the one that was never stopped."""
    budget = plan.budget
    with one_thread(flush_denormals=True):
        model: Any = SPACE.build(SPACE.architecture("supernet", SUPERNET), plan.seed)
        optimiser = optimiser_of(model, budget)
        begun = _restore(state, model, optimiser) if state.exists() else 0
        start = time.monotonic()
        for step in range(begun, budget.steps):
            loss = _step(model, optimiser, step, plan, widths)
            if (step + 1) % SAVED_EVERY == 0 or should_stop():
                write_atomic(state, _state(model, optimiser, step + 1))
                if on_progress:
                    left = (time.monotonic() - start) / (step + 1 - begun) * (budget.steps - step - 1)
                    on_progress(ElasticProgress("trained", step + 1, budget.steps, loss, left))
            if should_stop():
                raise KeyboardInterrupt
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def _step(model: LlamaNetwork, optimiser: Any, step: int, plan: ElasticPlan, widths: Sequence[int]) -> float:
    """One update of a random subnet; the training loss before it."""
    rng = random.Random(f"{plan.seed}:{step}")
    for group in optimiser.param_groups:
        group["lr"] = plan.budget.rate(step, SUPERNET["d_model"])
    tokens = drawn_windows(load_corpus().train, plan.budget, torch.Generator().manual_seed(rng.getrandbits(60)))
    drawn = [rng.choice(widths) for _ in range(SUPERNET["n_layer"])]
    loss = functional_call(model, sliced(dict(model.named_parameters()), drawn), (tokens,))
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    optimiser.step()
    optimiser.zero_grad()
    return float(loss.detach())


def _state(model: LlamaNetwork, optimiser: torch.optim.Optimizer, step: int) -> bytes:
    """Weights and both moments of every one, and the number of finished steps."""
    tensors = {"step": torch.tensor(float(step))}
    for name, parameter in model.named_parameters():
        moments = optimiser.state[parameter]
        parts = {"weight": parameter.detach(), "first": moments["exp_avg"], "second": moments["exp_avg_sq"]}
        tensors |= {f"{kind}:{name}": tensor.contiguous() for kind, tensor in parts.items()}
    return save(tensors)


def _restore(state: Path, model: LlamaNetwork, optimiser: torch.optim.Optimizer) -> int:
    tensors = load(read_limited(state, MAX_STATE, "the state of a training"))
    fill(model, {name: tensors[f"weight:{name}"] for name, _ in model.named_parameters()})
    for name, parameter in model.named_parameters():
        optimiser.state[parameter] = {
            "step": tensors["step"].clone(),
            "exp_avg": tensors[f"first:{name}"],
            "exp_avg_sq": tensors[f"second:{name}"],
        }
    return int(tensors["step"])


@torch.no_grad()
def part_losses(
    architecture: Architecture, stored: Mapping[str, torch.Tensor], plan: ElasticPlan = ELASTIC
) -> list[float]:
    """Mean loss of a subnet on each part of the validation text, nats per byte, with the stored weights."""
    with one_thread(flush_denormals=True):
        model = LlamaNetwork(architecture.config).eval()
        fill(model, sliced(stored, architecture.config["d_ffn"]))
        return [float(model.loss(windows)) for windows in part_windows(plan)]


def part_windows(plan: ElasticPlan) -> Sequence[torch.Tensor]:
    """Windows (n, T) of each part; parts are neighbouring pieces of the text, so they share no byte."""
    windows = validation_windows(load_corpus(), plan.parts * plan.windows, plan.budget.length)
    return windows.split(plan.windows)


def _task(plan: ElasticPlan) -> dict[str, Any]:
    """Settings that affect every figure."""
    return {"plan": json.loads(json.dumps(asdict(plan))), "corpus": load_corpus().digest, "torch": torch.__version__}


def _benchmark(
    name: str,
    chosen: Sequence[Architecture],
    parts: Mapping[str, Sequence[float]],
    plan: ElasticPlan,
    task: Mapping[str, Any],
) -> bytes:
    """The benchmark's bytes: header, then one record per subnet; its loss is the mean over the parts."""
    records: list[dict[str, Any]] = []
    for architecture in chosen:
        losses = parts[architecture.digest]
        config = {key: value for key, value in architecture.config.items() if key not in DEFAULTS}
        loss = round(sum(losses) / len(losses), DIGITS)
        records.append({"id": architecture.id, "config": config, "loss": loss, "replicates": list(losses)})
    ceiling = noise_ceiling(records, averaged=plan.parts)
    header = {
        "schema": 1,
        "name": name,
        "space": "llama",
        "metric": "loss",
        "higher_is_better": False,
        "unit": "nats per byte of validation text",
        **task,
        "noise": "disjoint parts of the validation text, one training",
        "bigram_loss": round(bigram_loss(load_corpus(), torch.cat(list(part_windows(plan)))), DIGITS),
        "noise_ceiling": ceiling.as_dict() if ceiling else None,
    }
    lines = [header, *records]
    return "".join(json.dumps(line, sort_keys=True, allow_nan=False) + "\n" for line in lines).encode()
