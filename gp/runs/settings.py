"""RunSettings: what a run depends on besides the search itself, and the door it comes back through from its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from gp.config import BadConfig, SearchConfig
from storage.datum import Datum
from storage.errors import ZcpError

__all__ = ["ON_INVALID", "BadRun", "RunSettings"]

ON_INVALID = ("fail", "drop")
_MAX_PATH = 4096


class BadRun(ZcpError, ValueError):
    """A run that cannot start or continue; the message says why and what to do."""


@dataclass(frozen=True)
class RunSettings:
    """What a run depends on besides the search itself; all of it decides the result.

    `on_invalid` says what becomes of an architecture whose network overflows: `fail` ends the run with its id,
    `drop` leaves it out of everything.
    """

    benchmark: str
    metric: str
    benchmark_digest: str
    search: SearchConfig
    search_size: int = 50
    init_seed: int = 0
    batch: int = 4
    seq_len: int = 64
    corpus: str | None = None
    build: str | None = None
    on_invalid: str = "fail"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for config.json."""
        return {**self.__dict__, "search": self.search.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "config.json") -> RunSettings:
        """Inverse of `to_dict`; BadRun names a field that is missing, unknown or impossible."""
        whole = Datum(where, data, BadRun)
        whole.only(*(field.name for field in fields(cls)))
        on_invalid = whole["on_invalid"]
        if on_invalid.value not in ON_INVALID:
            raise on_invalid.refuse(f"one of {', '.join(ON_INVALID)}")
        try:
            search = SearchConfig.from_dict(whole["search"].mapping())
        except BadConfig as fault:
            raise BadRun(f"{where}: search: {fault}; restore the file or start a new run") from None
        values: dict[str, Any] = {name: whole[name].integer(low, high) for name, (low, high) in _RANGES.items()}
        values |= {name: whole[name].text(_MAX_PATH) for name in ("benchmark", "metric", "benchmark_digest")}
        values |= {name: whole[name].optional_text(_MAX_PATH) for name in ("corpus", "build")}
        return cls(search=search, on_invalid=on_invalid.value, **values)


_RANGES = {"search_size": (1, 10**6), "init_seed": (0, 2**63 - 1), "batch": (1, 4096), "seq_len": (2, 4096)}
