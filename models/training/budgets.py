"""Benchmarks at several budgets: architectures of few sizes and many shapes, each trained for 1, 4 and 16 times the
steps of a recipe, every time with a full schedule."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.architecture import Architecture
from models.spaces import SPACES
from models.training.campaign import TRUTH_SEED, Campaign, FinishedRun, Runs, Task, header_of, record_of
from models.training.corpus import load_corpus
from models.training.learning import Budget, Learned
from models.training.sampling import GPT2_MINI, LLAMA_MINI, Family, draw_of_size
from storage.files import BadFile, parse_json, read_limited, write_atomic
from storage.log import RecordLog

__all__ = ["BUDGET_RECIPES", "BudgetRecipe", "train_budgets"]

POOL = 300  # draws of one size among which unlike shapes are chosen
MAX_FILE = 8 << 20  # bytes


@dataclass(frozen=True)
class BudgetRecipe:
    """`shapes` architectures of each of `sizes` decoder parameters. All are trained for the first two of `multiples` of
    the budget's steps, the first `longest` shapes of each size for the third as well, `replicated` of all with
    `seeds` seeds for the first two."""

    family: Family
    sizes: tuple[int, ...]
    shapes: int = 25
    longest: int = 12
    replicated: int = 10
    seeds: int = 5
    multiples: tuple[int, int, int] = (1, 4, 16)
    seed: int = 2033

    @property
    def space(self) -> str:
        """The space of the architectures."""
        return self.family.space

    def architectures(self) -> tuple[tuple[Architecture, ...], ...]:
        """Architectures by size, the most unlike shapes first."""
        rng = random.Random(self.seed)
        return tuple(_unlike(self, target, rng) for target in self.sizes)

    def tasks(self, budget: Budget) -> list[Task]:
        """Every run, in the order in which results are useful: all sizes alternate, unlike shapes first, the long
        budget after all others."""
        short, middle, long = (replace(budget, steps=budget.steps * times) for times in self.multiples)
        queue: list[tuple[tuple[int, ...], Task]] = []
        for size, shapes in enumerate(self.architectures()):
            for rank, architecture in enumerate(shapes):
                place = (rank // 2 * 2, 0, size)  # two unlike shapes of a size follow each other
                queue += [(place, Task(architecture, TRUTH_SEED, b)) for b in (short, middle)]
                if rank < self.longest:
                    queue.append(((self.shapes + rank, 1, size), Task(architecture, TRUTH_SEED, long)))
                if rank * len(self.sizes) + size < self.replicated:
                    again = [Task(architecture, s, b) for b in (short, middle) for s in range(1, self.seeds)]
                    queue += [((rank + 10, 2, size), task) for task in again]
        return [task for _, task in sorted(queue, key=lambda pair: pair[0])]


def train_budgets(
    path: Path,
    recipe: BudgetRecipe,
    *,
    work: Path | None = None,
    jobs: int = 1,
    niceness: int = 0,
    budget: Budget | None = None,
    most: int | None = None,
    on_progress: Callable[[FinishedRun], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Train what is left of a recipe, at most `most` runs, and write all that is finished to `path`.

    Finished runs are those of `path`, if it exists, and of `<stem>.partial.jsonl` in the folder `work` (default: beside
    `path`). OtherTask or BadFile if they belong to another task; KeyboardInterrupt after the runs in progress once it
    `should_stop`, with what is finished written.
    """
    budget, work = budget or Budget(), work or path.parent
    tasks, task = recipe.tasks(budget), _task(recipe, budget)
    known = _finished_in(path, task) if path.exists() else {}
    with (
        RecordLog.open(work / f"{path.stem}.partial.jsonl", task, most=len(tasks)) as log,
        RecordLog.open(work / f"{path.stem}.seconds.jsonl", {"unit": "seconds of one process"}, most=9**6) as clock,
    ):
        campaign = Campaign(log, clock, len(tasks), budget.steps, on_progress, should_stop)
        campaign.runs = known | campaign.runs
        try:
            campaign.finish(campaign.left(tasks)[:most], jobs, niceness)
        finally:
            if campaign.runs:
                write_atomic(path, _assemble(path.stem, recipe, tasks, campaign.runs, task, budget))
    return path


