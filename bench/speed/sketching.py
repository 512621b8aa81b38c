"""What a sketch costs against the size of its tensor: nanoseconds per entry from 10^4 to 10^8 entries, beside a sort.

    python -m bench.speed.sketching [--largest 100000000] [--plot docs/sketching.png] [--json]

Processor time of one thread, the least of several repeats. The sort is numpy's, which on processors with AVX2 is
vectorised; NPY_DISABLE_CPU_FEATURES="X86_V3 X86_V4 AVX512_ICL" shows what it costs on the others.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.threads import one_thread
from fitness.features.sketch import sketches

SIZES = (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)


def least(work: Callable[[], object], size: int) -> float:
    """Processor seconds of the fastest of several repeats, more of them where they are short."""
    times = []
    for _ in range(max(3, min(50, 5_000_000 // size))):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def measure(size: int) -> dict[str, float]:
    """Seconds of a sketch and of a sort of one square matrix of normal entries."""
    side = int(size**0.5)
    x = torch.randn(side, side, generator=torch.Generator().manual_seed(0))
    flat = x.numpy().ravel()
    return {
        "entries": side * side, "sketch": least(lambda: sketches([("W", x)]), size),
        "sort": least(lambda: np.sort(flat), size),
    }  # fmt: skip


def exponent(rows: list[dict[str, float]], what: str) -> float:
    """Slope of log time over log size from 10^5 entries on, where constant costs no longer show."""
    large = [row for row in rows if row["entries"] > 50_000]
    return float(np.polyfit(*(np.log([row[name] for row in large]) for name in ("entries", what)), 1)[0])


def plot(found: dict[str, Any], path: Path) -> None:
    """Both costs on logarithmic axes, and a line of exponent 1."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(5, 3.4), dpi=110, layout="constrained")
    sizes = [row["entries"] for row in found["rows"]]
    for what, look in (("sketch", "o-"), ("sort", "s:")):
        label = f"{what}, exponent {found[f'{what}_exponent']:.2f}"
        axis.loglog(sizes, [row[what] for row in found["rows"]], look, color="black", label=label)
    last = found["rows"][-1]
    axis.loglog(sizes, [last["sketch"] * s / sizes[-1] for s in sizes], "--", color="grey", label="linear")
    axis.set_xlabel("entries of the tensor")
    axis.set_ylabel("processor seconds")
    axis.legend(frameon=False)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=int, default=SIZES[-1])
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", action="store_true")
    o = parser.parse_args()
    with one_thread():
        rows = [measure(size) for size in SIZES if size <= o.largest]
    found: dict[str, Any] = {"rows": rows, **{f"{w}_exponent": exponent(rows, w) for w in ("sketch", "sort")}}
    if o.plot:
        plot(found, o.plot)
    if o.json:
        print(json.dumps(found, indent=2))
        return
    for row in rows:
        each = {what: 1e9 * row[what] / row["entries"] for what in ("sketch", "sort")}
        print(f"{row['entries']:>11,.0f} entries, each: sketch {each['sketch']:6.2f} ns, sort {each['sort']:6.2f} ns")
    print(f"exponents: sketch {found['sketch_exponent']:.3f}, sort {found['sort_exponent']:.3f}")


if __name__ == "__main__":
    main()
