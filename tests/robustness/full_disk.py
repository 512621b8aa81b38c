"""A full disk: `evolve` on a small tmpfs (as root), or where no file may grow, at several amounts of free space.

    python -m tests.robustness.full_disk [--iterations 400]

Each time: one clear line, exit code 1, the checkpoint from before unchanged, and after space is freed a resumed run
with the bytes of an undisturbed one. Exit code 1 if not.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.robustness.crashes import Study, contents, difference, finish, start


@contextmanager
def small_disk(place: Path, kilobytes: int) -> Iterator[None]:
    """A tmpfs of its own at `place`."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fail(small: Study, bank: Path, run: Path, largest_file: int | None) -> list[str]:
    """Resume the run where there is no space; what is not as it must be."""
    before = (run / "checkpoint.json").read_bytes()
    process = start(small.evolve(bank, run), largest_file)
    _, error = process.communicate(timeout=600)
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    print(f"  exit code {process.returncode}: {' '.join(lines)}")
    faults = [] if process.returncode == 1 and len(lines) == 1 and "free space" in lines[0] else ["no clear error"]
    kept = [path.read_bytes() for path in (run / "checkpoint.json", run / "checkpoint.previous.json") if path.exists()]
    faults += [] if before in kept else ["the checkpoint from before is gone"]
    return faults + (["a temporary file is left"] if list(run.glob(".*")) else [])


def begin(small: Study, bank: Path, run: Path) -> None:
    """A run with a checkpoint: it ended early, at its first population."""
    finish([*small.evolve(bank, run), "--time-budget", "0.001s"])
    (run / "hall_of_fame.json").unlink()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=400)
    options = parser.parse_args()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, bank = Study(folder, options.iterations, "cpu"), folder / "bank"
        finish(small.evolve(bank, folder / "whole"))
        size = len((folder / "whole" / "checkpoint.json").read_bytes())
        begin(small, bank, folder / "limited")
        for largest in (size // 4, size * 3 // 4):
            print(f"no file beyond {largest:,} bytes")
            faults += fail(small, bank, folder / "limited", largest)
        finish(small.evolve(bank, folder / "limited"))
        faults += difference(contents(folder / "whole"), contents(folder / "limited"))
        if os.geteuid() == 0:
            print("a tmpfs without free space")
            with small_disk(folder / "disk", 4096):
                run = folder / "disk" / "run"
                begin(small, bank, run)
                ballast = run.parent / "ballast"
                with suppress(OSError), ballast.open("wb", buffering=0) as file:
                    while file.write(bytes(1024)):
                        pass
                faults += fail(small, bank, run, None)
                ballast.unlink()
                finish(small.evolve(bank, run))
                faults += difference(contents(folder / "whole"), contents(run))
    print(f"{len(faults)} faults {faults}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