def _unlike(recipe: BudgetRecipe, target: int, rng: random.Random) -> tuple[Architecture, ...]:
    """Shapes of one size in an order in which each is the one farthest from all before it."""
    pool: dict[str, Architecture] = {}
    for turn in range(POOL):
        if (found := draw_of_size("", target, turn, rng, recipe.family)) is not None:
            pool.setdefault(found.digest, found)
    drawn = list(pool.values())
    places = np.array([_place(architecture, recipe.family) for architecture in drawn])
    places = (places - places.mean(axis=0)) / np.maximum(places.std(axis=0), 1e-9) * np.array([1.0, 1.0, 0.5, 0.25])
    chosen = [int(np.argmax((places**2).sum(axis=1)))]
    while len(chosen) < recipe.shapes:
        distances = ((places[:, None] - places[chosen]) ** 2).sum(axis=2).min(axis=1)
        chosen.append(int(np.argmax(distances)))
    prefix = f"{recipe.family.prefix}-{target // 1000}k"
    return tuple(
        SPACES[recipe.space].architecture(f"{prefix}-{rank:02d}", drawn[place].config)
        for rank, place in enumerate(chosen)
    )


def _place(architecture: Architecture, family: Family) -> tuple[float, ...]:
    """Depth, width, feed-forward width and heads as logarithms."""
    c, (inner, *_) = architecture.config, family.inner
    means = (sum(c[name]) / c["n_layer"] for name in (inner, "n_head"))
    return tuple(math.log2(value) for value in (c["n_layer"], c["d_model"], *means))


def _task(recipe: BudgetRecipe, budget: Budget) -> dict[str, Any]:
    """Everything that decides a figure: runs of another budget, text or torch must not be mixed."""
    return {
        "budget": asdict(budget),
        "corpus": load_corpus().digest,
        "seeds": recipe.seeds,
        "space": recipe.space,
        "torch": torch.__version__,
    }


def _finished_in(path: Path, task: Mapping[str, Any]) -> Runs:
    """The runs that a file holds; BadFile unless they are of the same task."""
    what = "a benchmark that this command wrote"
    header, *records = [
        parse_json(line.encode(), str(path), what) for line in read_limited(path, MAX_FILE, what).decode().splitlines()
    ]
    if not isinstance(header, dict) or header.get("task") != task:
        raise BadFile(f"{path}: trained with another budget, text or torch; move it away, or give another --out")
    runs: dict[tuple[str, int, int], Learned] = {}
    for record in records:
        architecture = SPACES[task["space"]].architecture(record["id"], record["config"])
        for seed, loss in enumerate(record.get("replicates", [record["loss"]])):
            runs[architecture.digest, record["steps"], seed] = Learned(loss, ())
        runs[architecture.digest, record["steps"], TRUTH_SEED] = Learned(record["loss"], tuple(record["curve"]))
    return runs


def _assemble(
    name: str, recipe: BudgetRecipe, tasks: Sequence[Task], runs: Runs, task: Mapping[str, Any], budget: Budget
) -> bytes:
    """The benchmark's bytes: the header, then a record for each architecture and budget, sizes in order."""
    wanted = {(t.architecture.digest, t.budget.steps): 0 for t in tasks}
    for t in tasks:
        wanted[t.architecture.digest, t.budget.steps] += 1
    records = []
    for architecture in (a for shapes in recipe.architectures() for a in shapes):
        for times in recipe.multiples:
            steps = budget.steps * times
            if (run := runs.get((architecture.digest, steps, TRUTH_SEED))) is None:
                continue
            record = record_of(architecture, run) | {"id": f"{architecture.id}@{times}x", "steps": steps}
            record["tokens"] = steps * budget.batch * budget.length
            seeds = range(wanted[architecture.digest, steps])
            found = [runs.get((architecture.digest, steps, seed)) for seed in seeds]
            if len(found) > 1 and None not in found:
                record["replicates"] = [run.loss for run in found if run is not None]
            records.append(record)
    header = header_of(name, records, {**task, "seeds": recipe.seeds})
    header |= {"task": dict(task), "runs": {"finished": len(runs), "planned": len(tasks)}}
    header |= {"multiples": recipe.multiples, "size": "decoder params"}
    lines = [header, *records]
    return "".join(json.dumps(line, sort_keys=True, allow_nan=False) + "\n" for line in lines).encode()


_GPT2 = replace(GPT2_MINI, prefix="gpt2", depths=tuple(range(1, 7)), widths=tuple(range(32, 129, 16)))
_LLAMA = replace(LLAMA_MINI, depths=tuple(range(1, 7)), widths=tuple(range(32, 129, 16)), inner=("d_ffn", 32, 384))
BUDGET_RECIPES = {
    "llama-budgets": BudgetRecipe(_LLAMA, (36_000, 54_000, 80_000, 120_000)),
    "gpt2-budgets": BudgetRecipe(_GPT2, (48_000, 72_000, 108_000, 160_000)),
}
