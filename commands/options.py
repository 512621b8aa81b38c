"""What several commands ask for: names from tables, the feature options, a benchmark, a split."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from commands.output import program_name, say, was_given

if TYPE_CHECKING:
    from fitness.features.workshop import Workshop
    from fitness.predictors.predictor import Provenance
    from gp.hall_file import HallDocument

Command = Callable[..., Any]


class Commands(click.Group):
    """A group that suggests the nearest command, and shows its help where none is given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args:
            click.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            near = get_close_matches(args[0], self.commands, 1)
            hint = f"did you mean {near[0]}?" if near else f"wanted one of {', '.join(self.commands)}"
            raise click.UsageError(f"unknown command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)


class Name(click.ParamType):
    """One of a few names, with a suggestion when it is misspelt; names of a table are read when they are needed."""

    name = "name"

    def __init__(self, *names: str, table: Callable[[], Iterable[str]] = tuple) -> None:
        self._names, self._table = names, table

    @property
    def names(self) -> tuple[str, ...]:
        return (*self._names, *self._table())

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return f"[{'|'.join(self.names)}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        names = self.names
        if value in names:
            return str(value)
        near = get_close_matches(str(value), names, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise click.BadParameter(f"got {value!r}, wanted one of {', '.join(names)}{hint}", ctx, param)


def table_of(module: str, name: str) -> Callable[[], Iterable[str]]:
    """A table of names, which is loaded when it is needed."""
    return lambda: getattr(import_module(module), name)


class Duration(click.ParamType):
    """Seconds from a text such as 90, 45s, 30m, 2h or 1d."""

    name = "time"
    units: ClassVar = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
    longest: ClassVar = 3650 * 86400

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd]?)", str(value).strip())
        seconds = float(match[1]) * self.units[match[2]] if match else 0.0
        if not 0 < seconds <= self.longest:
            wanted = "a time of at most 3650d, such as 90s, 30m, 2h or 1d"
            raise click.BadParameter(f"got {value!r}, wanted {wanted}", ctx, param)
        return seconds


class Amount(click.ParamType):
    """A positive number with a unit, such as 10M or 5ms: the value in the unit whose factor is 1."""

    name = "amount"

    def __init__(self, example: str, units: Mapping[str, float]) -> None:
        self.example, self.units = example, units

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?)\s*([A-Za-zµ]*)", str(value).strip())
        amount = float(match[1]) * self.units[match[2]] if match and match[2] in self.units else 0.0
        if amount <= 0:
            units = ", ".join(unit for unit in self.units if unit)
            raise click.BadParameter(
                f"got {value!r}, wanted a number such as {self.example}; units are {units}", ctx, param
            )
        return amount


COUNT = Amount("10M", {"": 1, "K": 1e3, "k": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12})
SECONDS = Amount("5ms", {"us": 1e-6, "ms": 1e-3, "s": 1})


class Bound(click.ParamType):
    """A bound on one cost, such as params=10M: the pair of its name and the amount."""

    name = "bound"
    costs: ClassVar = {"params": COUNT, "flops": COUNT, "latency": SECONDS}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        if isinstance(value, tuple):
            return value
        name, _, amount = str(value).partition("=")
        if name not in self.costs:
            wanted = f"one of {', '.join(f'{cost}={unit.example}' for cost, unit in self.costs.items())}"
            raise click.BadParameter(f"got {value!r}, wanted {wanted}", ctx, param)
        return name, self.costs[name].convert(amount, param, ctx)


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {program_name()} {line}" for line in lines)


