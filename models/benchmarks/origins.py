"""Origins of benchmarks: where the data of a name or a path are, and how they are fetched and verified.

Nothing here touches the network except `fetch`.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from models.benchmarks.archives import is_archive, unpack
from models.benchmarks.benchmark import BadBenchmark, Benchmark
from models.benchmarks.known import ORIGINS, PROJECT, Origin
from models.benchmarks.layouts import read_benchmark
from models.benchmarks.layouts.frame import DataFrameLike, frame_benchmark
from storage.locks import held
from storage.program import program_name

__all__ = [
    "ORIGINS",
    "Origin",
    "default_benchmark",
    "embedded_checkpoint",
    "embedded_path",
    "fetch",
    "find",
    "is_path",
    "load_benchmark",
    "locate",
    "verify",
]

MAX_DOWNLOAD = 16 << 20  # bytes per file


def embedded_path(name: str) -> Path:
    """Path of the embedded table of a name, whether it exists yet or not."""
    return PROJECT / "models" / "benchmarks" / "data" / f"{name}.jsonl"


def embedded_checkpoint(benchmark: Benchmark) -> Path | None:
    """Folder of the embedded checkpoint that a benchmark was measured on, if it is one of these."""
    folder = embedded_path(benchmark.name).with_suffix("")
    return folder if "checkpoint" in benchmark.header and folder.is_dir() else None


def is_path(name_or_path: str) -> bool:
    """True if it says where a benchmark lies, and is no name of one."""
    return (
        os.sep in name_or_path or name_or_path.startswith(".") or name_or_path.endswith((".jsonl", ".csv", ".parquet"))
    )


def find(name_or_path: str) -> Path:
    """The file or folder of a benchmark: a path as it is, a name in $ZCP_DATA, then data/, then embedded."""
    if is_path(name_or_path):
        path = Path(name_or_path)
        if path.exists():
            return path
        raise BadBenchmark(f"{name_or_path}: no such file or folder; give the path of a benchmark or one of its names")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name_or_path):
        raise BadBenchmark(
            f"benchmark {name_or_path[:64]!r}: wanted a name of letters, digits, '.', '_', '-', or a path"
        )
    if (known := locate(name_or_path)) is not None:
        return known
    if name_or_path in ORIGINS:
        raise BadBenchmark(_ways_out(ORIGINS[name_or_path]))
    near = get_close_matches(name_or_path, ORIGINS, 1)
    hint = f"did you mean {near[0]}?" if near else f"wanted one of {', '.join(ORIGINS)}, or a path"
    raise BadBenchmark(f"unknown benchmark {name_or_path!r}; {hint}")


def locate(name: str) -> Path | None:
    """Path of the data of a name on this machine, or None."""
    places = [Path(os.environ["ZCP_DATA"]) / name] if os.environ.get("ZCP_DATA") else []
    places.append(PROJECT / "data" / name)
    if name in ORIGINS and (embedded := ORIGINS[name].embedded):
        places.insert(0, embedded)
    return next((place for place in places if place.exists()), None)


def _ways_out(origin: Origin) -> str:
    if origin.embedded:
        return f"{origin.name}: the embedded table is missing; run: {program_name()} benchmarks train {origin.name}"
    if not origin.base:
        return f"{origin.name}: not on this machine; set ZCP_DATA to a folder that holds {origin.name}/benchmark.jsonl"
    return (
        f"{origin.name}: not on this machine; run '{program_name()} benchmarks fetch {origin.name}' with a network, "
        f"or set ZCP_DATA to a folder that holds {origin.name}/"
    )


def default_benchmark(space: str) -> str:
    """The benchmark of a space that is used when none is named: the first that lies on this machine."""
    names = [origin.name for origin in ORIGINS.values() if origin.space == space]
    if not names:
        raise BadBenchmark(f"no benchmark of the space {space} is known; give your own with --benchmark PATH")
    return next((name for name in names if locate(name)), names[0])


def load_benchmark(
    name_or_path: str | DataFrameLike,
    metric: str | None = None,
    *,
    space: str | None = None,
    higher_is_better: bool | None = None,
    name: str = "frame",
) -> Benchmark:
    """Find and read a benchmark by its name or path, or take it from a data frame of pandas with a column for each
    field. What is not said of a frame (`space`, `metric`, `higher_is_better`) is found by the names of its columns."""
    if not isinstance(name_or_path, str):
        return frame_benchmark(name_or_path, space, metric, higher_is_better, name)
    path = find(name_or_path)
    return read_benchmark(path, name_or_path if name_or_path in ORIGINS else path.stem, metric)


def verify(name: str) -> Benchmark:
    """Read a known benchmark and compare its content with the pinned digest; BadBenchmark if it differs."""
    benchmark = load_benchmark(name)
    pinned = ORIGINS[name].digest if name in ORIGINS else ""
    if pinned and benchmark.digest != pinned:
        raise BadBenchmark(
            f"{name}: content digest {benchmark.digest[:16]}, wanted {pinned[:16]}; "
            "the files were changed, fetch them again"
        )
    return benchmark


def fetch(name: str, progress: Callable[[int, int], None] | None = None) -> Path:
    """Download a known benchmark into data/<name>, verified before it appears there."""
    if name not in ORIGINS or not ORIGINS[name].base:
        names = ", ".join(n for n, o in ORIGINS.items() if o.base)
        raise BadBenchmark(f"benchmark {name[:64]!r} cannot be fetched, wanted one of {names}")
    origin, target = ORIGINS[name], PROJECT / "data" / name
    try:
        target.parent.mkdir(exist_ok=True)
        with held(target.parent / f".{name}.lock") as mine:
            if not mine:
                raise BadBenchmark(f"{name}: another process fetches it; wait for that one")
            for leftover in target.parent.glob(f".{name}.*.part"):  # of a process that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            staging = target.parent / f".{name}.{os.getpid()}.part"  # the only one: its maker holds the lock
            staging.mkdir()
            try:
                _fill(staging, origin, progress)
                if target.exists():
                    shutil.rmtree(target)
                staging.rename(target)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise BadBenchmark(f"{target}: cannot be written ({error.strerror}); free space and fetch again") from error
    return target


def _fill(staging: Path, origin: Origin, progress: Callable[[int, int], None] | None) -> None:
    """Every file of the origin, and no other content than the pinned one."""
    for done, file in enumerate(origin.files, start=1):
        path = staging / file
        if not path.resolve().is_relative_to(staging.resolve()):
            raise BadBenchmark(f"{origin.name}: the file {file!r} would lie outside the benchmark's folder, refused")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_download(origin.base + file))
        if is_archive(file):
            unpack(path, staging)
            path.unlink()
        if progress:
            progress(done, len(origin.files))
    got = read_benchmark(staging, origin.name).digest
    if got != origin.digest:
        raise BadBenchmark(
            f"{origin.name}: fetched content has digest {got[:16]}, wanted {origin.digest[:16]}; nothing was kept"
        )


def _download(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            content = answer.read(MAX_DOWNLOAD + 1)
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise BadBenchmark(f"{url}: cannot be fetched ({reason}); try again with a network, or set ZCP_DATA") from error
    if len(content) > MAX_DOWNLOAD:
        raise BadBenchmark(f"{url}: larger than {MAX_DOWNLOAD:,} bytes, refused")
    return content
