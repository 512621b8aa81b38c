"""Killed at random moments: `evolve` and `extract` in real processes, SIGKILL to the whole group, again until done.

    python -m tests.robustness.crashes [--kills 20] [--iterations 400] [--devices cpu,cpu] [--seed 0]

Every file of the finished run, and of the bank, must have the bytes of an uninterrupted one, and no temporary file may
be left. Exit code 1 if anything differs.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.robustness.small import SEARCH, write_jsonl

ROOT = Path(__file__).resolve().parents[2]
IGNORED = ("environment.json",)  # where it ran, not what came out


@dataclass
class Crashes:
    """How often a command was killed, where it was then, and what differs in the end."""

    kills: int = 0
    rounds: int = 0
    moments: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Study:
    """A folder with a small benchmark, and the options of the two commands."""

    folder: Path
    iterations: int
    devices: str

    @property
    def table(self) -> Path:
        path = self.folder / "tiny.jsonl"
        return path if path.exists() else write_jsonl(path)

    def _features(self, bank: Path) -> list[str]:
        return ["--batch", "2", "--seq-len", "24", "--devices", self.devices, "--bank", str(bank)]

    def evolve(self, bank: Path, out: Path) -> list[str]:
        """A search, or the rest of one that was begun."""
        if (out / "config.json").exists():
            return ["evolve", "--resume", str(out), "--devices", self.devices, "--bank", str(bank)]
        search = [*SEARCH, "--iterations", str(self.iterations)]
        return ["evolve", "--benchmark", str(self.table), *search, "--out", str(out), *self._features(bank)]

    def extract(self, bank: Path) -> list[str]:
        """All features."""
        return ["extract", "--benchmark", str(self.table), *self._features(bank)]


def start(arguments: Sequence[str], largest_file: int | None = None) -> subprocess.Popen[str]:
    """A real process of the program, in a group of its own; where no file may grow beyond `largest_file` bytes,
    writing fails as on a full disk."""
    command = [sys.executable, "cli.py", *arguments]
    limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (largest_file or 0, largest_file or 0))
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            start_new_session=True, preexec_fn=limit if largest_file else None)  # fmt: skip


def finish(arguments: Sequence[str]) -> float:
    """Run to the end; the seconds it took."""
    begun, process = time.monotonic(), start(arguments)
    _, error = process.communicate(timeout=600)
    if process.returncode != 0 or "Traceback" in error:
        raise SystemExit(f"{' '.join(arguments)}: exit code {process.returncode}: {error[-2000:]}")
    return time.monotonic() - begun


def kill_after(seconds: float, arguments: Sequence[str]) -> bool:
    """Kill the process and its workers after a while; False if it was done before."""
    process = start(arguments)
    try:
        process.communicate(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)  # the workers notice by themselves
        process.communicate()
        return True


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below the folder, hidden ones too, by relative path."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in IGNORED]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def crash(
    command: Callable[[Path], list[str]], whole: Path, folder: Path, seconds: float, kills: int, rng: random.Random
) -> Crashes:
    """Kill `command` at random moments of the `seconds` that it takes, until `kills` kills have hit it.

    `command(place)` works on `place`; what it makes there must equal what lies at `whole`.
    """
    crashes = Crashes()
    while crashes.kills < kills:
        place, crashes.rounds = folder / f"round{crashes.rounds}", crashes.rounds + 1
        while crashes.kills < kills:
            if not kill_after(rng.uniform(0.1, 1.0) * seconds, command(place)):
                break
            crashes.kills += 1
            crashes.moments.append(_moment(place))
        finish(command(place))
        crashes.differences += difference(contents(whole), contents(place))
    return crashes


def difference(whole: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    """What is missing, too much, or other."""
    names = sorted({*whole, *found})
    return [name for name in names if whole.get(name) != found.get(name)]


def _moment(place: Path) -> str:
    """How far a killed command had come, by the files that it left."""
    names = [path.name for path in place.rglob("*") if path.is_file()] if place.exists() else []
    for name, moment in (("hall_of_fame.json", "after the end"), ("checkpoint.json", "search or exact scores"),
                         ("generations.jsonl", "first second of the search"), ("config.json", "features")):  # fmt: skip
        if name in names:
            return moment
    return "bank half full" if any(name.endswith(".safetensors") for name in names) else "start"


def study(
    folder: Path, kills: int, iterations: int, devices: str, seed: int, commands: Sequence[str] = ("extract", "evolve")
) -> dict[str, Crashes]:
    """Both commands, uninterrupted and killed."""
    small, rng, found = Study(folder, iterations, devices), random.Random(seed), dict[str, Crashes]()
    whole_bank, whole_run = folder / "whole-bank", folder / "whole-run"
    seconds = finish(small.extract(whole_bank))
    if "extract" in commands:
        found["extract"] = crash(small.extract, whole_bank, folder / "extract", seconds, kills, rng)
    if "evolve" in commands:
        seconds = finish(small.evolve(folder / "bank", whole_run))

        def both(place: Path) -> list[str]:
            return small.evolve(place.parent / f"{place.name}-bank", place)

        found["evolve"] = crash(both, whole_run, folder / "evolve", seconds, kills, rng)
        for bank in (folder / "evolve").glob("*-bank"):
            found["evolve"].differences += difference(contents(folder / "bank"), contents(bank))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=400)
    parser.add_argument("--devices", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = study(Path(folder), options.kills, options.iterations, options.devices, options.seed)
    for name, crashes in found.items():
        print(f"{name}: {crashes.kills} kills in {crashes.rounds} runs, {len(crashes.differences)} files differ")
        for moment in sorted(set(crashes.moments)):
            print(f"  {crashes.moments.count(moment):3} {moment}")
        for name_ in crashes.differences[:20]:
            print(f"  DIFFERS {name_}")
    return 1 if any(crashes.differences for crashes in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
