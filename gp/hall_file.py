"""HallDocument: a hall of fame as a file that describes itself, and the door it comes back through.

A file is data: every formula goes through the grammar of `primitives`, every name through a table, and
nothing is ever evaluated. What `save_hall` writes carries the digest of its content, so that damage is
noticed; a file written by hand may leave the digest out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gp.hall_entries import (
    Baseline,
    BenchmarkRef,
    Ending,
    HallCase,
    HallProxy,
    SplitIds,
    proxy_to_dict,
    read_baseline,
    read_benchmark,
    read_case,
    read_ending,
    read_entry,
    read_ids,
    read_split,
)  # fmt: skip
from gp.lineage import Lineage, from_lines, to_lines
from storage.datum import Datum, is_whole
from storage.files import BadFile, dump_json, load_json, sealed, unsealed, write_atomic

__all__ = [
    "BadHall", "Baseline", "BenchmarkRef", "Ending", "HallCase", "HallDocument", "HallProxy", "SplitIds", "load_hall",
    "save_hall",
]  # fmt: skip

SCHEMA = 1
MAX_BYTES = 5_000_000
MAX_PROXIES = 1000
MAX_OTHERS = 100


class BadHall(BadFile):
    """Not a hall of fame we can trust; the message says where, what it got and what it wanted."""


@dataclass(frozen=True)
class HallDocument:
    """Everything a reader needs to check the formulas: where they come from and how they did.

    `rivals` are regressions on the same labels, none in an older file; `dropped` are the ids of architectures whose
    network overflows, left out on the user's wish; `ending` is None in a file that does not say; `lineage` says where
    the formulas come from, for those that were evolved; `others` are the further benchmarks of a search on several.
    """

    space: str
    build: str | None
    benchmark: BenchmarkRef
    split: SplitIds
    seed: int
    feature_key: str
    config: Mapping[str, Any]
    proxies: tuple[HallProxy, ...]
    baselines: tuple[Baseline, ...] = ()
    rivals: tuple[Baseline, ...] = ()
    evaluations: int = 0
    rejections: Mapping[str, int] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    ending: Ending | None = None
    lineage: Lineage = field(default_factory=dict)
    others: tuple[HallCase, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without the digest that `save_hall` adds."""
        data = {
            "schema": SCHEMA,
            "space": self.space,
            "build": self.build,
            "benchmark": dict(vars(self.benchmark)),
            "split": {"search": list(self.split.search), "holdout": list(self.split.holdout)},
            "seed": self.seed,
            "feature_key": self.feature_key,
            "config": dict(self.config),
            "proxies": [proxy_to_dict(entry) for entry in self.proxies],
            "baselines": [dict(vars(baseline)) for baseline in self.baselines],
            "counts": {"evaluations": self.evaluations, "rejections": dict(self.rejections)},
        }
        if self.rivals:
            data["rivals"] = [dict(vars(rival)) for rival in self.rivals]
        if self.dropped:
            data["dropped"] = list(self.dropped)
        if self.ending is not None:
            data["ending"] = dict(vars(self.ending))
        if self.lineage:
            data["lineage"] = to_lines(self.lineage)
        if self.others:
            data["others"] = [case.to_dict() for case in self.others]
        return data

    @classmethod
    def from_dict(cls, data: Any, where: str = "hall of fame") -> HallDocument:
        """The document that `to_dict` wrote; BadHall says what is wrong with anything else."""
        whole = Datum(where, data, BadHall)
        _check_schema(whole)
        whole.only(*_FIELDS)
        counts = whole["counts"]
        counts.only("evaluations", "rejections")
        whole["config"].mapping()
        proxies = tuple(read_entry(item) for item in whole["proxies"].items(MAX_PROXIES))
        others = whole["others"].items(MAX_OTHERS) if "others" in whole.mapping() else ()
        document = cls(
            space=whole["space"].text(),
            build=whole["build"].optional_text(),
            benchmark=read_benchmark(whole["benchmark"]),
            split=read_split(whole["split"]),
            seed=whole["seed"].integer(),
            feature_key=whole["feature_key"].text(),
            config=whole["config"].plain(),
            proxies=proxies,
            baselines=tuple(read_baseline(item) for item in whole["baselines"].items(MAX_PROXIES)),
            rivals=_read_rivals(whole),
            evaluations=counts["evaluations"].integer(),
            rejections=counts["rejections"].counts(),
            dropped=read_ids(whole["dropped"]) if "dropped" in whole.mapping() else (),
            ending=read_ending(whole["ending"]) if "ending" in whole.mapping() else None,
            lineage=from_lines(whole["lineage"]) if "lineage" in whole.mapping() else {},
            others=tuple(read_case(item, len(proxies)) for item in others),
        )
        if not document.proxies:
            raise BadHall(f"{where}: got no formula, wanted at least one; run evolve again")
        return document


_FIELDS = (
    "schema", "space", "build", "benchmark", "split", "seed", "feature_key", "config", "proxies", "baselines",
    "counts", "rivals", "dropped", "ending", "lineage", "others", "digest",
)  # fmt: skip


def _read_rivals(whole: Datum) -> tuple[Baseline, ...]:
    """None in a file that is older than they are."""
    if "rivals" not in whole.mapping():
        return ()
    return tuple(read_baseline(item) for item in whole["rivals"].items(MAX_PROXIES))


def save_hall(path: Path, document: HallDocument) -> None:
    """Write the document whole or not at all. Raises BadHall for one that could not be read back."""
    data = document.to_dict()
    HallDocument.from_dict(data, str(path))
    write_atomic(path, dump_json(sealed(data)))


def load_hall(path: Path) -> HallDocument:
    """Read a document; BadHall if the file is missing, damaged, foreign, too large or of another schema."""
    try:
        data = load_json(path, MAX_BYTES, "a hall of fame")
        document = HallDocument.from_dict(data, str(path))
        unsealed(data, str(path), required=False)
    except BadFile as fault:
        raise BadHall(str(fault)) from None
    return document


def _check_schema(whole: Datum) -> None:
    found = whole["schema"].value
    if not is_whole(found) or found != SCHEMA:
        raise whole["schema"].refuse(f"{SCHEMA}, the schema this version reads; use the version that wrote it")