def gathered(name: str, make: Callable[..., Any], *options: Command) -> Callable[[Command], Command]:
    """Options that reach a command as one argument: what `make` makes of them."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def call(**given: Any) -> Any:
            mine = {option: given.pop(option) for option in names}
            return command(**given, **{name: make(**mine)})

        before = len(getattr(call, "__click_params__", ()))
        for option in reversed(options):
            option(call)
        names = [parameter.name for parameter in call.__click_params__[before:]]  # type: ignore[attr-defined]
        return call

    return decorate


BENCHMARK = click.option("--benchmark", "name", required=True, metavar="NAME|PATH", help="Whose architectures.")
METRIC = click.option("--metric", help="Which measured value is the target (default: the benchmark's own).")
SPLIT_SEED = click.option("--seed", type=click.IntRange(0), default=42, show_default=True, help="Of the split.")
FORMAT = click.option(
    "--format", "form", type=Name("table", "json", "csv"), default="table", show_default=True,
    help="How results are printed.",
)  # fmt: skip
ON_INVALID = click.option(
    "--on-invalid", type=Name("fail", "drop"), default="fail", show_default=True,
    help="An architecture whose network overflows: end with its id, or leave it out.",
)  # fmt: skip
WHERE = ("devices", "bank")  # the options that a next command needs to find what this one has made


@dataclass(frozen=True)
class FeatureOptions:
    """What the features depend on, and where they are made and kept."""

    build: str | None = None
    batch: int = 4
    seq_len: int = 64
    corpus: Path | None = None
    init_seed: int = 0
    devices: str = "auto"
    bank: Path = Path(".cache/bank")
    weights: Path | None = None
    stream: bool | None = None

    def open(self, space: str) -> Workshop:
        """The workshop that they describe."""
        from fitness.features.workshop import Workshop

        return Workshop.open(
            space, build=self.build, batch=self.batch, length=self.seq_len, corpus=self.corpus,
            init_seed=self.init_seed, devices=self.devices, bank=self.bank,
            weights=self.weights, stream=self.stream,
        )  # fmt: skip

    def of_run(self, hall: HallDocument | Provenance, space: str) -> FeatureOptions:
        """Those of the run behind a hall of fame or a predictor, where the user gives none; differences are said."""
        recorded = _recorded_features(hall, space)
        other = {name: value for name, value in recorded.items() if value != getattr(self, name)}
        overruled = {name for name in other if was_given(name)}
        for name in sorted(overruled):
            say(f"{_flag(name)}: {getattr(self, name)} here, {other[name]} in the run, so these are other features")
        taken = {name: value for name, value in other.items() if name not in overruled}
        if taken:
            say("features as in the run: " + " ".join(f"{_flag(name)} {value}" for name, value in taken.items()))
        return replace(self, **taken)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _recorded_features(hall: HallDocument | Provenance, space: str) -> dict[str, Any]:
    """The feature settings that a file records, checked; the build only for its own space."""
    from gp.hall_file import BadHall
    from storage.datum import Datum

    config = Datum("hall of fame: config", dict(hall.config), BadHall)
    found: dict[str, Any] = {}
    for name, low, high in (("batch", 1, 4096), ("seq_len", 2, 4096), ("init_seed", 0, 2**63 - 2)):
        if name in hall.config:
            found[name] = config[name].integer(low, high)
    if hall.config.get("corpus") is not None:
        found["corpus"] = Path(config["corpus"].text(4096))
    if hall.build is not None and hall.space == space and hall.config.get("build") is not None:
        found["build"] = hall.build
    return found


FEATURES = (
    click.option("--build", help="Which reading of the space to build (default: its first)."),
    click.option("--batch", type=click.IntRange(1, 4096), default=4, show_default=True, help="Sequences of text."),
    click.option("--seq-len", type=click.IntRange(2, 4096), default=64, show_default=True, help="Bytes of each."),
    click.option("--corpus", type=click.Path(path_type=Path), help="Your own text instead of the passage."),
    click.option("--init-seed", type=click.IntRange(0, 2**63 - 2), default=0, show_default=True, help="Of weights."),
    click.option("--devices", default="auto", show_default=True, help="cpu | cpu,cpu | cuda:0,cuda:1 | auto."),
    click.option(
        "--bank",
        type=click.Path(path_type=Path),
        default=Path(".cache/bank"),
        show_default=True,
        help="Folder where features and scores are kept.",
    ),
)
feature_options = gathered("features", FeatureOptions, *FEATURES)
