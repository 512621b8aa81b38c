"""Option types and options that several commands share, and the layout of their help."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from difflib import get_close_matches
from importlib import import_module
from typing import Any, ClassVar

import click

from commands.names import Name
from storage.program import program_name

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


class Imported(Mapping[str, click.Command]):
    """Commands by name; each is imported when it is asked for, from the module of its name behind a prefix such as
    "package." (a text that setup.py rewrites for the wheel), and made ready once."""

    def __init__(self, prefix: str, names: Iterable[str], ready: Callable[[Iterable[click.Command]], None]) -> None:
        self._prefix, self._ready = prefix, ready
        self._found: dict[str, click.Command | None] = dict.fromkeys(names)

    def __getitem__(self, name: str) -> click.Command:
        if (command := self._found[name]) is None:
            command = self._found[name] = getattr(import_module(f"{self._prefix}{name}"), name)
            self._ready([command])
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


class Sectioned(click.Command):
    """A command whose help shows its options in sections; options named in no section come last, as internals.

    `sections` maps a heading to the names of parameters.
    """

    def __init__(self, *args: Any, sections: Mapping[str, Iterable[str]], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.sections = {heading: tuple(names) for heading, names in sections.items()}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        shown = {str(p.name): record for p in self.get_params(ctx) if (record := p.get_help_record(ctx)) is not None}
        named = {name for names in self.sections.values() for name in names}
        rest = tuple(name for name in shown if name not in named)
        for heading, names in (*self.sections.items(), ("Search internals", rest)):
            with formatter.section(heading):
                formatter.write_dl([shown[name] for name in names if name in shown])


def decimal_product(number: str, unit: float) -> float:
    """A decimal number times a unit, rounded once: 0.063424 times 1e6 is 63424, where a product of two floats is
    less."""
    return float(Decimal(number) * Decimal(repr(unit)))


class Duration(click.ParamType):
    """Seconds from a text such as 90, 45s, 30m, 2h or 1d."""

    name = "time"
    units: ClassVar[dict[str, int]] = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
    longest: ClassVar = 3650 * 86400

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd]?)", str(value).strip())
        seconds = decimal_product(match[1], self.units[match[2]]) if match else 0.0
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
        amount = decimal_product(match[1], self.units[match[2]]) if match and match[2] in self.units else 0.0
        if amount <= 0:
            units = ", ".join(unit for unit in self.units if unit)
            raise click.BadParameter(
                f"got {value!r}, wanted a number such as {self.example}; units are {units}", ctx, param
            )
        return amount


COUNT = Amount("10M", {"": 1, "K": 1e3, "k": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12})
BYTES = Amount("8G", {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "MiB": 1 << 20, "GiB": 1 << 30})
SECONDS = Amount("5ms", {"us": 1e-6, "ms": 1e-3, "s": 1})


class Bound(click.ParamType):
    """A bound on one cost, such as params=10M: the pair of its name and the amount."""

    name = "bound"
    costs: ClassVar = {"params": COUNT, "flops": COUNT, "memory": BYTES, "latency": SECONDS}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        if isinstance(value, tuple):
            return value
        name, _, amount = str(value).partition("=")
        if name not in self.costs:
            wanted = f"one of {', '.join(f'{cost}={unit.example}' for cost, unit in self.costs.items())}"
            raise click.BadParameter(f"got {value!r}, wanted {wanted}", ctx, param)
        if "," in amount:
            raise click.BadParameter(f"got {value!r}, wanted one cost; repeat --budget for each other", ctx, param)
        return name, self.costs[name].convert(amount, param, ctx)


class BatchShape(click.ParamType):
    """Sequences and tokens of a training batch, such as 8x1024."""

    name = "batch"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,6})", str(value).strip())
        if match is None:
            raise click.BadParameter(f"got {value!r}, wanted sequences x tokens, such as 8x1024", ctx, param)
        return int(match[1]), int(match[2])


def tightest(bounds: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The least bound on each cost, in the order of their first appearance."""
    found: dict[str, float] = {}
    for name, amount in bounds:
        found[name] = min(amount, found.get(name, amount))
    return found


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {program_name()} {line}" for line in lines)


def removed(flag: str, instead: str) -> Command:
    """A hidden option that no longer exists; using it is an error that names its replacement."""

    def refuse(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value is not None:
            raise click.UsageError(f"{flag} was removed; {instead}")

    text = f"Removed; {instead}."
    return click.option(flag, hidden=True, expose_value=False, callback=refuse, metavar="VALUE", help=text)


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
        mine = call.__click_params__[before:]  # type: ignore[attr-defined]
        names = [parameter.name for parameter in mine if parameter.expose_value]
        return call

    return decorate


MEMORY_AT = click.option(
    "--memory-at",
    "shape",
    type=BatchShape(),
    default="8x1024",
    show_default=True,
    metavar="BxT",
    help="Batch of the training step whose memory is counted: sequences x tokens.",
)
BENCHMARK = click.option(
    "--benchmark", "name", required=True, metavar="NAME|PATH", help="Benchmark whose architectures are used."
)
METRIC = click.option("--metric", help="Measured value to predict (default: the benchmark's own).")
LEAST = 10
"""The fewest architectures that a search may see, and the fewest that may be held out."""


def search_size(what: str) -> Callable[[Command], Command]:
    """The option --search-size, whose help says what the architectures are for."""
    return click.option("--search-size", type=click.IntRange(LEAST), default=50, show_default=True, help=what)


SPLIT_SEED = click.option(
    "--seed", type=click.IntRange(0), default=42, show_default=True, help="Random seed of the split."
)
FORMAT = click.option(
    "--format", "form", type=Name("table", "json", "csv"), default="table", show_default=True, help="Output format."
)
ON_INVALID = click.option(
    "--on-invalid",
    type=Name("fail", "drop"),
    default="fail",
    show_default=True,
    help="If a network overflows: stop with its id, or drop the architecture.",
)
