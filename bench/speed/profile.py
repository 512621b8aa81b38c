"""Profile of the first command from an empty bank, and of one small and one large network.

    python -m bench.speed.profile [--large gpt2-wt103] [--networks 8] [--json]

The first table is of README's first command as a process of its own: its stages as it tells them, and the rest (Python
and packages loaded, the table printed) as the difference to its wall-clock time. The other tables are of visits in this
process, one thread, processor time: each part is timed by itself, and what the parts do not explain is a row as well.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from engine.threads import one_thread
from fitness.features.bank import FeatureBank, FeatureKey, sketch_features
from fitness.features.collect import collect
from fitness.features.figures import formula_scores
from fitness.features.visit import Visited
from gp.hall_file import load_hall
from models.architecture import Architecture
from models.benchmarks.origins import load_benchmark
from models.spaces import SPACES
from models.tokens import TokenBatch

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


def first_command() -> dict[str, Any]:
    """Wall-clock seconds by stage, and the processor seconds of all its processes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "cli.py", "evolve", "--space", "gpt2", "--bank", f"{folder}/bank", "--out",
                   f"{folder}/run"]  # fmt: skip
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stderr
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    stages = {name: float(seconds) for name, seconds in re.findall(r"^(\w+): ([\d.]+) s$", said, re.MULTILINE)}
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": {**stages, "loading and the rest": wall - sum(stages.values())}, "total": wall,
            "processor": processor}  # fmt: skip


class Parts:
    """Processor seconds by name, and of everything."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, work: Callable[[], T]) -> T:
        """Run the work and add its time to the total of its name."""
        start = time.process_time()
        result = work()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - start
        return result

    @contextmanager
    def all_of_it(self) -> Iterator[None]:
        """The rest is what this block takes beyond its parts."""
        start, known = time.process_time(), sum(self.seconds.values())
        yield
        spent = time.process_time() - start
        rest = spent - (sum(self.seconds.values()) - known)
        self.seconds["the rest"] = self.seconds.get("the rest", 0.0) + rest


def visit(architecture: Architecture, batch: TokenBatch, texts: list[str], folder: Path, parts: Parts) -> None:
    """One visit of a network as workers make it, in parts."""
    space = SPACES[architecture.space]
    bank = FeatureBank(folder, FeatureKey.create(architecture.space, batch.digest))
    model: Any = parts.timed("build", lambda: space.build(architecture, 0).eval())
    features = parts.timed("forward and backward pass", lambda: collect(model, batch))
    visited = Visited(model, batch.tokens, features)
    parts.timed("overflow check", lambda: visited.overflows)
    entry = parts.timed("sketch", lambda: sketch_features(features))
    parts.timed("write", lambda: bank.save_sketch(architecture, entry))
    taker = formula_scores(texts)
    parts.timed("exact scores of the hall", lambda: taker.keep(bank, architecture, taker.take(visited)))


def networks(name: str, count: int) -> dict[str, Any]:
    """Milliseconds of processor time per network of a benchmark, the first, slower visit left out."""
    benchmark, batch = load_benchmark(name), TokenBatch.from_passage()
    texts = [p.proxy.text for p in load_hall(ROOT / "proxies" / f"{name}.json").proxies]
    chosen = random.Random(0).sample(list(benchmark.architectures), count + 1)
    with tempfile.TemporaryDirectory() as folder, one_thread():
        visit(chosen[0], batch, texts, Path(folder), Parts())
        parts = Parts()
        with parts.all_of_it():
            for architecture in chosen[1:]:
                visit(architecture, batch, texts, Path(folder), parts)
    each = {part: 1000 * seconds / count for part, seconds in parts.seconds.items()}
    return {"milliseconds": each, "total": sum(each.values())}


def table(title: str, rows: dict[str, float], total: float, unit: str) -> None:
    print(title)
    for name, value in {**rows, "total": total}.items():
        print(f"  {name:<28}{value:9.1f} {unit} {100 * value / total:5.1f}%")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--large", default="gpt2-wt103")
    parser.add_argument("--networks", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    o = parser.parse_args()
    found: dict[str, Any] = {name: networks(name, o.networks) for name in ("gpt2-mini", o.large)}
    found["first command"] = first = first_command()
    if o.json:
        print(json.dumps(found, indent=2))
        return
    table("python cli.py evolve --space gpt2, empty bank, wall clock", first["seconds"], first["total"], "s")
    print(f"  processor time of all its processes: {first['processor']:.1f} s")
    for name in ("gpt2-mini", o.large):
        table(f"a network of {name}, processor time", found[name]["milliseconds"], found[name]["total"], "ms")


if __name__ == "__main__":
    main()
