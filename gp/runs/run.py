"""Run: one whole search, from features to a hall of fame file, in a directory that describes itself.

config.json          what was asked: enough to repeat the run
environment.json     versions and machine: what it ran on
generations.jsonl    one line per iteration
checkpoint.json      the search between two iterations; checkpoint.previous.json the one before, until the end
hall_of_fame.json    the result; the same bytes for the same seed
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fitness.evaluation import split_groups
from fitness.features.workshop import Workshop
from gp.benchmark_search import PreparedSearch, search
from gp.case import Case
from gp.evolution.evolve import SearchResult, Step, Stop
from gp.figures import measure
from gp.hall_file import HallDocument, save_hall
from gp.reporter import Reporter
from gp.runs.files import RunFiles, environment
from gp.runs.limits import Limits
from gp.runs.settings import BadRun, RunSettings
from models.benchmarks.benchmark import Benchmark

__all__ = ["BadRun", "Outcome", "Reporter", "Run", "RunSettings", "environment"]


@dataclass(frozen=True)
class Outcome:
    """Result of a run; `document` is None when it was stopped before its end."""

    document: HallDocument | None
    result: SearchResult
    seconds: Mapping[str, float]


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
                files.settings = files.settings.with_on_invalid(str(on_invalid))
                files.save_settings()
            yield cls(files)

    def execute(
        self,
        opened: Sequence[tuple[Benchmark, Workshop]],
        reporter: Reporter,
        jobs: int = 1,
        limits: Limits | None = None,
    ) -> Outcome:
        """Search, measure, write. What is `opened` must be the cases of the settings."""
        settings, cases = self.settings, []
        for (benchmark, workshop), began in zip(opened, self.settings.cases, strict=True):
            split = split_groups(benchmark.groups, settings.search_size, settings.search.seed)
            cases.append(Case(benchmark, workshop, split, began.benchmark))
            settings.check(cases[-1], began)
        found = search(
            cases,
            settings.search,
            reporter,
            jobs,
            settings.on_invalid,
            lambda prepared: self._evolve(prepared, reporter, limits),
        )
        if not found.complete:
            return Outcome(None, found.result, found.seconds)
        start = time.perf_counter()
        document = measure(found, settings.recorded(), reporter, settings.on_invalid)
        save_hall(self.folder / "hall_of_fame.json", document)
        if document.ending is not None and not document.ending.early:
            self.files.finish()
        exact = found.seconds["exact"] + time.perf_counter() - start
        return Outcome(document, found.result, {**found.seconds, "exact": exact})

    def _evolve(self, prepared: PreparedSearch, reporter: Reporter, limits: Limits | None) -> SearchResult:
        """From the last checkpoint to the end or to a limit, with a checkpoint of where it ended."""

        answer: Stop | None = None

        def should_stop(step: Step) -> Stop | None:
            if step.iteration >= self.settings.search.iterations:
                return Stop.FINISHED
            if answer or reporter.should_stop():
                return answer or Stop.ASKED
            return limits.reached(step) if limits else None

        state = self.files.load_state(prepared.config)
        with self.files.journal(state) as on_iteration:

            def report(step: Step) -> None:
                nonlocal answer
                on_iteration(step)
                answer = reporter.told(step)

            result = prepared.evolve(report, state, should_stop)
        self.files.save_state(result.state)
        return result
