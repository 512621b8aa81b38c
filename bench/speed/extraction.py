"""Cost of extraction: time and memory against a bare forward and backward pass, one device against two.

    python -m bench.speed.extraction [--benchmark gpt2-wt103] [--count 20] [--device-count 200] [--json]

Bare and full visits of a network alternate in one process with one thread, so their ratio does not depend on the
machine's speed; memory is the peak of one process per kind of visit. For the devices, more networks are extracted into
empty banks by one worker and by two (their start, some seconds, included), and the first ones again by two of which
one is killed on the way.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import nn

from fitness.features.bank import FeatureBank, FeatureKey, sketch_features
from fitness.features.collect import collect
from fitness.features.workshop import Workshop
from models.architecture import Architecture
from models.benchmarks.origins import load_benchmark
from models.spaces import SPACES
from models.tokens import TokenBatch


def bare(model: Any, batch: TokenBatch) -> None:
    """One forward and one backward pass, as a training step would make them."""
    model.loss(batch.tokens).backward()


def full(model: nn.Module, batch: TokenBatch, bank: FeatureBank, architecture: Architecture) -> None:
    """Forward, backward, six inputs, sketch, write."""
    bank.save_sketch(architecture, sketch_features(collect(model, batch)))


def visits(architectures: list[Architecture], kinds: tuple[str, ...], folder: Path) -> dict[str, float]:
    """Seconds of each kind of visit, building not counted; a network's kinds follow each other, the first changes."""
    torch.set_num_threads(1)
    batch = TokenBatch.from_passage()
    bank = FeatureBank(folder, FeatureKey.create(architectures[0].space, batch.digest))
    seconds = dict.fromkeys(kinds, 0.0)
    for place, architecture in enumerate(architectures):
        for kind in kinds if place % 2 else reversed(kinds):
            model: Any = SPACES[architecture.space].build(architecture, 0, None).eval()
            start = time.perf_counter()
            bare(model, batch) if kind == "bare" else full(model, batch, bank, architecture)
            seconds[kind] += time.perf_counter() - start
    return seconds


def peak(kind: str, options: argparse.Namespace) -> float:
    """MiB that the visits of one kind add to a process that has loaded everything and one small network."""
    command = [sys.executable, "-m", "bench.speed.extraction", "--benchmark", options.benchmark, "--count",
               str(options.count), "--peak", kind]  # fmt: skip
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def say_peak(kind: str, architectures: list[Architecture], folder: Path) -> None:
    smallest = min(architectures, key=lambda a: SPACES[a.space].parameters(a).total)
    visits([smallest], (kind,), folder)
    before = high_water()
    visits(architectures, (kind,), folder)
    print(high_water() - before)


def high_water() -> float:
    """Peak resident memory of this process in MiB. Not ru_maxrss on Linux: a child inherits its parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def extract(architectures: list[Architecture], devices: tuple[str, ...], folder: Path, kill: bool = False) -> float:
    """Seconds that an extraction into an empty bank takes; with `kill`, one worker dies after the third network."""
    batch = TokenBatch.from_passage()
    bank = FeatureBank(folder, FeatureKey.create(architectures[0].space, batch.digest))

    def strike(done: int, total: int) -> None:
        if kill and done == 3:
            workers = [p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())]
            workers[0].send_signal(signal.SIGKILL)

    start = time.perf_counter()
    Workshop(bank, batch, devices).extract(architectures, strike)
    return time.perf_counter() - start


def content(folder: Path) -> dict[str, str]:
    """Digests of all files of a bank by name."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", default="gpt2-wt103")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--device-count", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peak", choices=("bare", "full"), help=argparse.SUPPRESS)
    o = parser.parse_args()
    everyone = list(load_benchmark(o.benchmark).architectures)
    chosen = random.Random(0).sample(everyone, o.count)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if o.peak:
            say_peak(o.peak, chosen, folder / "peak")
            return
        seconds = visits(chosen, ("bare", "full"), folder / "paired")
        memory = {kind: peak(kind, o) for kind in ("bare", "full")}
        many = random.Random(0).sample(everyone, min(o.device_count, len(everyone)))
        single, double = (extract(many, ("cpu",) * n, folder / f"devices{n}") for n in (1, 2))
        extract(many[: o.count], ("cpu", "cpu"), folder / "killed", kill=True)
        banks = [content(folder / name) for name in ("devices1", "devices2", "killed")]
    found = {
        "benchmark": o.benchmark, "networks": o.count, "bare_seconds": seconds["bare"],
        "full_seconds": seconds["full"], "time_ratio": seconds["full"] / seconds["bare"],
        "bare_mib": memory["bare"], "full_mib": memory["full"], "memory_ratio": memory["full"] / memory["bare"],
        "one_worker_seconds": single, "two_workers_seconds": double, "speedup": single / double,
        "same_bank": banks[0] == banks[1],
        "same_bank_after_kill": len(banks[2]) >= min(o.count, len(many)) and banks[2].items() <= banks[0].items(),
    }  # fmt: skip
    if o.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{o.benchmark}, {o.count} random networks, 4 x 64 tokens, one thread")
    print(f"bare forward + backward {seconds['bare']:.1f} s, all of an extraction {seconds['full']:.1f} s: ratio "
          f"{found['time_ratio']:.2f}")  # fmt: skip
    print(f"peak memory {memory['bare']:.0f} MiB and {memory['full']:.0f} MiB: ratio {found['memory_ratio']:.2f}")
    print(f"{len(many)} networks: one worker {single:.1f} s, two {double:.1f} s: {found['speedup']:.2f} times faster")
    print(f"same bank byte for byte: {found['same_bank']}; with one worker killed: {found['same_bank_after_kill']}")


if __name__ == "__main__":
    main()
