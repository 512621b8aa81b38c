"""Networks in the memory of one block: peak memory against depth, one wide block, and LLaMA-7B through `rank` itself.

    python -m bench.speed.streaming depth [--plot docs/streaming.png]
    python -m bench.speed.streaming block [--proxy TEXT] [--seq-len 64]
    python -m bench.speed.streaming large [--bank DIR] [--only LLaMA-7B] [--proxy TEXT] [--seq-len 64]

`depth` visits networks of one width, whole and block by block, each in a process of its own. `block` makes, passes and
reads one block of LLaMA-7B and says what all 32 would take. `large` ranks LLaMA-7B, nine subnets of LoNAS and a network
of the sizes of LLaMA-13B (`large.py`). Rates of the passes stand beside that of a matrix product of the same
sizes, in the same run. Where fresh memory is slow, as in a virtual machine, keep what a block leaves for the next one:
MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=8000000000 in the environment (glibc), which halves the making of blocks.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.speed.extraction import high_water
from bench.speed.large import candidates, large
from bench.speed.passes import clocked, flops_of, matmul_rate, uniform
from commands.tables import table
from fitness.features.workshop import Workshop
from models.tokens import TokenBatch
from primitives.grammar import parse

DEPTHS, WIDTH, FFN = (2, 4, 8, 16, 32), 512, 1408
SEEN = 3
FORMULA = "sum[ frobenius_norm(G) ]"
HEAVY = "sum[ product( to_std(W), to_std(G) ) ]"


def one(depth: int, streamed: bool) -> None:
    """A visit in this process; prints its peak and its seconds."""
    with tempfile.TemporaryDirectory() as bank:
        workshop = Workshop.open("llama", devices="cpu", bank=Path(bank), stream=streamed)
        start = time.perf_counter()
        workshop.prepare([parse(FORMULA), parse(HEAVY)], [uniform("x", depth, WIDTH, 8, FFN, 256)])
        print(json.dumps({"peak": high_water(), "seconds": time.perf_counter() - start}))


def depth(plot: Path | None) -> None:
    rows = []
    for blocks in DEPTHS:
        row: dict[str, Any] = {"blocks": blocks}
        for way in ("whole", "stream"):
            command = [sys.executable, "-m", "bench.speed.streaming", "one", "--blocks", str(blocks), "--way", way]
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


def block(formula: str, length: int) -> None:
    """Blocks of LLaMA-7B, read as `rank` reads them, and what 32 take."""
    architecture, batch = uniform("x", SEEN, 4096, 32, 11008, 256), TokenBatch.from_passage(4, length)
    rate = matmul_rate(batch.tokens.numel())
    with tempfile.TemporaryDirectory() as bank, clocked() as clock:
        workshop = Workshop.open("llama", length=length, devices="cpu", bank=Path(bank), stream=True)
        workshop.exact_scores([parse(formula)], [architecture])
    done = flops_of(architecture, 4, length, formula) / clock.passes
    print(f"{formula}, 4 x {length} tokens; seconds of the processor, one thread")
    print(f"matrix product: {rate / 1e9:.1f} GFLOP/s")
    made, passes, read = (seconds / SEEN for seconds in (clock.made, clock.passes, clock.read))
    print(f"each of {SEEN} blocks: made {made:.1f} s, passes {passes:.1f} s, read {read:.1f} s")
    print(
        f"passes: {done / 1e9:.1f} GFLOP/s, {done / rate:.0%} of the matrix product; peak {high_water() / 1024:.2f} GiB"
    )
    print(f"32 blocks, without table and head: {32 / SEEN * clock.total / 60:.1f} minutes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("depth", "block", "large", "one"))
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--only", choices=[a.id for a in candidates()])
    parser.add_argument("--seq-len", type=int, default=64)
    parser.add_argument("--proxy", default=FORMULA)
    parser.add_argument("--bank", type=Path, help="Folder of what `large` has done, so that it goes on from there.")
    parser.add_argument("--blocks", type=int, default=2, help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=("whole", "stream"), default="stream", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.what == "depth":
        depth(options.plot)
    elif options.what == "block":
        block(options.proxy, options.seq_len)
    elif options.what == "large":
        with tempfile.TemporaryDirectory() as temporary:
            chosen = [a for a in candidates() if options.only in (None, a.id)]
            large(chosen, options.proxy, options.seq_len, options.bank or Path(temporary))
    else:
        one(options.blocks, options.way == "stream")


if __name__ == "__main__":
    main()
