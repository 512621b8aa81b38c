"""Every measurement of bench/ that can be small, at its smallest size on made-up benchmarks.

    python -m tests.robustness.benches [NAME ...]

Each runs in this process as its page prints it, with fewer rows, seeds and iterations; what it prints is thrown away,
and the first that fails ends it. Left out, because their size is their subject: README's first command in
`speed.profile`, `speed.search` (enumerates all trees), `speed.streaming` of all depths and of LLaMA-7B (one visit runs
here), `speed.extraction` and `speed.engine` (time starts of processes and a cluster). `science.cuts` runs in
tests/test_bench_cuts.py. `science.peers` ends with one line where its libraries are not installed.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from gp.config import PRESETS, SearchConfig
from models.benchmarks.origins import load_benchmark
from tests.robustness.small import evolve_here, write_jsonl

FEW: dict[str, Any] = {
    "iterations": 4, "population": 6, "brood": 3, "sweeps": 1, "folds": 0, "branches": 2, "n_unary": 1,
    "inputs": ("W", "G"),
}  # fmt: skip
COMMANDS: tuple[tuple[str, str], ...] = (
    ("science.one_size", "--benchmark T.jsonl --labels 20 --seed 100"),
    ("science.law", "--benchmark T.jsonl U.jsonl --seeds 42 --size 12 --published --out law.json"),
    (
        "science.equal_size",
        "--benchmark T.jsonl --law T.jsonl U.jsonl --labels 12 --seeds 42 --rows e.jsonl --out e.png",
    ),
    ("science.budgets", "--benchmark T.jsonl --labels 20 --seeds 42"),
    ("science.halls", "--benchmark T.jsonl --seeds 42 --sizes 50 --sketch"),
    ("science.predictors", "--benchmark T.jsonl --seeds 42 --labels 12 20 --sketch --out figures --json all.json"),
    ("science.seeds", "--benchmark T.jsonl --seeds 42 --search-size 20 --hall-size 2 --inside"),
    ("science.seeds", "--predictors --benchmark T.jsonl --seeds 42 --search-size 12 --sketch"),
    ("science.peers", "--benchmark T.jsonl --seeds 42 --labels 20 --teacher none always --seconds 0.1 --screen 0 9"),
    ("science.selection", "--benchmark T.jsonl --seeds 42"),
    ("science.selection", "--propose chosen.jsonl --networks 6"),
    ("science.selection", "--compare trained.jsonl"),
    ("science.transfer", "--out rows.jsonl --benchmark T.jsonl U.jsonl --seeds 42 --size 12"),
    ("science.transfer", "--out rows.jsonl --table"),
    ("science.universal", "run/hall_of_fame.json --sample 6"),
    ("science.signal", "--benchmark T.jsonl --permutations 20"),
    ("science.picture", "run/hall_of_fame.json picture.png"),
    ("science.families", "gpt2 llama"),
    ("speed.profile", "--only rank networks --candidates 20 --networks 1 --large gpt2-mini"),
    ("speed.scaling", "--stream 10 --plot scaling.png"),
    ("speed.streaming", "one --blocks 1"),
)


@contextlib.contextmanager
def smaller() -> Iterator[None]:
    """A block in which searches are short, one process works, and benchmarks of fixed names are the small one."""
    from bench.science import budgets, equal_size, halls, peers, seeds, selection, transfer
    from bench.speed import scaling
    from fitness.features import workshop
    from fitness.predictors import ensemble

    with contextlib.ExitStack() as patches:
        enter = patches.enter_context
        enter(patch.object(workshop, "check_devices", lambda text: ("cpu",)))
        enter(patch.object(ensemble, "ENSEMBLE", ("ridge",)))
        enter(patch.object(budgets, "SearchConfig", partial(SearchConfig, **FEW)))
        enter(patch.object(equal_size, "SearchConfig", partial(SearchConfig, **FEW)))
        enter(patch.object(budgets, "BENCHMARKS", ()))
        enter(patch.object(halls, "SearchConfig", partial(SearchConfig, **FEW)))
        enter(patch.dict(peers.SETTINGS, FEW, pool=3))
        enter(patch.dict(seeds.SETTINGS, default=FEW))
        enter(patch.dict(transfer.SETTINGS, universal={**PRESETS["universal"], **FEW}))
        enter(patch.object(selection, "load_benchmark", lambda name: load_benchmark("T.jsonl")))
        for name in ("COUNTS", "DEPTHS"):
            enter(patch.object(scaling, name, (1, 2)))
        yield


def train_chosen() -> None:
    """Write the file that training the proposed architectures would give, with made-up losses."""
    header, *lines = map(json.loads, Path("chosen.jsonl").read_text().splitlines())
    rows = [line | {"loss": 3.0, "replicates": [3.0 + place / 100, 3.1]} for place, line in enumerate(lines)]
    Path("trained.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (header, *rows)))


def run(module: str, words: list[str]) -> None:
    """A measurement with these words; SystemExit if it fails."""
    found = importlib.import_module(f"bench.{module}")
    if "--compare" in words:
        train_chosen()
    given: list[Any] = {"science.picture": list(map(Path, words)), "science.families": [words]}.get(module, [])
    page, talk = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(page), contextlib.redirect_stderr(talk),
        patch.object(sys, "argv", [module, *words]),
    ):  # fmt: skip
        code = found.main(*given)
    if code or ("nan" in page.getvalue() and "--table" not in words):
        raise SystemExit(f"bench.{module} {' '.join(words)}: {code or 'prints nan'}\n{page.getvalue()}")


def main(chosen: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), smaller():
        for name in ("T", "U"):
            write_jsonl(Path(f"{name}.jsonl"), 80)
        evolve_here(Path("T.jsonl"), Path(".cache/bank"), Path("run"), "--iterations", "12", "--hall-size", "2")
        Path("figures").mkdir()
        for module, words in COMMANDS:
            if not chosen or module in chosen:
                start = time.process_time()
                run(module, words.split())
                print(f"bench.{module} {words}: {time.process_time() - start:.1f} s of processor", flush=True)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main(sys.argv[1:]))
