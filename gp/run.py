"""Run: one whole search on a benchmark, from features to a hall of fame file, in a directory that describes itself.

config.json          what was asked: enough to repeat the run
environment.json     versions and machine: what it ran on
generations.jsonl    one line per iteration
checkpoint.json      the search between two iterations
hall_of_fame.json    the result; the same bytes for the same seed
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from fitness.bank import FeatureBank, FeatureKey
from fitness.devices import one_thread
from fitness.evaluation import Evaluate, Evaluation, Split, evaluate_scores, split_groups
from fitness.extraction import Progress as Extracting
from fitness.extraction import Workshop
from fitness.probes import Probes
from fitness.protocol import baselines
from fitness.ranking import RankTarget
from fitness.replay import Candidate, branch_table, replay
from gp.config import SearchConfig
from gp.evolve import Progress, SearchResult, evolve
from gp.hall_file import HallDocument, save_hall
from gp.search_state import SearchState
from models.benchmark import Benchmark
from models.files import dump_json, load_json, write_atomic
from primitives.proxy import Proxy

__all__ = ["BadRun", "Ground", "Outcome", "Reporter", "Run", "RunSettings", "prepare"]

PROBE_COUNT = 8  # architectures of the search split that are initialised twice
CHECKPOINT_SECONDS = 1.0  # at most this much work is repeated after a crash
MAX_CHECKPOINT = 1 << 30


class BadRun(ValueError):
    """A run that cannot start or continue; the message says why and what to do."""


@dataclass(frozen=True)
class RunSettings:
    """What a run depends on besides the search itself; all of it decides the result."""

    benchmark: str
    metric: str
    benchmark_digest: str
    search: SearchConfig
    search_size: int = 50
    init_seed: int = 0
    batch: int = 4
    seq_len: int = 64
    corpus: str | None = None
    build: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for config.json."""
        return {**self.__dict__, "search": self.search.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunSettings:
        """Inverse of `to_dict`; BadRun if a field is missing or unknown."""
        try:
            return cls(**{**data, "search": SearchConfig.from_dict(data["search"])})
        except (TypeError, KeyError) as error:
            raise BadRun(f"config.json: {error}; restore the file or start a new run") from None


@dataclass
class Reporter:
    """Where a run tells how it goes; every field may be left alone."""

    stage: Callable[[str], None] = field(default=lambda text: None)
    networks: Extracting | None = None
    iteration: Callable[[Progress], None] | None = None
    should_stop: Callable[[], bool] = field(default=lambda: False)


@dataclass(frozen=True)
class Outcome:
    """How a run ended; `document` is None when it was stopped before its end."""

    document: HallDocument | None
    result: SearchResult
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class Ground:
    """What a search walks on: the evaluation on its split, and the probe rules (None without PPS)."""

    evaluate: Evaluate
    predict: Callable[[Proxy], str | None] | None


def prepare(
    benchmark: Benchmark, workshop: Workshop, split: Split, config: SearchConfig,
    progress: Extracting | None = None, jobs: int = 1,
) -> Ground:  # fmt: skip
    """Extract the search split, and its probes a second time; the held-out part is not touched."""
    seen = [benchmark.architectures[i] for i in split.search]
    table = branch_table(seen, workshop, progress)
    target = RankTarget.create(benchmark.quality[list(split.search)])

    def evaluate(proxies: Sequence[Proxy]) -> list[Evaluation]:
        return evaluate_scores(proxies, table.scores(proxies, jobs), target, config.objective)

    if not config.pps:
        return Ground(evaluate, None)
    chosen = seen[:: max(1, len(seen) // PROBE_COUNT)][:PROBE_COUNT]
    key = workshop.bank.key
    second = FeatureKey(**{**key.__dict__, "init_seed": key.init_seed + 1})
    retest = Workshop(FeatureBank(workshop.bank.folder, second), workshop.batch, workshop.devices)
    probes = Probes(branch_table(chosen, workshop), branch_table(chosen, retest, progress))
    return Ground(evaluate, probes.violation)


class Run:
    """A run directory, locked while it is open (`with Run.open(...)`)."""

    def __init__(self, folder: Path, settings: RunSettings) -> None:
        self.folder, self.settings = folder, settings

    @classmethod
    @contextmanager
    def create(cls, folder: Path, settings: RunSettings) -> Iterator[Run]:
        """A new directory; BadRun if something lies there already."""
        if folder.exists() and any(folder.iterdir()):
            raise BadRun(
                f"{folder}: is not empty, and a run is never overwritten; use --resume {folder} or another --out"
            )
        with _locked(folder):
            write_atomic(folder / "config.json", dump_json(settings.to_dict()))
            write_atomic(folder / "environment.json", dump_json(environment()))
            yield cls(folder, settings)

    @classmethod
    @contextmanager
    def resume(cls, folder: Path) -> Iterator[Run]:
        """An existing directory; BadRun if it holds no run."""
        if not (folder / "config.json").is_file():
            raise BadRun(f"{folder}: no config.json, so there is no run to resume; give the folder of a run")
        with _locked(folder):
            settings = RunSettings.from_dict(load_json(folder / "config.json", 1 << 20, "a run's settings"))
            yield cls(folder, settings)

    def execute(self, benchmark: Benchmark, workshop: Workshop, reporter: Reporter, jobs: int = 1) -> Outcome:
        """Extract, search, re-score exactly, write. `benchmark` and `workshop` must be those of the settings."""
        if benchmark.digest != self.settings.benchmark_digest:
            raise BadRun(f"{benchmark.name}: its content changed since the run began; restore it or start a new run")
        seconds, clock = dict[str, float](), time.perf_counter
        config, start = self.settings.search, clock()
        split = split_groups(benchmark.groups, self.settings.search_size, config.seed)
        reporter.stage(f"features of {len(split.search)} search architectures")
        ground = prepare(benchmark, workshop, split, config, reporter.networks, jobs)
        seconds["features"] = clock() - start
        start = clock()
        state = self._checkpoint()
        with one_thread(), self._journal(reporter, state) as on_iteration:
            result = evolve(
                config, ground.evaluate, ground.predict, on_iteration, state,
                should_stop=lambda progress: reporter.should_stop(),
            )  # fmt: skip
        self._save_state(result.state)
        seconds["search"] = clock() - start
        if result.state.iteration < config.iterations and reporter.should_stop():
            return Outcome(None, result, seconds)
        start = clock()
        reporter.stage(f"exact scores of the hall of fame on all {len(benchmark)} architectures")
        document = self._document(benchmark, workshop, split, result, reporter)
        save_hall(self.folder / "hall_of_fame.json", document)
        seconds["exact"] = clock() - start
        return Outcome(document, result, seconds)

    @contextmanager
    def _journal(self, reporter: Reporter, state: SearchState | None) -> Iterator[Callable[[Progress], None]]:
        """Append a line per iteration, write a checkpoint now and then. Lines after the checkpoint that a run
        continues from are dropped, because these iterations are done again."""
        last, path = time.monotonic(), self.folder / "generations.jsonl"
        lines = path.read_bytes().splitlines(keepends=True) if path.is_file() and state else []
        write_atomic(path, b"".join(lines[: state.iteration + 1] if state else []))
        with path.open("a", encoding="utf-8") as file:

            def on_iteration(progress: Progress) -> None:
                nonlocal last
                record = {k: v for k, v in progress.__dict__.items() if k != "state"}
                file.write(json.dumps(record, sort_keys=True, allow_nan=False) + "\n")
                if time.monotonic() - last >= CHECKPOINT_SECONDS:
                    file.flush()
                    self._save_state(progress.state)
                    last = time.monotonic()
                if reporter.iteration:
                    reporter.iteration(progress)

            yield on_iteration

    def _save_state(self, state: SearchState) -> None:
        write_atomic(self.folder / "checkpoint.json", dump_json(state.to_dict(), None))

    def _checkpoint(self) -> SearchState | None:
        path = self.folder / "checkpoint.json"
        if not path.is_file():
            return None
        return SearchState.from_dict(load_json(path, MAX_CHECKPOINT, "a checkpoint"), self.settings.search)

    def _document(
        self, benchmark: Benchmark, workshop: Workshop, split: Split, result: SearchResult, reporter: Reporter
    ) -> HallDocument:
        champions = result.hall.champions
        candidates = [Candidate(c.proxy, c.sign) for c in champions]
        exact = replay(candidates, benchmark, workshop, split, progress=reporter.networks)
        quick = replay(candidates, benchmark, workshop, split, sketch=True)
        proxies = []
        for champion, row, sketched in zip(champions, exact, quick, strict=True):
            proxies.append(
                {
                    "text": champion.proxy.text,
                    "genotype": champion.proxy.to_genotype(),
                    "sign": champion.sign,
                    "complexity": champion.proxy.complexity,
                    "found_at": champion.found_at,
                    "fitness": champion.fitness,
                    "fidelity": fidelity(row.scores, sketched.scores),
                    **row.correlations,
                }
            )
        build = workshop.bank.key.build
        return HallDocument.create(
            space=benchmark.space,
            build=build,
            benchmark={
                "name": benchmark.name,
                "digest": benchmark.digest,
                "metric": benchmark.metric,
                "higher_is_better": benchmark.higher_is_better,
            },
            split={
                name: [benchmark.architectures[i].id for i in getattr(split, name)] for name in ("search", "holdout")
            },
            seed=self.settings.search.seed,
            feature_key=workshop.bank.key.digest,
            config=self.settings.to_dict(),
            proxies=proxies,
            baselines=baselines(benchmark, split, build),
            counts={"evaluations": result.state.evaluations, "rejections": dict(result.state.rejections)},
        )


def fidelity(exact: np.ndarray, sketch: np.ndarray) -> float | None:
    """Spearman's rho between exact and sketch scores over the architectures where both exist."""
    both = np.isfinite(exact) & np.isfinite(sketch)
    if both.sum() < 3 or np.ptp(exact[both]) == 0 or np.ptp(sketch[both]) == 0:
        return None
    return round(float(RankTarget.create(exact[both]).spearman(sketch[None, both])[0]), 6)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise BadRun(f"{folder}: another process works on this run; wait for it or choose another --out") from None
    except OSError as error:
        raise BadRun(f"{folder}: cannot be used ({error.strerror}); choose another --out") from error
    try:
        yield
    finally:
        lock.release()
        (folder / ".lock").unlink(missing_ok=True)


def environment() -> dict[str, Any]:
    """Versions and machine, for environment.json and `doctor`."""
    names = ("torch", "transformers", "deap", "numpy", "scipy", "joblib", "click", "safetensors")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        **{name: version(name) for name in names},
    }
