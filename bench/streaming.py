"""Networks in the memory of one block: peak memory against depth, one wide block, and LLaMA-7B through `rank` itself.

    python -m bench.streaming depth [--plot docs/streaming.png]
    python -m bench.streaming block
    python -m bench.streaming large [--only LLaMA-7B] [--seq-len 64]

`depth` visits networks of one width, whole and block by block, each in a process of its own. `block` makes, passes and
reads one block of LLaMA-7B and says what all 32 would take. `large` ranks LLaMA-7B, nine subnets of LoNAS (the
heuristic one, the smallest, one of ratio 3/4, six random ones) and a network of the sizes of LLaMA-13B: an hour of two
cores and 5 GiB. Rates of the passes stand beside that of a matrix product of the same sizes, in the same run.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import fitness.features.visit as visit_module
from bench.extraction import high_water
from commands.tables import table
from engine.threads import one_thread
from fitness.features.streaming import Block, See, stream
from fitness.features.workshop import Workshop
from models.architecture import Architecture
from models.spaces import PARTED
from models.spaces.llama import RATIOS
from models.tokens import TokenBatch
from primitives.grammar import parse

SPACE = PARTED["llama"]
DEPTHS, WIDTH, FFN = (2, 4, 8, 16, 32), 512, 1408
FORMULA = "falling[ pow2(frobenius_norm(H)) ]"
HEAVY = "sum[ product( to_std(W), to_std(G) ) ]"


@dataclass
class Clock:
    """Seconds of making blocks, of passes and of reading what they show."""

    total: float = 0.0
    made: float = 0.0
    read: float = 0.0

    @property
    def passes(self) -> float:
        return self.total - self.made - self.read

    def run(self, parts: Any, tokens: torch.Tensor, see: See) -> float:
        """`stream`, with the clock at its doors."""
        fill, start = parts.fill, time.perf_counter()

        def timed_fill(module: Any, prefix: str) -> None:
            begin = time.perf_counter()
            fill(module, prefix)
            self.made += time.perf_counter() - begin

        def timed_see(index: int, block: Block) -> None:
            begin = time.perf_counter()
            see(index, block)
            self.read += time.perf_counter() - begin

        parts.fill = timed_fill
        loss = stream(parts, tokens, timed_see)
        self.total += time.perf_counter() - start
        return loss


@contextmanager
def clocked() -> Iterator[Clock]:
    """The clock of all streamed visits of this process."""
    clock = Clock()
    visit_module.stream = clock.run
    try:
        yield clock
    finally:
        visit_module.stream = stream


def uniform(id: str, blocks: int, width: int, heads: int, ffn: int | list[int], tokens: int = 32000) -> Architecture:
    """A network whose blocks differ in their feed-forward widths at most."""
    widths = [ffn] * blocks if isinstance(ffn, int) else ffn
    lists = {"n_head": [heads] * blocks, "n_kv_head": [heads] * blocks, "d_ffn": widths}
    return SPACE.architecture(id, {"n_layer": blocks, "d_model": width, "n_token": tokens, "tgt_len": 2048, **lists})


def seven_billion(id: str, ffn: int | list[int] = 11008) -> Architecture:
    return uniform(id, 32, 4096, 32, ffn)


def candidates() -> list[Architecture]:
    """LLaMA-7B, nine subnets, and the sizes of LLaMA-13B."""
    rng, widths = random.Random(0), [round(11008 * ratio) for ratio in RATIOS]
    drawn = [seven_billion(f"random-{i}", [rng.choice(widths) for _ in range(32)]) for i in range(6)]
    fixed = {"LLaMA-7B": 11008, "heuristic": 8256, "smallest": 5504, "ratio-0.875": 9632}
    named = [seven_billion(id, ffn) for id, ffn in fixed.items()]
    return [*named, *drawn, uniform("13B", 40, 5120, 40, 13824)]


def flops_of(architecture: Architecture, batch: int, length: int) -> float:
    """Of the passes: forward, forward again, back to inputs and to weights; of the head, forward and to its input."""
    blocks = 4 * 2 * batch * SPACE.multiply_adds(architecture, length)
    head = 2 * 2 * batch * (length - 1) * architecture.config["n_token"] * architecture.config["d_model"]
    return blocks + head


def matmul_rate(rows: int, width: int = 4096, out: int = 11008) -> float:
    """FLOP/s of (rows, width) times (width, out), the best of five."""
    x, w = torch.randn(rows, width), torch.randn(out, width)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        x @ w.T
        times.append(time.perf_counter() - start)
    return 2 * rows * width * out / min(times[1:])


def one(depth: int, streamed: bool) -> None:
    """A visit in this process; prints its peak and its seconds."""
    with tempfile.TemporaryDirectory() as bank:
        workshop = Workshop.open("llama", devices="cpu", bank=Path(bank), stream=streamed)
        start = time.perf_counter()
        workshop.exact_scores([parse(FORMULA), parse(HEAVY)], [uniform("x", depth, WIDTH, 8, FFN, 256)])
        print(json.dumps({"peak": high_water(), "seconds": time.perf_counter() - start}))


def depth(plot: Path | None) -> None:
    rows = []
    for blocks in DEPTHS:
        row: dict[str, Any] = {"blocks": blocks}
        for way in ("whole", "stream"):
            command = [sys.executable, "-m", "bench.streaming", "one", "--blocks", str(blocks), "--way", way]
            found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            row |= {f"{way}, MiB": round(found["peak"]), f"{way}, s": round(found["seconds"], 1)}
        rows.append(row)
    print(table(rows, f"a visit of networks of width {WIDTH}, FFN {FFN}, 4 x 64 tokens: peak memory and seconds", 100))
    if plot is not None:
        draw(rows, plot)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(5, 3.2), dpi=110, layout="constrained")
    for way, label, mark in (("whole", "held as a whole", "s--"), ("stream", "block by block", "o-")):
        axis.plot([r["blocks"] for r in rows], [r[f"{way}, MiB"] for r in rows], mark, label=label)
    axis.set(xlabel="blocks", ylabel="peak memory of the process (MiB)", ylim=(0, None))
    axis.legend()
    figure.savefig(path)


def block() -> None:
    """One block of LLaMA-7B, read as `rank` reads it, and what 32 take."""
    architecture, batch = uniform("one block", 1, 4096, 32, 11008, 256), TokenBatch.from_passage(4, 64)
    rows = batch.tokens.numel()
    with one_thread():
        rate = matmul_rate(rows)
    with tempfile.TemporaryDirectory() as bank, clocked() as clock:
        workshop = Workshop.open("llama", devices="cpu", bank=Path(bank), stream=True)
        workshop.exact_scores([parse(FORMULA)], [architecture])
    done = flops_of(architecture, 4, 64) / clock.passes
    print(f"matrix product: {rate / 1e9:.1f} GFLOP/s, one thread")
    print(f"one block: made twice {clock.made:.1f} s, passes {clock.passes:.1f} s, read {clock.read:.1f} s")
    print(
        f"passes: {done / 1e9:.1f} GFLOP/s, {done / rate:.0%} of the matrix product; peak {high_water() / 1024:.2f} GiB"
    )
    print(f"32 blocks, without table and head: {32 * clock.total / 60:.1f} minutes")


def large(only: str | None, length: int) -> None:
    import cli

    chosen = [a for a in candidates() if only in (None, a.id)]
    with one_thread():
        rate = matmul_rate(4 * length)
    with tempfile.TemporaryDirectory() as folder, clocked() as clock:
        path = Path(folder) / "large.jsonl"
        records = [{"id": a.id, "space": "llama", "config": dict(a.config)} for a in chosen]
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        start = time.perf_counter()
        ranked = cli.main([
            "rank", str(path), "--proxy", FORMULA, "--stream", "--devices", "cpu", "--bank", folder,
            "--seq-len", str(length),
        ])  # fmt: skip
        wall = time.perf_counter() - start
    if ranked == 0 and clock.total:
        done = sum(flops_of(a, 4, length) for a in chosen) / clock.passes
        print(f"{len(chosen)} networks: {wall / 60:.1f} minutes, peak {high_water() / 1024:.2f} GiB")
        print(f"made {clock.made / 60:.1f}, passes {clock.passes / 60:.1f}, read {clock.read / 60:.1f} minutes")
        print(f"passes {done / 1e9:.1f} GFLOP/s, {done / rate:.0%} of a matrix product ({rate / 1e9:.1f}), one thread")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("depth", "block", "large", "one"))
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--only", choices=[a.id for a in candidates()])
    parser.add_argument("--seq-len", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=2, help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=("whole", "stream"), default="stream", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.what == "depth":
        depth(options.plot)
    elif options.what == "block":
        block()
    elif options.what == "large":
        large(options.only, options.seq_len)
    else:
        one(options.blocks, options.way == "stream")


if __name__ == "__main__":
    main()
