"""HallCase: a benchmark in a hall of fame, with what the search saw of it and the figures there; and how it is read
back from plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fitness.seen import SeenCase
from gp.hall_entries import Baseline, Measured, read_baselines
from storage.datum import Datum

__all__ = ["BenchmarkRef", "HallCase", "SplitIds", "case_to_dict", "read_case"]

_MAX_IDS = 100_000


@dataclass(frozen=True)
class BenchmarkRef:
    """Reference to the benchmark that the search saw: its name, the digest of its content, its metric and direction."""

    name: str
    digest: str
    metric: str
    higher_is_better: bool


@dataclass(frozen=True)
class SplitIds:
    """The ids of the architectures that evolution saw, and of all others; they share none."""

    search: tuple[str, ...]
    holdout: tuple[str, ...]


@dataclass(frozen=True)
class HallCase:
    """A benchmark of a search: what the search saw of it, and how the formulas did there, `figures` in their order.

    `place` is the name or path that the run read it by; `rivals` are regressions on the same labels, none in an older
    file; `dropped` are the ids of architectures whose network overflows, left out on the user's wish.
    """

    place: str
    space: str
    build: str | None
    benchmark: BenchmarkRef
    split: SplitIds
    feature_key: str
    figures: tuple[Measured, ...]
    baselines: tuple[Baseline, ...] = ()
    rivals: tuple[Baseline, ...] = ()
    dropped: tuple[str, ...] = ()

    @property
    def seen(self) -> SeenCase:
        """Architectures that a search with this case has seen."""
        ref = self.benchmark
        known = self.place, self.space, ref.name, ref.digest, ref.metric, ref.higher_is_better
        return SeenCase(*known, self.split.search, self.split.holdout)


def case_to_dict(case: HallCase) -> dict[str, Any]:
    """Plain data for JSON."""
    data: dict[str, Any] = {name: getattr(case, name) for name in ("place", "space", "build", "feature_key")}
    data |= {
        "benchmark": dict(vars(case.benchmark)),
        "split": {"search": list(case.split.search), "holdout": list(case.split.holdout)},
        "figures": [dict(vars(figures)) for figures in case.figures],
        "baselines": [dict(vars(baseline)) for baseline in case.baselines],
    }
    if case.rivals:
        data["rivals"] = [dict(vars(rival)) for rival in case.rivals]
    if case.dropped:
        data["dropped"] = list(case.dropped)
    return data


def read_case(item: Datum, place: str, figures: tuple[Measured, ...]) -> HallCase:
    """The case whose other fields are in `item`: an entry of the list of cases, or the whole of a file of schema 1."""
    return HallCase(
        place,
        item["space"].text(),
        item["build"].optional_text(),
        _read_benchmark(item["benchmark"]),
        _read_split(item["split"]),
        item["feature_key"].text(),
        figures,
        read_baselines(item["baselines"]),
        read_baselines(item["rivals"]) if "rivals" in item.mapping() else (),
        _read_ids(item["dropped"]) if "dropped" in item.mapping() else (),
    )


def _read_benchmark(item: Datum) -> BenchmarkRef:
    """Reference to a benchmark, read from a file."""
    item.only("name", "digest", "metric", "higher_is_better")
    name, digest, metric = (item[key].text() for key in ("name", "digest", "metric"))
    return BenchmarkRef(name, digest, metric, item["higher_is_better"].flag())


def _read_split(item: Datum) -> SplitIds:
    """The ids of the search split and of all others, none of them in both."""
    item.only("search", "holdout")
    search, holdout = _read_ids(item["search"]), _read_ids(item["holdout"])
    for name in ("search", "holdout"):
        if not item[name].value:
            raise item[name].refuse("the ids of the architectures; restore the file, or run evolve again")
    if len({*search, *holdout}) < len(search) + len(holdout):
        raise item.refuse("each architecture once, either in search or in holdout")
    return SplitIds(search, holdout)


def _read_ids(item: Datum) -> tuple[str, ...]:
    """Ids of architectures."""
    return tuple(entry.text() for entry in item.items(_MAX_IDS))
