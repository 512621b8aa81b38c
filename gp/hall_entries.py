"""The entries of a hall of fame: formulas, figures, baselines and the ending; and how each is read back from plain
data, with the error of the file that it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fitness.evaluation import Evaluation
from primitives.grammar import read_proxy
from primitives.proxy import Proxy
from storage.datum import Datum, is_number

__all__ = [
    "Baseline",
    "Ending",
    "Figures",
    "HallProxy",
    "Measured",
    "averaged",
    "proxy_to_dict",
    "read_baselines",
    "read_ending",
    "read_figures",
    "read_formula",
    "read_measured",
]

_MAX_BASELINES = 1000

Figures = Mapping[str, Any]
"""Statistics by name, such as {"n": 50, "spearman": 0.97, "ci95_spearman": [0.95, 0.98]}."""


@dataclass(frozen=True)
class Measured:
    """Figures of a formula on one benchmark, None where nothing was measured; `fidelity` compares sketch and exact
    scores on the search split."""

    search: Figures | None = None
    holdout: Figures | None = None
    all: Figures | None = None
    fidelity: float | Figures | None = None


def averaged(found: Sequence[Measured]) -> Measured:
    """The mean over benchmarks, of which every one counts alike; of one benchmark, its own figures."""
    if len(found) == 1:
        return found[0]
    parts = {part: _mean([getattr(each, part) for each in found]) for part in ("search", "holdout", "all")}
    close = [each.fidelity for each in found]
    known = all(is_number(each) for each in close) and bool(close)
    return Measured(**parts, fidelity=_rounded_mean(close) if known else None)


def _mean(parts: Sequence[Figures | None]) -> Figures | None:
    """Counts are added up, correlations averaged; an interval of a mean is not known."""
    figures = [part for part in parts if part is not None]
    if not figures or len(figures) < len(parts):
        return None
    found: dict[str, Any] = {}
    for name in figures[0]:
        values = [part.get(name) for part in figures]
        if name in ("n", "invalid") and all(is_number(value) for value in values):
            found[name] = sum(values)
        elif name in ("spearman", "kendall", "kendall_a"):
            found[name] = _rounded_mean(values) if all(is_number(value) for value in values) else None
    return found


def _rounded_mean(values: Sequence[Any]) -> float:
    return round(sum(values) / len(values), 6)


@dataclass(frozen=True)
class HallProxy:
    """One formula and what its search says of it, fitness by exact scores on the search splits; and what was measured
    afterwards, in the mean over the cases."""

    formula: Evaluation
    search: Figures | None = None
    holdout: Figures | None = None
    all: Figures | None = None
    fidelity: float | Figures | None = None

    @classmethod
    def of(cls, formula: Evaluation, found: Sequence[Measured]) -> HallProxy:
        """A formula with its figures on each case."""
        return cls(formula, **vars(averaged(found)))

    @property
    def proxy(self) -> Proxy:
        """The formula itself."""
        return self.formula.proxy

    @property
    def sign(self) -> int:
        """Factor of its scores, 1 or -1."""
        return self.formula.sign


@dataclass(frozen=True)
class Baseline:
    """A naive, hand-made or fitted ranking of the same run on the same networks."""

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


_PROXY_FIELDS = (
    "text",
    "genotype",
    "complexity",
    "sign",
    "fitness",
    "found_at",
    "search",
    "holdout",
    "all",
    "fidelity",
)


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


def read_formula(item: Datum) -> Evaluation:
    """The formula of an entry that `proxy_to_dict` wrote."""
    item.only(*_PROXY_FIELDS)
    proxy = read_proxy(item["text"])
    if item["genotype"].value != proxy.to_genotype():
        raise item["genotype"].refuse(f"that of the text, {proxy}")
    item["complexity"].integer()  # like the genotype, for readers without this code
    sign, fitness, found_at = item["sign"].sign(), item["fitness"].number(), item["found_at"].integer()
    return Evaluation(proxy, fitness, sign, found_at=found_at)


def read_baselines(item: Datum) -> tuple[Baseline, ...]:
    """A list of baselines, as a file says."""
    return tuple(_read_baseline(entry) for entry in item.items(_MAX_BASELINES))


def _read_baseline(item: Datum) -> Baseline:
    item.only("name", "search", "holdout", "all")
    return Baseline(item["name"].text(), **_parts(item))


def read_figures(item: Datum, formulas: int) -> tuple[Measured, ...]:
    """The figures of that many formulas on one case."""
    found = []
    for one in item.items(formulas):
        one.only("search", "holdout", "all", "fidelity")
        found.append(read_measured(one))
    if len(found) != formulas:
        raise item.refuse(f"{formulas} entries, one for each formula")
    return tuple(found)


def read_measured(item: Datum) -> Measured:
    """The figures of a formula; those of a further case in a file of schema 1 have no fidelity."""
    return Measured(**_parts(item), fidelity=item["fidelity"].figure() if "fidelity" in item.mapping() else None)


def _parts(item: Datum) -> dict[str, Figures | None]:
    return {part: _figures(item[part]) for part in ("search", "holdout", "all")}


def _figures(item: Datum) -> Figures | None:
    """Statistics; a correlation is a number or null, whatever else they hold."""
    figures = item.figures()
    for name in ("spearman", "kendall"):
        if figures is not None and figures.get(name) is not None:
            item[name].number()
    return figures
