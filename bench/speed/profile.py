"""Profile of the first command from an empty bank, of `rank` and `select`, and of one small and one large network.

    python -m bench.speed.profile [--large gpt2-wt103] [--networks 8] [--candidates 1000] [--only NAME...] [--json]

The first table is of README's first command as a process of its own: its stages as it tells them, and the rest (Python
and packages loaded, the table printed) as the difference to its wall-clock time. The tables of `rank` and `select` are
of processes as well, each of the default law on drawn `gpt2` candidates with an empty bank: the seconds inside of each
function of PARTS, without those of the others. The other tables are of visits in this process, one thread, processor
time: each part is timed by itself. What the parts do not explain is a row everywhere.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce, wraps
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


PARTS = {
    "configurations checked": ("models.spaces.gpt2.space", "Gpt2Space.architecture"),
    "costs counted": ("fitness.costs", "costs_of"),
    "networks built without numbers": ("models.spaces.gpt2.space", "Gpt2Space.build"),
    "weights listed": ("fitness.features.visit", "without_pass"),
    "formulas on blocks": ("fitness.features.figures", "ScoreReader.see"),
    "formulas on networks": ("fitness.features.figures", "ScoreReader.taken"),
    "bank read": ("fitness.features.figures", "Figures.load"),
    "bank written": ("fitness.features.figures", "Figures.keep"),
}
"""Parts of `rank` and `select`: what each does, and the function."""
TRACED = """
import sys, time
started = time.perf_counter()
from importlib import import_module
from bench.speed.profile import PARTS, Inside
import cli
inside = Inside()
for name, (module, path) in PARTS.items():
    inside.watch(name, import_module(module), path)
inside.seconds["packages loaded"] = time.perf_counter() - started
code = cli.main(sys.argv[1:])
print(*(f"{name}: {seconds}" for name, seconds in inside.seconds.items()), sep="\\n", file=sys.stderr)
sys.exit(code)
"""


class Inside:
    """Wall-clock seconds inside of functions, without those of other watched functions that they call."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.above = [0.0]

    def watch(self, name: str, module: Any, path: str) -> None:
        """Time a function of a module from now on."""
        *owners, attribute = path.split(".")
        owner = reduce(getattr, owners, module)
        call = getattr(owner, attribute)

        @wraps(call)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self.above.append(0.0)
            start = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                spent = time.perf_counter() - start
                self.seconds[name] = self.seconds.get(name, 0.0) + spent - self.above.pop()
                self.above[-1] += spent

        setattr(owner, attribute, timed)


def traced(arguments: Sequence[str]) -> dict[str, Any]:
    """Wall-clock seconds of a command by part."""
    start = time.perf_counter()
    command = [sys.executable, "-c", TRACED, *arguments]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if said.returncode:
        sys.exit(said.stderr)
    wall = time.perf_counter() - start
    names = "|".join(map(re.escape, ("packages loaded", *PARTS)))
    found = {name: float(spent) for name, spent in re.findall(rf"^({names}): ([\d.e-]+)$", said.stderr, re.MULTILINE)}
    return {"seconds": {**found, "the rest": wall - sum(found.values())}, "total": wall}


def waiting(count: int) -> dict[str, Any]:
    """`rank` and `select` of `count` candidates, each with an empty bank."""
    space, rng = SPACES["gpt2"], random.Random(7)
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / "drawn.jsonl"
        drawn.write_text("".join(json.dumps({"id": i, "config": space.sample(rng)}) + "\n" for i in range(count)))
        sized = ["--networks", str(count), "--budget", "params=10M"]
        return {
            "rank": traced(["rank", str(drawn), "--space", "gpt2", "--bank", f"{folder}/ranked"]),
            "select": traced(["select", "--space", "gpt2", *sized, "--bank", f"{folder}/selected"]),
        }


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
    parser.add_argument("--candidates", type=int, default=1000, help="networks of rank and select")
    parser.add_argument("--only", nargs="+", choices=("evolve", "rank", "networks"), help="some of the tables")
    parser.add_argument("--json", action="store_true")
    o = parser.parse_args()
    wanted, found = o.only or ("evolve", "rank", "networks"), dict[str, Any]()
    if "evolve" in wanted:
        found["python cli.py evolve --space gpt2, empty bank, wall clock"] = first_command()
    if "rank" in wanted:
        pairs = waiting(o.candidates).items()
        found |= {f"python cli.py {name}, {o.candidates:,} candidates, wall clock": each for name, each in pairs}
    for name in ("gpt2-mini", o.large) if "networks" in wanted else ():
        found[f"a network of {name}, processor time"] = networks(name, o.networks)
    if o.json:
        print(json.dumps(found, indent=2))
        return
    for title, each in found.items():
        table(title, each.get("seconds") or each["milliseconds"], each["total"], "s" if "seconds" in each else "ms")
        if "processor" in each:
            print(f"  processor time of all its processes: {each['processor']:.1f} s")


if __name__ == "__main__":
    main()
