"""Benchmark: architectures of one space with their measured ground truth. The layouts it is read from are in
`models/benchmarks/layouts/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np

from models.architecture import Architecture, BadArchitecture
from models.spaces import SPACES
from storage.errors import ZcpError

__all__ = ["MAX_FILE", "BadBenchmark", "Benchmark", "as_mapping", "choose_metric", "finish"]

MAX_FILE = 8 << 20  # bytes; the published files are below 2 MiB, and JSON may take 20 times its size in memory
MAX_ID = 200  # characters


class BadBenchmark(ZcpError, ValueError):
    """A benchmark that cannot be used; the message names the record, what it got and what it wants."""


@dataclass(frozen=True, eq=False)
class Benchmark:
    """`architectures` (N,) with `ground_truth` (N,) float64 in units of `metric`."""

    name: str
    space: str
    metric: str
    higher_is_better: bool
    architectures: tuple[Architecture, ...]
    ground_truth: np.ndarray
    digest: str
    header: Mapping[str, Any] = field(default_factory=dict)

    @property
    def quality(self) -> np.ndarray:
        """Ground truth turned so that larger is better, (N,)."""
        return self.ground_truth if self.higher_is_better else -self.ground_truth

    @property
    def groups(self) -> np.ndarray:
        """(N,) integers; architectures that are exact repeats share one, so that no split separates them."""
        first: dict[str, int] = {}
        return np.array([first.setdefault(a.digest, i) for i, a in enumerate(self.architectures)])

    def __len__(self) -> int:
        return len(self.architectures)


def finish(
    name: str,
    space: str,
    metric: str,
    higher: bool,
    rows: Sequence[tuple[str, Mapping[str, Any], Any]],
    digest: str,
    header: Mapping[str, Any] | None = None,
) -> Benchmark:
    """A benchmark of checked (id, config, value) rows; BadBenchmark names a bad one by its index and id."""
    architectures, values, seen = [], [], set()
    for index, (id, config, value) in enumerate(rows):
        where = f"{name}: record {index} ({id[:MAX_ID]})"
        if not id.isprintable() or not 0 < len(id) <= MAX_ID:
            raise BadBenchmark(f"{where}: id: wanted 1 to {MAX_ID} printable characters; correct or remove the record")
        if id in seen:
            raise BadBenchmark(f"{where}: id occurs twice, wanted distinct ids; remove one of the records")
        seen.add(id)
        try:
            architectures.append(SPACES[space].architecture(id, config))
        except BadArchitecture as error:
            raise BadBenchmark(f"{where}: {error}; correct or remove the record") from error
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e300:
            raise BadBenchmark(f"{where}: {metric}: got {value!r}, wanted a finite number; correct or remove it")
        values.append(float(value))
    if len(rows) < 10:
        raise BadBenchmark(f"{name}: got {len(rows)} architectures, wanted at least 10 to rank anything")
    return Benchmark(name, space, metric, higher, tuple(architectures), np.array(values), digest, header or {})


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
