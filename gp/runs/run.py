"""Run: one whole search on a benchmark, from features to a hall of fame file, in a directory that describes itself.

config.json          what was asked: enough to repeat the run
environment.json     versions and machine: what it ran on
generations.jsonl    one line per iteration
checkpoint.json      the search between two iterations; checkpoint.previous.json the one before, until the end
hall_of_fame.json    the result; the same bytes for the same seed
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from engine.crew import one_thread
from fitness.evaluation import Split, split_groups
from fitness.features.soundness import Screened, screen
from fitness.features.workshop import Progress as Extracting
from fitness.features.workshop import Workshop
from fitness.protocol import baselines
from fitness.ranking import RankTarget
from fitness.replay import Candidate, replay
from gp.evolution.evolve import Progress, SearchResult, Stop, evolve
from gp.growth.beams import Interrupted
from gp.growth.problem import Finalists, Ground, prepare
from gp.hall_file import HallDocument, save_hall
from gp.hall_of_fame import HallOfFame
from gp.runs.files import RunFiles, environment
from gp.runs.limits import Limits
from gp.runs.settings import BadRun, RunSettings
from models.benchmarks.benchmark import Benchmark

__all__ = ["BadRun", "Outcome", "Reporter", "Run", "RunSettings", "environment", "fidelity"]

EARLY = (Stop.TIME, Stop.PATIENCE, Stop.TARGET)
GROWING = (Stop.FINISHED, Stop.EXHAUSTED, Stop.PATIENCE)  # after the others there is no time or no need


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
class Found:
    """What a search and the growth after it found: `hall` of both, and how many formulas they compared."""

    result: SearchResult
    hall: HallOfFame
    evaluations: int


class Run:
    """A run in its directory, which is locked while it is open (`with Run.create(...)` or `Run.resume(...)`)."""

    def __init__(self, files: RunFiles) -> None:
        self.files, self.settings = files, files.settings

    @property
    def folder(self) -> Path:
        """The run directory."""
        return self.files.folder

    @classmethod
    @contextmanager
    def create(cls, folder: Path, settings: RunSettings) -> Iterator[Run]:
        """A new directory; BadRun if something lies there already."""
        with RunFiles.create(folder, settings) as files:
            yield cls(files)

    @classmethod
    @contextmanager
    def resume(cls, folder: Path, on_invalid: str | None = None) -> Iterator[Run]:
        """An existing directory; BadRun if it holds no run. `on_invalid` may be changed: until it matters, a search
        is the same with either."""
        with RunFiles.resume(folder) as files:
            if on_invalid not in (None, files.settings.on_invalid):
                files.settings = replace(files.settings, on_invalid=str(on_invalid))
                files.save_settings()
            yield cls(files)

    def execute(
        self, benchmark: Benchmark, workshop: Workshop, reporter: Reporter, jobs: int = 1, limits: Limits | None = None
    ) -> Outcome:
        """Extract, search, re-score exactly, write. `benchmark` and `workshop` must be those of the settings."""
        if benchmark.digest != self.settings.benchmark_digest:
            raise BadRun(f"{benchmark.name}: its content changed since the run began; restore it or start a new run")
        seconds, clock = dict[str, float](), time.perf_counter
        config, start = self.settings.search, clock()
        split = split_groups(benchmark.groups, self.settings.search_size, config.seed)
        reporter.stage(f"features of {len(split.search)} search architectures")
        on_invalid = self.settings.on_invalid
        ground = screen(benchmark, workshop, split, on_invalid, reporter.networks, split.search)
        _tell(ground, reporter)
        walk = prepare(ground.benchmark, workshop, ground.split or split, config, reporter.networks, jobs)
        seconds["features"] = clock() - start
        start = clock()
        result = self._search(walk, reporter, limits)
        seconds["search"] = clock() - start
        if result.stop is Stop.ASKED:
            return Outcome(None, result, seconds)
        start = clock()
        finalists = Finalists(result.hall, result.state.evaluations)
        if config.grows and result.stop in GROWING:
            reporter.stage(f"every branch joined to the best formulas, up to {config.branches} branches each")
            try:
                finalists = walk.grow(config, result.hall, finalists.evaluations, jobs, reporter.should_stop)
            except Interrupted:
                return Outcome(None, result, seconds)
            if finalists.coarse:
                reporter.stage("cross-validation prefers coarse formulas to fine ones: few levels, clear of each other")
            seconds["growth"] = clock() - start
        start = clock()
        reporter.stage(f"exact scores on the search split, finalists: {len(finalists.hall.champions)}")
        hall = walk.judge(finalists, config, reporter.networks)
        reporter.stage(f"exact scores of the hall of fame on all {len(ground.benchmark)} architectures")
        # One visit per network makes its exact scores and its sketch, which says whether it is sound.
        workshop.exact_scores([c.proxy for c in hall.champions], ground.benchmark.architectures, reporter.networks)
        left = screen(ground.benchmark, workshop, ground.split, on_invalid)
        _tell(left, reporter)
        dropped = {*ground.dropped, *left.dropped}
        names = tuple(a.id for a in benchmark.architectures if a.id in dropped)
        found = Found(result, hall, finalists.evaluations)
        document = self._document(left.benchmark, workshop, left.split or split, found, names)
        save_hall(self.folder / "hall_of_fame.json", document)
        if document.ending is not None and not document.ending.early:
            self.files.finish()
        seconds["exact"] = clock() - start
        return Outcome(document, result, seconds)

    def _search(self, ground: Ground, reporter: Reporter, limits: Limits | None) -> SearchResult:
        """From the last checkpoint to the end or to a limit, with a checkpoint of where it ended."""

        def should_stop(progress: Progress) -> Stop | None:
            if progress.iteration >= self.settings.search.iterations:
                return Stop.FINISHED
            if reporter.should_stop():
                return Stop.ASKED
            return limits.reached(progress) if limits else None

        state = self.files.load_state()
        with one_thread(), self.files.journal(state) as on_iteration:

            def report(progress: Progress) -> None:
                on_iteration(progress)
                if reporter.iteration:
                    reporter.iteration(progress)

            result = evolve(self.settings.search, ground.evaluate, ground.predict, report, state, should_stop)
        self.files.save_state(result.state)
        return result

    def _document(
        self, benchmark: Benchmark, workshop: Workshop, split: Split, found: Found, dropped: tuple[str, ...]
    ) -> HallDocument:
        result, champions = found.result, found.hall.champions
        candidates = [Candidate(c.proxy, c.sign) for c in champions]
        exact = replay(candidates, benchmark, workshop, split)
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
            counts={"evaluations": found.evaluations, "rejections": dict(result.state.rejections)},
            ending={
                "reason": str(result.stop),
                "iteration": result.state.iteration,
                "early": result.stop in EARLY,
            },
            **({"dropped": list(dropped)} if dropped else {}),
        )


def _tell(screened: Screened, reporter: Reporter) -> None:
    if screened.report:
        reporter.stage(screened.report)


def fidelity(exact: np.ndarray, sketch: np.ndarray) -> float | None:
    """Spearman's rho between exact and sketch scores over the architectures where both exist."""
    both = np.isfinite(exact) & np.isfinite(sketch)
    if both.sum() < 3 or np.ptp(exact[both]) == 0 or np.ptp(sketch[both]) == 0:
        return None
    return round(float(RankTarget.create(exact[both]).spearman(sketch[None, both])[0]), 6)
