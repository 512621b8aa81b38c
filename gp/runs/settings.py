"""RunSettings: what a run depends on besides the search itself, and the door it comes back through from its file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from gp.case import Case
from gp.config import BadConfig, SearchConfig
from models.benchmarks.origins import is_path
from storage.datum import Datum
from storage.errors import WrongInput

__all__ = ["ON_INVALID", "BadRun", "RunCase", "RunSettings", "on_invalid_option"]

ON_INVALID = ("fail", "drop")
_MAX_PATH = 4096
_MOST_CASES = 100
_MOST_OPTIONS = 1000


class BadRun(WrongInput):
    """A run that cannot start or continue; the message says why and what to do."""


@dataclass(frozen=True)
class RunCase:
    """A benchmark of a run: its name, or a path that is kept absolute; its metric and digest, and the digest of its
    token batch."""

    benchmark: str
    metric: str
    digest: str
    tokens: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "benchmark", _whole(self.benchmark))


def on_invalid_option(on_invalid: str) -> tuple[str, ...]:
    """The option of the rule for networks that overflow; none for the default. It is the last one of a run."""
    return () if on_invalid == "fail" else ("--on-invalid", on_invalid)


@dataclass(frozen=True)
class RunSettings:
    """Settings of a run besides those of the search; all of them affect the result.

    `cases` are the benchmarks; `device` is the kind of device that features are computed on; `weights` the digest of
    the checkpoint that the networks have their weights of, if there is one; `price` is `whole` where features are those
    of the parts of one whole network. `on_invalid` says what becomes of an architecture whose network overflows: `fail`
    ends the run with its id, `drop` leaves it out of everything. `options` are those of the command that began the run,
    None where an older version began it, which did not keep them. BadRun if a number could not be read back.
    """

    cases: tuple[RunCase, ...]
    search: SearchConfig
    search_size: int = 50
    init_seed: int = 0
    batch: int = 4
    seq_len: int = 64
    corpus: str | None = None
    build: str | None = None
    on_invalid: str = "fail"
    device: str = "cpu"
    weights: str | None = None
    price: str | None = None
    options: tuple[str, ...] | None = ()

    def __post_init__(self) -> None:
        whole = Datum("settings", vars(self), BadRun)
        for name, (low, high) in _RANGES.items():
            whole[name].integer(low, high)

    def with_on_invalid(self, on_invalid: str) -> RunSettings:
        """These settings with another rule for networks that overflow, also among the options."""
        if self.options is None:
            return replace(self, on_invalid=on_invalid)
        kept = self.options[: len(self.options) - len(on_invalid_option(self.on_invalid))]
        return replace(self, on_invalid=on_invalid, options=(*kept, *on_invalid_option(on_invalid)))

    def check(self, case: Case, began: RunCase) -> None:
        """Refuse another content of a case than the run began with; BadRun says of what."""
        benchmark, workshop = case.benchmark, case.workshop
        if benchmark.digest != began.digest:
            raise BadRun(f"{benchmark.name}: its content changed since the run began; restore it or start a new run")
        if workshop.batch.digest != began.tokens:
            text = self.corpus or "the built-in passage"
            raise BadRun(f"{text}: the text changed since the run began; restore it or start a new run")
        if (kind := workshop.bank.key.device) != self.device:
            raise BadRun(f"devices: got {kind}, wanted {self.device}, with which the run began; or start a new run")
        if (found := workshop.bank.key.weights) != (self.weights or ""):
            got, wanted = (digest[:12] or "none" for digest in (found, self.weights or ""))
            raise BadRun(
                f"--weights: got {got}, wanted {wanted}, with which the run began (sha256 of a checkpoint); "
                "give the folder of that one or start a new run"
            )
        if (found := workshop.bank.key.price) != (self.price or ""):
            got, wanted = (price or "own" for price in (found, self.price))
            raise BadRun(f"--price: got {got}, wanted {wanted}, with which the run began; or start a new run")

    def recorded(self) -> dict[str, Any]:
        """Settings that a hall of fame records beside its cases."""
        return {name: value for name, value in self.to_dict().items() if name != "cases"}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for config.json."""
        options = None if self.options is None else list(self.options)
        plain = {**vars(self), "options": options, "cases": [dict(vars(case)) for case in self.cases]}
        if self.device == "cpu":
            del plain["device"]
        if self.weights is None:
            del plain["weights"]
        if self.price is None:
            del plain["price"]
        return {**plain, "search": self.search.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "config.json") -> RunSettings:
        """Inverse of `to_dict`; BadRun names a field that is missing, unknown or impossible."""
        whole = _in_cases(Datum(where, data, BadRun))
        whole.only(*(field.name for field in fields(cls)))
        on_invalid = whole["on_invalid"]
        if on_invalid.value not in ON_INVALID:
            raise on_invalid.refuse(f"one of {', '.join(ON_INVALID)}")
        try:
            search = SearchConfig.from_dict(whole["search"].mapping())
        except BadConfig as fault:
            raise BadRun(f"{where}: search: {fault}; restore the file or start a new run") from None
        values: dict[str, Any] = {name: whole[name].integer(low, high) for name, (low, high) in _RANGES.items()}
        values |= {name: whole[name].optional_text(_MAX_PATH) for name in ("corpus", "build")}
        values["device"] = whole["device"].text(16) if "device" in data else "cpu"
        values |= {name: whole[name].text(64) if name in data else None for name in ("weights", "price")}
        if (options := whole["options"]).value is not None:
            values["options"] = tuple(option.text(_MAX_PATH) for option in options.items(_MOST_OPTIONS))
        else:
            values["options"] = None
        cases = tuple(_run_case(item) for item in whole["cases"].items(_MOST_CASES))
        if not cases:
            raise whole["cases"].refuse("at least one benchmark; restore the file or start a new run")
        return cls(cases=cases, search=search, on_invalid=on_invalid.value, **values)


def _in_cases(whole: Datum) -> Datum:
    """Settings with a list of cases; an older version kept the first one in fields of its own, the rest as `others`,
    and no options."""
    settings = whole.mapping()
    if "benchmark" not in settings or "cases" in settings:
        return whole
    flat = {"benchmark": "benchmark", "metric": "metric", "digest": "benchmark_digest", "tokens": "tokens"}
    first = {name: whole[field].value for name, field in flat.items()}
    others = [case.value for case in whole["others"].items(_MOST_CASES)] if "others" in settings else []
    kept = {name: value for name, value in settings.items() if name not in (*flat.values(), "others")}
    return Datum(whole.where, {**kept, "cases": [first, *others], "options": None}, BadRun)


def _run_case(item: Datum) -> RunCase:
    names = [field.name for field in fields(RunCase)]
    item.only(*names)
    return RunCase(*(item[name].text(_MAX_PATH) for name in names))


def _whole(benchmark: str) -> str:
    """A name as it is, a path from the root."""
    return os.path.abspath(benchmark) if is_path(benchmark) else benchmark


_RANGES = {"search_size": (1, 10**6), "init_seed": (0, 2**63 - 2), "batch": (1, 4096), "seq_len": (2, 4096)}
