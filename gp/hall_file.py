"""A hall of fame as a file that describes itself, and the door it comes back through.

A file may come from anybody: every value is checked, every formula goes through the grammar, every name through a
table, and nothing is ever evaluated. What `save_hall` writes carries the digest of its content, so that damage is
noticed; a file written by hand may leave the digest out.

Schema 2 has a list of cases, one for each benchmark of the search. Schema 1, which is read as well, has the first one
in fields of its own and the further ones in `others`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fitness.evaluation import Evaluation
from fitness.seen import Seen
from gp.hall_cases import BenchmarkRef, HallCase, SplitIds, case_to_dict, read_case
from gp.hall_entries import (
    Baseline,
    Ending,
    HallProxy,
    Measured,
    proxy_to_dict,
    read_ending,
    read_figures,
    read_formula,
    read_measured,
)
from gp.lineage import Lineage, from_lines, to_lines
from models.benchmarks.benchmark import Benchmark
from storage.datum import Datum, is_whole
from storage.files import BadFile, dump_json, load_json, sealed, unsealed, write_atomic

__all__ = [
    "BadHall",
    "Baseline",
    "BenchmarkRef",
    "Ending",
    "HallCase",
    "HallDocument",
    "HallProxy",
    "Measured",
    "SplitIds",
    "hall_path",
    "load_hall",
    "save_hall",
]

SCHEMA = 2
FILE = "hall_of_fame.json"  # in the directory of a run
MAX_BYTES = 5_000_000
MAX_PROXIES = 1000
MAX_CASES = 100
MAX_PLACE = 4096


class BadHall(BadFile):
    """Not a hall of fame we can trust; the message says where, what it got and what it wanted."""


@dataclass(frozen=True)
class HallDocument:
    """Everything a reader needs to check the formulas: where they come from and how they did on each case.

    `config` are the settings of the run; `ending` is None in a file that does not say; `lineage` says where the
    formulas come from, for those that were evolved.
    """

    seed: int
    config: Mapping[str, Any]
    cases: tuple[HallCase, ...]
    proxies: tuple[HallProxy, ...]
    evaluations: int = 0
    rejections: Mapping[str, int] = field(default_factory=dict)
    ending: Ending | None = None
    lineage: Lineage = field(default_factory=dict)

    @cached_property
    def seen(self) -> Seen:
        """The architectures that the search saw."""
        return Seen(tuple(case.seen for case in self.cases))

    @property
    def names(self) -> str:
        """The names of its benchmarks in a sentence."""
        return ", ".join(case.benchmark.name for case in self.cases)

    def case_of(self, benchmark: Benchmark) -> HallCase | None:
        """The case with the content of a benchmark, whichever of its metrics is asked; None of another benchmark."""
        return next((case for case in self.cases if case.benchmark.digest == benchmark.digest), None)

    def case_in(self, space: str) -> HallCase | None:
        """The first case of a space, if there is one."""
        return next((case for case in self.cases if case.space == space), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without the digest that `save_hall` adds."""
        data = {
            "schema": SCHEMA,
            "seed": self.seed,
            "config": dict(self.config),
            "cases": [case_to_dict(case) for case in self.cases],
            "proxies": [proxy_to_dict(entry) for entry in self.proxies],
            "counts": {"evaluations": self.evaluations, "rejections": dict(self.rejections)},
        }
        if self.ending is not None:
            data["ending"] = dict(vars(self.ending))
        if self.lineage:
            data["lineage"] = to_lines(self.lineage)
        return data

    @classmethod
    def from_dict(cls, data: Any, where: str = "hall of fame") -> HallDocument:
        """The document that `to_dict` wrote, or one of schema 1; BadHall says what is wrong with anything else."""
        whole = Datum(where, data, BadHall)
        whole.only(*_EVERY, *(("cases",) if _schema(whole) == SCHEMA else _FIRST))
        counts = whole["counts"]
        counts.only("evaluations", "rejections")
        whole["config"].mapping()
        formulas = [read_formula(item) for item in whole["proxies"].items(MAX_PROXIES)]
        if not formulas:
            raise BadHall(f"{where}: got no formula, wanted at least one; run evolve again")
        cases, proxies = (_second if _schema(whole) == SCHEMA else _first)(whole, formulas)
        config = whole["config"].plain()
        return cls(
            seed=whole["seed"].integer(),
            config={name: value for name, value in config.items() if name not in _ELSEWHERE},
            cases=cases,
            proxies=proxies,
            evaluations=counts["evaluations"].integer(),
            rejections=counts["rejections"].counts(),
            ending=read_ending(whole["ending"]) if "ending" in whole.mapping() else None,
            lineage=from_lines(whole["lineage"]) if "lineage" in whole.mapping() else {},
        )


