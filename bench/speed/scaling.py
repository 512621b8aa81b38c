"""Growth of cost: branches and formulas against architectures and tensors, and a stream of many architectures.

    python -m bench.speed.scaling [--stream 100000] [--plot docs/scaling.png] [--json]

The time to fill a table and to score 300 formulas is measured for growing numbers of architectures (of one shape) and
for growing depths (of one number of architectures), and a power law is fitted. Then a saved formula scores a stream of
sampled architectures in constant memory: a few hundred of them are real extractions, which the stream repeats, because
extracting 100,000 networks is not this study's subject; its cost is extrapolated from the networks that were extracted.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from bench.speed.extraction import high_water
from engine.threads import one_thread
from fitness.features.bank import SketchEntry, sketch_features
from fitness.features.visit import Visited
from fitness.tables.branches import BranchTable, stream_scores
from fitness.tables.chains import chains_of
from models.architecture import Architecture
from models.spaces import SPACES
from models.tokens import TokenBatch
from primitives.grammar import parse
from primitives.inputs import LETTERS, PAPER
from primitives.proxy import Branch, Proxy

COUNTS = (25, 50, 100, 200, 400)
DEPTHS = (1, 2, 4, 8, 16)
FORMULA = parse("sum[ product( to_std(W), to_std(G) ) ]")


def network(depth: int, rng: random.Random) -> Architecture:
    """A small gpt2 architecture; its sketch is as large as that of a large one of the same depth."""
    config = {
        "n_layer": depth, "d_model": 64, "d_embed": 64, "div_val": 1,
        "n_head": [rng.choice((2, 4, 8)) for _ in range(depth)],
        "d_inner": [rng.randint(64, 256) for _ in range(depth)], "n_token": 300, "tgt_len": 64, "cutoffs": [100, 200],
    }  # fmt: skip
    return SPACES["gpt2"].architecture(f"depth{depth}-{rng.random()}", config)


def entries(depth: int, count: int, batch: TokenBatch) -> list[SketchEntry]:
    """Real sketches of `count` networks of one depth; a few, repeated."""
    rng = random.Random(depth)
    real = [sketch_features(Visited.run(network(depth, rng), batch).features) for _ in range(8)]
    return list(islice(cycle(real), count))


def seconds(table: BranchTable, proxies: list[Proxy]) -> float:
    """Fill all one-unary branches and score the formulas."""
    start = time.perf_counter()
    for name in LETTERS:
        table.fill(name, chains_of(1))
    table.scores(proxies)
    return time.perf_counter() - start


def exponent(sizes: tuple[int, ...], times: list[float]) -> float:
    """Slope of log time over log size for the larger half, where constant costs no longer show."""
    half = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(times[half:]), 1)[0])


def stream(batch: TokenBatch, count: int) -> dict[str, Any]:
    """Score `count` sampled architectures with one formula; peak memory after a tenth and at the end."""
    rng, start = random.Random(0), time.perf_counter()
    real = [
        sketch_features(Visited.run(network(rng.randint(2, 16), rng), batch).features) for _ in range(min(200, count))
    ]
    extraction = (time.perf_counter() - start) / len(real)
    marks: list[float] = []

    def source() -> Iterator[SketchEntry]:
        for place, entry in enumerate(islice(cycle(real), count)):
            if place == count // 10:
                marks.append(high_water())
            yield entry

    start = time.perf_counter()
    done = sum(len(scores) for scores in stream_scores(FORMULA, source()))
    spent = time.perf_counter() - start
    return {
        "streamed": done, "stream_seconds": spent, "architectures_per_second": done / spent,
        "peak_mib_after_a_tenth": marks[0], "peak_mib_at_the_end": high_water(),
        "extraction_seconds_each": extraction, "extraction_hours_extrapolated": extraction * count / 3600,
    }  # fmt: skip


def plot(found: dict[str, Any], path: Path) -> None:
    """Both power laws, on logarithmic axes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), dpi=120, layout="constrained", sharey=True)
    labels = {"architectures": "architectures", "depth": "blocks per architecture"}
    for axis, (what, label) in zip(axes, labels.items(), strict=True):
        sizes, times = found[what]["sizes"], found[what]["seconds"]
        axis.loglog(sizes, times, "o-", color="black", label=f"measured, exponent {found[what]['exponent']:.2f}")
        axis.loglog(sizes, [times[-1] * s / sizes[-1] for s in sizes], "--", color="grey", label="linear")
        axis.set_xlabel(label)
        axis.set_xticks(sizes, [str(s) for s in sizes])
        axis.minorticks_off()
        axis.legend(frameon=False, loc="upper left")
    axes[0].set_ylabel("seconds for branches and 300 formulas")
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stream", type=int, default=100_000)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", action="store_true")
    o = parser.parse_args()
    batch, rng = TokenBatch.from_passage(), random.Random(1)
    chains = chains_of(1)
    draws = [[Branch(rng.choice(PAPER), rng.choice(chains)) for _ in range(2)] for _ in range(300)]
    proxies = [Proxy("sum", left, "sum", right) for left, right in draws]
    found: dict[str, Any] = {}
    with one_thread():
        for what, sizes in (("architectures", COUNTS), ("depth", DEPTHS)):
            tables = [entries(4, n, batch) if what == "architectures" else entries(n, 50, batch) for n in sizes]
            # The fastest of three: others use the machine as well.
            times = [min(seconds(BranchTable(rows), proxies) for _ in range(3)) for rows in tables]
            found[what] = {"sizes": sizes, "seconds": times, "exponent": exponent(sizes, times)}
        found |= stream(batch, o.stream)
    if o.plot:
        plot(found, o.plot)
    if o.json:
        print(json.dumps(found, indent=2))
        return
    for what in ("architectures", "depth"):
        pairs = ", ".join(f"{n}: {t:.2f} s" for n, t in zip(found[what]["sizes"], found[what]["seconds"], strict=True))
        print(f"{what}: {pairs}; exponent {found[what]['exponent']:.2f}")
    print(f"stream of {found['streamed']:,} architectures: {found['stream_seconds']:.0f} s, "
          f"{found['architectures_per_second']:,.0f} a second; peak memory {found['peak_mib_after_a_tenth']:.0f} MiB "
          f"after a tenth, {found['peak_mib_at_the_end']:.0f} MiB at the end")  # fmt: skip
    print(f"extracting them, extrapolated from 200 networks of width 64 at {found['extraction_seconds_each']:.3f} s "
          f"each: {found['extraction_hours_extrapolated']:.1f} h on one core")  # fmt: skip


if __name__ == "__main__":
    main()
