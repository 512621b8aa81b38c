"""What several commands ask for: names with a suggestion, the feature options, a benchmark."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar

import click


class Commands(click.Group):
    """A group that suggests the nearest command."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            near = get_close_matches(args[0], self.commands, 1)
            hint = f"did you mean {near[0]}?" if near else f"wanted one of {', '.join(self.commands)}"
            raise click.UsageError(f"unknown command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)


class Name(click.ParamType):
    """One of a few names, with a suggestion when it is misspelt."""

    def __init__(self, *names: str) -> None:
        self.names, self.name = names, "|".join(names)

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        if value in self.names:
            return value
        near = get_close_matches(str(value), self.names, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise click.BadParameter(f"got {value!r}, wanted one of {', '.join(self.names)}{hint}", ctx, param)


FORMAT = click.option("--format", "form", type=Name("table", "json", "csv"), default="table", show_default=True)


ON_INVALID = click.option(
    "--on-invalid", type=Name("fail", "drop"), default="fail", show_default=True,
    help="An architecture whose network overflows: end with its id, or leave it out.",
)  # fmt: skip


class Duration(click.ParamType):
    """Seconds from a text such as 90, 45s, 30m, 2h or 1d."""

    name = "time"
    units: ClassVar = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd]?)", str(value).strip())
        if match is None or float(match[1]) == 0:
            raise click.BadParameter(f"got {value!r}, wanted a time such as 90s, 30m, 2h or 1d", ctx, param)
        return float(match[1]) * self.units[match[2]]


def feature_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What the features depend on, and where they are made."""
    for option in (
        click.option("--build", default=None, help="Which reading of the space to build (default: its first)."),
        click.option("--batch", type=click.IntRange(1, 4096), default=4, show_default=True, help="Sequences."),
        click.option("--seq-len", type=click.IntRange(2, 4096), default=64, show_default=True, help="Bytes each."),
        click.option("--corpus", type=click.Path(path_type=Path), help="Your own text instead of the passage."),
        click.option("--init-seed", type=click.IntRange(0), default=0, show_default=True, help="Of the weights."),
        click.option("--devices", default="auto", show_default=True, help="cpu | cpu,cpu | cuda:0,cuda:1 | auto."),
        click.option("--bank", type=click.Path(path_type=Path), default=Path(".cache/bank"), show_default=True),
    ):
        command = option(command)
    return command


def open_workshop(
    space: str,
    build: str | None,
    batch: int,
    seq_len: int,
    corpus: Path | None,
    init_seed: int,
    devices: str,
    bank: Path,
) -> Any:
    """The workshop that the feature options describe."""
    from engine.crew import check_devices
    from fitness.features.bank import FeatureBank, FeatureKey
    from fitness.features.workshop import Workshop
    from models.tokens import TokenBatch

    check_build(space, build)
    tokens = TokenBatch.from_file(corpus, batch, seq_len) if corpus else TokenBatch.from_passage(batch, seq_len)
    key = FeatureKey.create(space, tokens.digest, init_seed, build)
    return Workshop(FeatureBank(bank, key), tokens, check_devices(devices))


def check_build(space: str, build: str | None) -> None:
    """Refuse a build that the space does not have."""
    from models.spaces import SPACES

    if build is not None and build not in SPACES[space].builds:
        raise click.UsageError(f"--build: got {build!r}, wanted one of {', '.join(SPACES[space].builds)}")


def load_named(name: str, metric: str | None = None) -> Any:
    """A benchmark by name or path."""
    from models.benchmarks.origins import load

    return load(name, metric)
