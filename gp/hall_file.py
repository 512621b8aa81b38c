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

from fitness.evaluation import Evaluation
from primitives.grammar import read_proxy
from primitives.proxy import Proxy
from storage.datum import Datum, is_whole
from storage.files import BadFile, dump_json, load_json, sealed, unsealed, write_atomic

__all__ = [
    "BadHall", "Baseline", "BenchmarkRef", "Ending", "HallDocument", "HallProxy", "SplitIds", "load_hall", "save_hall",
]  # fmt: skip

SCHEMA = 1
MAX_BYTES = 5_000_000
MAX_PROXIES = 1000
_MAX_IDS = 100_000

Figures = Mapping[str, Any]
"""Statistics by name, such as {"n": 50, "spearman": 0.97, "ci95_spearman": [0.95, 0.98]}."""


class BadHall(BadFile):
    """Not a hall of fame we can trust; the message says where, what it got and what it wanted."""


@dataclass(frozen=True)
class BenchmarkRef:
    """Which benchmark the search saw: its name, the digest of its content, its metric and direction."""

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
class HallProxy:
    """One formula and what its search says of it, fitness by exact scores on the search split; and what was measured
    afterwards, None where nothing was; `fidelity` compares sketch and exact scores."""

    formula: Evaluation
    search: Figures | None = None
    holdout: Figures | None = None
    all: Figures | None = None
    fidelity: float | Figures | None = None

    @property
    def proxy(self) -> Proxy:
        """The formula itself."""
        return self.formula.proxy

    @property
    def sign(self) -> int:
        """What its scores are multiplied with."""
        return self.formula.sign


@dataclass(frozen=True)
class Baseline:
    """A naive or hand-made ranking of the same run on the same networks."""

    name: str
    search: Figures | None = None
    holdout: Figures | None = None
    all: Figures | None = None


@dataclass(frozen=True)
class Ending:
    """Why the search ended, and after how many iterations; `early` if fewer than it was asked for."""

    reason: str
    iteration: int
    early: bool


@dataclass(frozen=True)
class HallDocument:
    """Everything a reader needs to check the formulas: where they come from and how they did.

    `dropped` are the ids of architectures whose network overflows, left out on the user's wish; `ending` is None
    in a file that does not say.
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
    evaluations: int = 0
    rejections: Mapping[str, int] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    ending: Ending | None = None

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
            "proxies": [_proxy_to_dict(entry) for entry in self.proxies],
            "baselines": [dict(vars(baseline)) for baseline in self.baselines],
            "counts": {"evaluations": self.evaluations, "rejections": dict(self.rejections)},
        }
        if self.dropped:
            data["dropped"] = list(self.dropped)
        if self.ending is not None:
            data["ending"] = dict(vars(self.ending))
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
        document = cls(
            space=whole["space"].text(),
            build=whole["build"].optional_text(),
            benchmark=_benchmark(whole["benchmark"]),
            split=_split(whole["split"]),
            seed=whole["seed"].integer(),
            feature_key=whole["feature_key"].text(),
            config=whole["config"].plain(),
            proxies=tuple(_proxy(item) for item in whole["proxies"].items(MAX_PROXIES)),
            baselines=tuple(_baseline(item) for item in whole["baselines"].items(MAX_PROXIES)),
            evaluations=counts["evaluations"].integer(),
            rejections=counts["rejections"].counts(),
            dropped=_ids(whole["dropped"]) if "dropped" in whole.mapping() else (),
            ending=_ending(whole["ending"]) if "ending" in whole.mapping() else None,
        )
        if not document.proxies:
            raise BadHall(f"{where}: got no formula, wanted at least one; run evolve again")
        return document


_FIELDS = (
    "schema", "space", "build", "benchmark", "split", "seed", "feature_key", "config", "proxies", "baselines",
    "counts", "dropped", "ending", "digest",
)  # fmt: skip
_PROXY_FIELDS = (
    "text", "genotype", "complexity", "sign", "fitness", "found_at", "search", "holdout", "all", "fidelity",
)  # fmt: skip


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


def _benchmark(item: Datum) -> BenchmarkRef:
    item.only("name", "digest", "metric", "higher_is_better")
    name, digest, metric = (item[key].text() for key in ("name", "digest", "metric"))
    return BenchmarkRef(name, digest, metric, item["higher_is_better"].flag())


def _split(item: Datum) -> SplitIds:
    item.only("search", "holdout")
    search, holdout = _ids(item["search"]), _ids(item["holdout"])
    for name in ("search", "holdout"):
        if not item[name].value:
            raise item[name].refuse("the ids of the architectures; restore the file, or run evolve again")
    if len({*search, *holdout}) < len(search) + len(holdout):
        raise item.refuse("each architecture once, either in search or in holdout")
    return SplitIds(search, holdout)


def _ids(item: Datum) -> tuple[str, ...]:
    return tuple(entry.text() for entry in item.items(_MAX_IDS))


def _ending(item: Datum) -> Ending:
    item.only("reason", "iteration", "early")
    return Ending(item["reason"].text(), item["iteration"].integer(), item["early"].flag())


def _proxy_to_dict(entry: HallProxy) -> dict[str, Any]:
    formula = entry.formula
    figures = {name: getattr(entry, name) for name in ("search", "holdout", "all", "fidelity")}
    return {
        "text": formula.proxy.text,
        "genotype": formula.proxy.to_genotype(),
        "complexity": formula.proxy.complexity,
        "sign": formula.sign,
        "fitness": formula.fitness,
        "found_at": formula.found_at,
    } | figures


def _proxy(item: Datum) -> HallProxy:
    item.only(*_PROXY_FIELDS)
    proxy = read_proxy(item["text"])
    if item["genotype"].value != proxy.to_genotype():
        raise item["genotype"].refuse(f"that of the text, {proxy}")
    item["complexity"].integer()  # like the genotype, for readers without this code
    sign, fitness, found_at = item["sign"].sign(), item["fitness"].number(), item["found_at"].integer()
    return HallProxy(
        Evaluation(proxy, fitness, sign, found_at=found_at),
        **_measured(item),
        fidelity=item["fidelity"].figure(),
    )


def _baseline(item: Datum) -> Baseline:
    item.only("name", "search", "holdout", "all")
    return Baseline(item["name"].text(), **_measured(item))


def _measured(item: Datum) -> dict[str, Figures | None]:
    return {part: _figures(item[part]) for part in ("search", "holdout", "all")}


def _figures(item: Datum) -> Figures | None:
    """Statistics; a correlation is a number or null, whatever else they hold."""
    figures = item.figures()
    for name in ("spearman", "kendall"):
        if figures is not None and figures.get(name) is not None:
            item[name].number()
    return figures
