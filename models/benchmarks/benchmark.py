"""Benchmark: architectures of one space with their measured ground truth. The layouts it is read from are in
`models/benchmarks/layouts/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import numpy as np

from models.architecture import Architecture, BadArchitecture
from models.spaces import SPACES
from storage.datum import is_number, is_whole
from storage.errors import WrongInput

__all__ = [
    "MAX_FILE",
    "MAX_ID",
    "BadBenchmark",
    "Benchmark",
    "as_mapping",
    "choose_metric",
    "described",
    "finish",
    "one_described",
    "place",
]

MAX_FILE = 8 << 20  # bytes; the published files are below 2 MiB, and JSON may take 20 times its size in memory
MAX_ID = 200  # characters
FEWEST = 10  # architectures
NOISIEST = 1000.0  # deviation of a label's noise, in units of that of the labels, beyond which none matters
ALIKE = 0.02  # difference of the logarithms of two training budgets that count as one


class BadBenchmark(WrongInput):
    """A benchmark that cannot be used; the message names the record, what it got and what it wants."""


@dataclass(frozen=True, eq=False)
class Benchmark:
    """`architectures` (N,) with `ground_truth` (N,) float64 in units of `metric`; `sd` (N,) is its noise, nan where it
    is not known. A configuration may stand in several rows, with other training tokens in each."""

    name: str
    space: str
    metric: str
    higher_is_better: bool
    architectures: tuple[Architecture, ...]
    ground_truth: np.ndarray
    digest: str
    header: Mapping[str, Any] = field(default_factory=dict)
    sd: np.ndarray | None = None

    @property
    def quality(self) -> np.ndarray:
        """Ground truth turned so that larger is better, (N,)."""
        return self.ground_truth if self.higher_is_better else -self.ground_truth

    def noise(self, places: Sequence[int] | np.ndarray) -> np.ndarray | None:
        """(n,) variance of the noise of the labels at `places`, in units of the variance of these labels; a label whose
        noise is not known has the median of the others. None where none is known."""
        if self.sd is None or not np.isfinite(sd := self.sd[np.asarray(places, dtype=int)]).any():
            return None
        spread = float(self.ground_truth[np.asarray(places, dtype=int)].std()) or 1.0
        return np.minimum(np.where(np.isfinite(sd), sd, np.nanmedian(sd)) / spread, NOISIEST) ** 2

    @property
    def groups(self) -> np.ndarray:
        """(N,) integers; architectures that are exact repeats share one, so that no split separates them."""
        first: dict[str, int] = {}
        return np.array([first.setdefault(a.digest, i) for i, a in enumerate(self.architectures)])

    @cached_property
    def budgets(self) -> np.ndarray:
        """(N,) integers: the training budget of each row, from 0. Rows are of one budget if their tokens, or else
        their tokens per parameter, are alike: whichever gives fewer budgets. Only such rows are compared."""
        tokens = np.array([np.nan if a.tokens is None else a.tokens for a in self.architectures])
        if not np.isfinite(tokens).all():
            return np.isfinite(tokens).astype(int) if np.isfinite(tokens).any() else np.zeros(len(tokens), dtype=int)
        counts = [SPACES[a.space].parameters(a) for a in self.architectures]
        shares = [tokens / [getattr(count, role) for count in counts] for role in ("total", "decoder")]
        return min(map(_alike, (tokens, *shares)), key=lambda found: int(found.max()))

    def of_budgets(self, places: Sequence[int] | None = None) -> list[np.ndarray]:
        """The rows (or those of `places`) of each training budget, the smallest budget first."""
        chosen = np.arange(len(self)) if places is None else np.array(places, dtype=int)
        return [chosen[self.budgets[chosen] == budget] for budget in np.unique(self.budgets[chosen])]

    def __len__(self) -> int:
        return len(self.architectures)


def finish(
    name: str,
    space: str,
    metric: str,
    higher: bool,
    rows: Sequence[tuple[Any, Mapping[str, Any], Any]],
    digest: str,
    header: Mapping[str, Any] | None = None,
    tokens: Sequence[float | None] = (),
    sd: Sequence[float] = (),
) -> Benchmark:
    """A benchmark of checked (id, config, value) rows, perhaps with the training tokens and the noise of each;
    BadBenchmark names a bad one by its index and id."""
    name = "".join(c if c.isprintable() else "?" for c in name[:MAX_ID])  # a file may be called anything
    architectures, values = described(name, [(space, id, config) for id, config, _ in rows]), []
    for index, (written, _, value) in enumerate(rows):
        if not is_number(value) or not abs(value) < 1e300:
            where = place(name, index, written)
            raise BadBenchmark(f"{where}: {metric}: got {value!r}, wanted a finite number; correct or remove it")
        values.append(float(value))
    _check_rankable(name, metric, len({a.digest for a in architectures}), values)
    if any(tokens):
        architectures = [replace(a, tokens=amount) for a, amount in zip(architectures, tokens, strict=True)]
    noise = np.array(sd) if np.isfinite(sd).any() else None
    return Benchmark(name, space, metric, higher, tuple(architectures), np.array(values), digest, header or {}, noise)


def _alike(values: np.ndarray) -> np.ndarray:
    """(N,): which values are alike, as numbers from 0 in their order: neighbours that differ by at most ALIKE."""
    order = np.argsort(values, kind="stable")
    new = np.diff(np.log(values[order]), prepend=np.log(values[order[0]])) > ALIKE
    groups = np.empty(len(values), dtype=int)
    groups[order] = np.cumsum(new)
    return groups


def described(name: str, rows: Sequence[tuple[str, Any, Mapping[str, Any]]]) -> list[Architecture]:
    """The checked architectures of (space, id, config) rows; BadBenchmark names a bad one by its index and id."""
    seen = set[str]()
    return [one_described(name, index, row, seen) for index, row in enumerate(rows)]


def one_described(name: str, index: int, row: tuple[str, Any, Mapping[str, Any]], seen: set[str]) -> Architecture:
    """The checked architecture of one row, whose id is added to those `seen`."""
    space, written, config = row
    where = place(name, index, written)
    id = _id(written, where)
    if id in seen:
        raise BadBenchmark(f"{where}: id occurs twice, wanted distinct ids; remove one of the records")
    seen.add(id)
    try:
        return SPACES[space].architecture(id, config)
    except BadArchitecture as error:
        raise BadBenchmark(f"{where}: {error}; correct or remove the record") from error


def place(name: str, index: int, id: Any) -> str:
    """Name of a record in a message."""
    return f"{name}: record {index} ({str(id)[:MAX_ID]})"


def _id(written: Any, where: str) -> str:
    """The id, a text or a whole number, as a text that a terminal can show."""
    if not isinstance(written, str) and not is_whole(written):
        got = "nothing" if written is None else repr(written)
        raise BadBenchmark(f"{where}: id: got {got}, wanted a text or a whole number; correct or remove the record")
    id = str(written)
    if not id.isprintable() or not 0 < len(id) <= MAX_ID:
        raise BadBenchmark(f"{where}: id: wanted 1 to {MAX_ID} printable characters; correct or remove the record")
    return id


def _check_rankable(name: str, metric: str, distinct: int, values: Sequence[float]) -> None:
    """Refuse what ranks nothing, before any network is built."""
    if distinct < FEWEST:
        raise BadBenchmark(
            f"{name}: got {len(values)} architectures, {distinct} of them distinct, wanted at least {FEWEST} distinct "
            "ones to rank anything"
        )
    if len(set(values)) == 1:
        raise BadBenchmark(
            f"{name}: {metric}: got {values[0]:g} for each of the {len(values)} architectures, which ranks nothing; "
            "wanted at least 2 values"
        )


def choose_metric(metric: str | None, default: str, known: list[str], name: str) -> str:
    """The asked metric if the benchmark has it, its default if none was asked for."""
    if metric is None or metric in known:
        return metric or default
    near = get_close_matches(metric, known, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise BadBenchmark(f"{name}: unknown metric {metric!r}, wanted one of {', '.join(known)}{hint}")


def as_mapping(value: Any, where: str) -> Mapping[str, Any]:
    """`value` if it is a mapping; BadBenchmark otherwise."""
    if not isinstance(value, dict):
        raise BadBenchmark(f"{where}: got {type(value).__name__}, wanted a mapping; restore the file")
    return value