_EVERY = ("schema", "seed", "config", "proxies", "counts", "ending", "lineage", "digest")
_CASE = ("space", "build", "benchmark", "split", "feature_key", "baselines")
_FIRST = (*_CASE, "rivals", "dropped", "others")
_ELSEWHERE = ("benchmark", "metric", "benchmark_digest", "others")  # settings of schema 1 that are in the cases now


def _second(whole: Datum, formulas: Sequence[Evaluation]) -> tuple[tuple[HallCase, ...], tuple[HallProxy, ...]]:
    """The list of cases; the figures of a formula are the mean over them."""
    cases = []
    for item in whole["cases"].items(MAX_CASES):
        item.only(*_CASE, "place", "figures", "rivals", "dropped")
        cases.append(read_case(item, item["place"].text(MAX_PLACE), read_figures(item["figures"], len(formulas))))
    if not cases:
        raise whole["cases"].refuse("at least one benchmark; restore the file, or run evolve again")
    proxies = tuple(HallProxy.of(f, [case.figures[i] for case in cases]) for i, f in enumerate(formulas))
    for item, proxy in zip(whole["proxies"].items(MAX_PROXIES), proxies, strict=True):
        if vars(read_measured(item)) != {name: getattr(proxy, name) for name in vars(Measured())}:
            raise item.refuse("figures that are the mean of those of the cases")
    return tuple(cases), proxies


def _first(whole: Datum, formulas: Sequence[Evaluation]) -> tuple[tuple[HallCase, ...], tuple[HallProxy, ...]]:
    """The first case in fields of its own, with the figures of the formulas, and the others."""
    places = list(_places(whole["config"].value))
    own = tuple(read_measured(item) for item in whole["proxies"].items(MAX_PROXIES))
    cases = [read_case(whole, _place(places, whole), own)]
    for item in whole["others"].items(MAX_CASES) if "others" in whole.mapping() else ():
        item.only(*_CASE, "figures")
        cases.append(read_case(item, _place(places, item), read_figures(item["figures"], len(formulas))))
    proxies = [HallProxy.of(f, [case.figures[i] for case in cases]) for i, f in enumerate(formulas)]
    return tuple(cases), tuple(proxies)


def _places(config: Mapping[str, Any]) -> Iterator[object]:
    """Places from which a run of schema 1 read its benchmarks."""
    yield config.get("benchmark")
    others = config.get("others")
    yield from (one.get("benchmark") for one in others if isinstance(one, dict)) if isinstance(others, list) else ()


def _place(places: list[object], item: Datum) -> str:
    """The next place, or the name of the benchmark where the run does not say."""
    said = places.pop(0) if places else None
    return said if isinstance(said, str) else item["benchmark"]["name"].text()


def save_hall(path: Path, document: HallDocument) -> None:
    """Write the document whole or not at all. Raises BadHall for one that could not be read back."""
    data = document.to_dict()
    HallDocument.from_dict(data, str(path))
    write_atomic(path, dump_json(sealed(data)))


def hall_path(path: Path) -> Path:
    """The hall of fame of a run's directory, or the file itself; BadHall for a directory without one."""
    if not path.is_dir():
        return path
    if not (path / FILE).is_file():
        raise BadHall(f"{path}: has no {FILE}, wanted a finished run; finish it with evolve --resume {path}")
    return path / FILE


def load_hall(path: Path) -> HallDocument:
    """Read a document, or that of a run's directory; BadHall if the file is missing, damaged, foreign, too large or of
    another schema."""
    path = hall_path(path)
    try:
        data = load_json(path, MAX_BYTES, "a hall of fame")
        document = HallDocument.from_dict(data, str(path))
        unsealed(data, str(path), required=False)
    except BadFile as fault:
        raise BadHall(str(fault)) from None
    return document


def _schema(whole: Datum) -> int:
    found = whole["schema"].value
    if not is_whole(found) or found not in (1, SCHEMA):
        raise whole["schema"].refuse(f"1 or {SCHEMA}, the schemas this version reads; use the version that wrote it")
    return found
