"""Cost of a cluster: two dask workers against two local ones on the same networks, and the overhead of a task.

    python -m bench.speed.engine [--benchmark gpt2-mini] [--count 200] [--tasks 10000] [--json]

A scheduler and two workers run on loopback, started by their own commands. The networks go in parts, each to both
engines into empty banks, one right after the other, and the first of the two changes; workers of both have been warmed
up. Then tasks that do nothing tell what a task costs besides its work, and the memory of the driver and of the
scheduler after a tenth of them and after all.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from bench.speed.extraction import content
from engine.cluster import Cluster
from engine.crew import Crew
from engine.protocol import Engine
from fitness.features.bank import FeatureBank
from fitness.features.workshop import NEEDS, Workshop
from models.architecture import Architecture
from models.benchmarks.origins import load_benchmark
from tests.robustness.loopback import Loopback

PARTS = 10


def nothing(task: int, device: str) -> int:
    """A task without work."""
    return task


def paired(
    architectures: Sequence[Architecture], engines: dict[str, Engine], space: str, folder: Path
) -> dict[str, list[float]]:
    """Seconds of each part by each engine."""
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    shops = {
        name: Workshop(Workshop.open(space, devices="cpu", bank=folder / name).bank, Workshop.open(space).batch,
                       engine=engine) for name, engine in engines.items()
    }  # fmt: skip
    for name, shop in shops.items():
        warm = FeatureBank(folder.parent / f"warm-{name}", shop.bank.key)
        replace(shop, bank=warm).extract(architectures[:6])
    for part in range(PARTS):
        for name in list(shops)[:: 1 if part % 2 else -1]:
            start = time.perf_counter()
            shops[name].extract(architectures[part::PARTS])
            seconds[name].append(time.perf_counter() - start)
    return seconds


def idle_tasks(engine: Engine, tasks: int, watched: dict[str, psutil.Process]) -> dict[str, Any]:
    """Milliseconds of a task without work, with two workers; processor milliseconds that a task costs the watched
    processes, which other users of the machine do not change; MiB of these after a tenth of the tasks and all."""

    def used() -> dict[str, float]:
        return {name: sum(process.cpu_times()[:2]) for name, process in watched.items()}

    marks, before, start = {}, used(), time.perf_counter()
    for done, _ in zip(count(1), engine.run(nothing, range(tasks)), strict=False):
        if done in (tasks // 10, tasks):
            marks[done] = {name: round(process.memory_info().rss / 2**20) for name, process in watched.items()}
    wall, after = time.perf_counter() - start, used()
    cpu = {name: round((after[name] - before[name]) / tasks * 1e3, 2) for name in watched}
    return {"tasks": tasks, "ms": wall / tasks * 1e3, "processor_ms": cpu, "mib": marks}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", default="gpt2-mini")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    o = parser.parse_args()
    benchmark = load_benchmark(o.benchmark)
    chosen = random.Random(0).sample(list(benchmark.architectures), min(o.count, len(benchmark)))
    with tempfile.TemporaryDirectory() as temporary:
        folder, loopback = Path(temporary) / "banks", Loopback(Path(temporary) / "cluster")
        try:
            loopback.staff("a", "b")
            with Cluster.open(str(loopback.file), NEEDS, "cpu") as cluster, Crew(("cpu", "cpu")) as crew:
                seconds = paired(chosen, {"local": crew, "dask": cluster}, benchmark.space, folder)
                same = content(folder / "local") == content(folder / "dask")
                watched = {"driver": psutil.Process(), "scheduler": psutil.Process(loopback.scheduler.pid)}
                idle = {
                    "dask": idle_tasks(cluster, o.tasks, watched),
                    "local": idle_tasks(crew, o.tasks, {"driver": psutil.Process()}),
                }
        finally:
            loopback.close()
    local, dask = (sum(seconds[name]) for name in ("local", "dask"))
    ratios = sorted(d / x for d, x in zip(seconds["dask"], seconds["local"], strict=True))
    found = {"benchmark": o.benchmark, "networks": len(chosen), "local_seconds": local, "dask_seconds": dask,
             "ratio": dask / local, "ratios_of_parts": ratios, "same_bank": same, "idle": idle}  # fmt: skip
    if o.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{o.benchmark}, {len(chosen)} networks, two workers each: local {local:.1f} s, dask {dask:.1f} s, ratio "
          f"{dask / local:.3f} (parts {ratios[0]:.3f} to {ratios[-1]:.3f}, median {ratios[len(ratios) // 2]:.3f}); "
          f"same bank byte for byte: {same}")  # fmt: skip
    for name, one in idle.items():
        print(f"{one['tasks']:,} tasks without work, {name}: {one['ms']:.2f} ms each; of processors "
              f"{one['processor_ms']}; MiB after a tenth and all: {one['mib']}")  # fmt: skip


if __name__ == "__main__":
    main()
