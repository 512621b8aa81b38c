"""The entries of a hall of fame: formulas with their figures, the benchmark, the split, baselines and the ending; and
how each is read back from plain data, with the error of the file that it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fitness.evaluation import Evaluation
from primitives.grammar import read_proxy
from primitives.proxy import Proxy
from storage.datum import Datum

__all__ = [
    "Baseline", "BenchmarkRef", "Ending", "Figures", "HallCase", "HallProxy", "SplitIds", "proxy_to_dict",
    "read_baseline", "read_benchmark", "read_case", "read_ending", "read_entry", "read_ids", "read_split",
]  # fmt: skip

_MAX_IDS = 100_000
_MAX_BASELINES = 1000

Figures = Mapping[str, Any]
"""Statistics by name, such as {"n": 50, "spearman": 0.97, "ci95_spearman": [0.95, 0.98]}."""


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
    """A naive, hand-made or fitted ranking of the same run on the same networks."""

    name: str
    search: Figures | None = None
    holdout: Figures | None = None
    all: Figures | None = None


@dataclass(frozen=True)
class HallCase:
    """A further benchmark of a search on several: what the search saw of it, and how the formulas did there, `figures`
    in their order, each {"search", "holdout", "all"}."""

    space: str
    build: str | None
    benchmark: BenchmarkRef
    split: SplitIds
    feature_key: str
    figures: tuple[Mapping[str, Figures | None], ...]
    baselines: tuple[Baseline, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        plain = {name: value for name, value in vars(self).items() if name in ("space", "build", "feature_key")}
        return plain | {
            "benchmark": dict(vars(self.benchmark)),
            "split": {"search": list(self.split.search), "holdout": list(self.split.holdout)},
            "figures": [dict(figures) for figures in self.figures],
            "baselines": [dict(vars(baseline)) for baseline in self.baselines],
        }


@dataclass(frozen=True)
class Ending:
    """Why the search ended, and after how many iterations; `early` if fewer than it was asked for."""

    reason: str
    iteration: int
    early: bool


_PROXY_FIELDS = (
    "text", "genotype", "complexity", "sign", "fitness", "found_at", "search", "holdout", "all", "fidelity",
)  # fmt: skip


def read_benchmark(item: Datum) -> BenchmarkRef:
    """Which benchmark, as a file says."""
    item.only("name", "digest", "metric", "higher_is_better")
    name, digest, metric = (item[key].text() for key in ("name", "digest", "metric"))
    return BenchmarkRef(name, digest, metric, item["higher_is_better"].flag())


def read_split(item: Datum) -> SplitIds:
    """The ids of the search split and of all others, none of them in both."""
    item.only("search", "holdout")
    search, holdout = read_ids(item["search"]), read_ids(item["holdout"])
    for name in ("search", "holdout"):
        if not item[name].value:
            raise item[name].refuse("the ids of the architectures; restore the file, or run evolve again")
    if len({*search, *holdout}) < len(search) + len(holdout):
        raise item.refuse("each architecture once, either in search or in holdout")
    return SplitIds(search, holdout)


def read_ids(item: Datum) -> tuple[str, ...]:
    """Ids of architectures."""
    return tuple(entry.text() for entry in item.items(_MAX_IDS))


def read_ending(item: Datum) -> Ending:
    """Why the search ended, as a file says."""
    item.only("reason", "iteration", "early")
    return Ending(item["reason"].text(), item["iteration"].integer(), item["early"].flag())


def proxy_to_dict(entry: HallProxy) -> dict[str, Any]:
    """Plain data for JSON."""
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


def read_entry(item: Datum) -> HallProxy:
    """What `proxy_to_dict` wrote."""
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


def read_baseline(item: Datum) -> Baseline:
    """A baseline, as a file says."""
    item.only("name", "search", "holdout", "all")
    return Baseline(item["name"].text(), **_measured(item))


def read_case(item: Datum, formulas: int) -> HallCase:
    """What `HallCase.to_dict` wrote, with figures for that many formulas."""
    item.only("space", "build", "benchmark", "split", "feature_key", "figures", "baselines")
    figures = []
    for one in item["figures"].items(formulas):
        one.only("search", "holdout", "all")
        figures.append(_measured(one))
    if len(figures) != formulas:
        raise item["figures"].refuse(f"{formulas} entries, one for each formula")
    return HallCase(
        item["space"].text(),
        item["build"].optional_text(),
        read_benchmark(item["benchmark"]),
        read_split(item["split"]),
        item["feature_key"].text(),
        tuple(figures),
        tuple(read_baseline(entry) for entry in item["baselines"].items(_MAX_BASELINES)),
    )


def _measured(item: Datum) -> dict[str, Figures | None]:
    return {part: _figures(item[part]) for part in ("search", "holdout", "all")}


def _figures(item: Datum) -> Figures | None:
    """Statistics; a correlation is a number or null, whatever else they hold."""
    figures = item.figures()
    for name in ("spearman", "kendall"):
        if figures is not None and figures.get(name) is not None:
            item[name].number()
    return figures
