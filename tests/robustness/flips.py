"""Flipped bits: one at a random position of each kind of file: bank, branch table, checkpoint, settings, hall of fame.

    python -m tests.robustness.flips [--flips 200] [--seed 0]

Each must be noticed by the loader, or what is loaded must equal what was written (a flip in white space, say). Exit
code 1 if one is neither.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fitness.features.bank import FeatureBank, FeatureKey
from fitness.features.figures import formula_scores
from fitness.features.workshop import Workshop
from fitness.tables.branches import BranchTable
from fitness.tables.table_file import branch_table, load_branches, save_branches, table_key
from gp.hall_file import load_hall
from gp.runs.files import RunFiles
from models.benchmarks.layouts import read_benchmark
from models.tokens import TokenBatch
from storage.files import BadFile
from tests.robustness.small import evolve_here, write_jsonl

Loader = Callable[[], Any]


def targets(folder: Path) -> dict[str, tuple[Path, Loader]]:
    """Files of a real run, and what reads each: plain data, or None if it does not trust the file."""
    table = write_jsonl(folder / "tiny.jsonl")
    run = evolve_here(table, folder / "bank", folder / "run", "--iterations", "30")
    bank = FeatureBank(folder / "bank", FeatureKey.create("gpt2", TokenBatch.from_passage(2, 24).digest))
    scores = formula_scores([])
    chosen = next(a for a in read_benchmark(table).architectures if scores.load(bank, a))

    def sketch() -> Any:
        entry = bank.load_sketch(chosen)
        arrays = entry and [*entry.samples.values(), *entry.layout.values()]
        return arrays and [entry.blocks, entry.loss, *(np.ascontiguousarray(x).tobytes() for x in arrays)]

    def opened(read: Callable[[RunFiles], Any]) -> Any:
        with RunFiles.resume(run) as files:
            return read(files)

    def state(files: RunFiles) -> Any:
        loaded = files.load_state(files.settings.search)
        return loaded and loaded.to_dict()

    architectures = read_benchmark(table).architectures[:4]
    branches = branch_table(architectures, Workshop(bank, TokenBatch.from_passage(2, 24)))
    branches.fill("W", [("abs",), ("exp", "to_std")])
    save_branches(branches, bank, architectures)

    def kept() -> Any:
        again = BranchTable([entry for entry in map(bank.load_sketch, architectures) if entry is not None])
        known = again.known() if load_branches(again, bank, architectures) else {}
        return {(name, chain): x.tobytes() for name, chains in known.items() for chain, x in chains.items()} or None

    return {
        "branch table": (bank.tables.path(table_key(bank, architectures)), kept),
        "sketch": (bank.sketches.path(bank.entry(chosen)), sketch),
        "exact scores": (scores.shelf(bank).path(bank.entry(chosen)), lambda: scores.load(bank, chosen) or None),
        "checkpoint": (run / "checkpoint.json", lambda: opened(state)),
        "settings": (run / "config.json", lambda: opened(lambda files: files.settings)),
        "hall of fame": (run / "hall_of_fame.json", lambda: load_hall(run / "hall_of_fame.json")),
    }


def flip(path: Path, load: Loader, flips: int, rng: random.Random) -> Counter[str]:
    """How many flips were noticed, how many are without effect, and how many are wrong."""
    whole, wanted, counts = path.read_bytes(), load(), Counter[str]()
    for _ in range(flips):
        at = rng.randrange(len(whole))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :])
        try:
            found = load()
        except BadFile:
            found = None
        counts["noticed" if found is None else "without effect" if found == wanted else "WRONG"] += 1
        for left in path.parent.glob("*.damaged"):
            left.unlink()
    path.write_bytes(whole)
    return counts


def run(flips: int, seed: int) -> dict[str, Counter[str]]:
    """Every kind of file, flipped."""
    rng, folder = random.Random(seed), Path(tempfile.mkdtemp())
    try:
        return {name: flip(path, load, flips, rng) for name, (path, load) in targets(folder).items()}
    finally:
        shutil.rmtree(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = run(options.flips, options.seed)
    for name, counts in found.items():
        print(f"{name:13} " + ", ".join(f"{counts[key]} {key}" for key in ("noticed", "without effect", "WRONG")))
    return 1 if any(counts["WRONG"] for counts in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
