"""LLaMA-7B, nine subnets of LoNAS (the heuristic one, the smallest, one of ratio 7/8, six random ones) and a network of
the sizes of LLaMA-13B, visited one after the other and ranked by `rank` itself.

What is done stays in a folder, so a run that was ended goes on where it was.
By the six of them that were measured all take 11 minutes of one core with a formula without gradients, and by LLaMA-7B
alone 41 with one of G (4 x 64 tokens); the peak was 2.1 and 2.9 GiB.
"""

from __future__ import annotations

import json
import random
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import cli
from bench.speed.extraction import high_water
from bench.speed.passes import clocked, flops_of, matmul_rate, uniform
from models.architecture import Architecture
from models.spaces.llama.space import RATIOS

__all__ = ["candidates", "large"]


def seven_billion(id: str, ffn: int | list[int] = 11008) -> Architecture:
    return uniform(id, 32, 4096, 32, ffn)


def candidates() -> list[Architecture]:
    """LLaMA-7B, nine subnets, and the sizes of LLaMA-13B."""
    rng, widths = random.Random(0), [round(11008 * ratio) for ratio in RATIOS]
    drawn = [seven_billion(f"random-{i}", [rng.choice(widths) for _ in range(32)]) for i in range(6)]
    fixed = {"LLaMA-7B": 11008, "heuristic": 8256, "smallest": 5504, "ratio-0.875": 9632}
    named = [seven_billion(id, ffn) for id, ffn in fixed.items()]
    return [*named, uniform("13B", 40, 5120, 40, 13824), *drawn]


def large(chosen: list[Architecture], formula: str, length: int, folder: Path) -> None:
    """Visit each that the folder has not, a line for each; then rank them all."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"visits-{length}.jsonl"
    done = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    known = {(row["id"], row["formula"]): row for row in done}
    for architecture in chosen:
        if (architecture.id, formula) not in known:
            row = one(architecture, formula, length, folder)
            with log.open("a") as file:
                file.write(json.dumps(row) + "\n")
            known[architecture.id, formula] = row
        print(line(known[architecture.id, formula]), flush=True)
    rows = [known[a.id, formula] for a in chosen]
    print(line({key: sum(row[key] for row in rows) for key in ("wall", "made", "passes", "read", "flops")} | {
        "id": f"all {len(rows)}", "peak": max(row["peak"] for row in rows),
        "matmul": sum(row["flops"] for row in rows) / sum(row["flops"] / row["matmul"] for row in rows),
    }), flush=True)  # fmt: skip
    rank(chosen, formula, length, folder)


def one(architecture: Architecture, formula: str, length: int, folder: Path) -> dict[str, Any]:
    """Cost of `rank` for one network, beside a matrix product measured at the same time."""
    before = matmul_rate(4 * length)
    with clocked() as clock:
        start = time.perf_counter()
        with redirect_stdout(StringIO()):
            rank([architecture], formula, length, folder)
        wall = time.perf_counter() - start
    row = {"id": architecture.id, "formula": formula, "wall": wall, "made": clock.made, "passes": clock.passes}
    row |= {"read": clock.read, "flops": flops_of(architecture, 4, length, formula), "peak": high_water() / 1024}
    return row | {"matmul": max(before, matmul_rate(4 * length))}


def line(row: dict[str, Any]) -> str:
    rate = row["flops"] / row["passes"]
    seconds = f"made {row['made']:.0f} s, passes {row['passes']:.0f}, read {row['read']:.0f}"
    return (
        f"{row['id']}: {row['wall'] / 60:.1f} minutes (processor: {seconds}), peak {row['peak']:.2f} GiB; "
        f"passes {rate / 1e9:.1f} GFLOP/s, {rate / row['matmul']:.0%} of a matrix product ({row['matmul'] / 1e9:.1f})"
    )


def rank(chosen: list[Architecture], formula: str, length: int, folder: Path) -> None:
    path = folder / "candidates.jsonl"
    records = [{"id": a.id, "space": "llama", "config": dict(a.config)} for a in chosen]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    options = ["--stream", "--devices", "cpu", "--bank", str(folder / "bank"), "--seq-len", str(length)]
    if code := cli.main(["rank", str(path), "--proxy", formula, *options]):
        raise SystemExit(code)
