"""Options of `select` that say which architectures it searches: fixed fields, ranges, multiples, equal blocks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from commands.options import gathered

if TYPE_CHECKING:
    from models.spaces.asked_region import RegionWishes

__all__ = ["RegionOptions", "region_options"]


class Assignments(click.ParamType):
    """FIELD=VALUE, several with commas between them: a tuple of pairs."""

    name = "assignments"

    def __init__(self, example: str, parse: Callable[[str], Any]) -> None:
        self.example, self.parse = example, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        if isinstance(value, tuple):
            return value
        found = []
        for part in re.split(r",(?![^\[]*\])", str(value)):  # commas in brackets are inside a list
            name, equals, text = (piece.strip() for piece in part.partition("="))
            try:
                if not (name and equals and text):
                    raise ValueError
                found.append((name, self.parse(text)))
            except ValueError:
                raise click.BadParameter(f"got {part!r}, wanted {self.example}", ctx, param) from None
        return tuple(found)


def _value(text: str) -> Any:
    """A number, true, false, a list in brackets, or a word."""
    if text.startswith("[") or re.fullmatch(r"-?\d.*|true|false", text):
        found = json.loads(text)
        return tuple(found) if isinstance(found, list) else found
    return text


def _range(text: str) -> Any:
    """LOW..HIGH, or values with slashes between them."""
    from models.spaces.asked_region import Span

    if match := re.fullmatch(r"(\d{1,9})\.\.(\d{1,9})", text):
        return Span(int(match[1]), int(match[2]))
    if "/" not in text:
        raise ValueError
    return tuple(_value(part) for part in text.split("/"))


def _multiple(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,8}", text):
        raise ValueError
    return int(text)


@dataclass(frozen=True)
class RegionOptions:
    """Options that restrict the architectures to search."""

    fixed: tuple[tuple[tuple[str, Any], ...], ...] = ()
    ranges: tuple[tuple[tuple[str, Any], ...], ...] = ()
    multiples: tuple[tuple[tuple[str, Any], ...], ...] = ()
    uniform: bool | None = None

    @property
    def given(self) -> bool:
        """True if any of these options was used."""
        return bool(self.fixed or self.ranges or self.multiples or self.uniform is not None)

    def wishes(self, exported: bool) -> RegionWishes:
        """The wishes; architectures that are exported to Hugging Face have equal blocks and RMS norms."""
        from models.spaces.asked_region import RegionWishes

        fixed, ranges, multiples = (
            dict(pair for given in option for pair in given) for option in (self.fixed, self.ranges, self.multiples)
        )
        if exported:
            if self.uniform is False:
                raise click.UsageError(
                    "--per-block: got it with --export, wanted equal blocks, as the library has them"
                )
            fixed = {"norm": "rms"} | fixed
        return RegionWishes(fixed, ranges, multiples, exported if self.uniform is None else self.uniform)


region_options = gathered(
    "asked", RegionOptions,
    click.option(
        "--fix", "fixed", multiple=True, metavar="FIELD=VALUE,...",
        type=Assignments("a field and its value, such as n_token=50257,tgt_len=1024", _value),
        help="Fields with one value, in all blocks, such as n_token=50257,tgt_len=1024.",
    ),
    click.option(
        "--range", "ranges", multiple=True, metavar="FIELD=LOW..HIGH,...",
        type=Assignments("a field and its range or its values, such as n_layer=4..48 or n_head=8/12/16", _range),
        help="Values of fields, such as n_layer=4..48,n_head=8/12/16 (default: those of the benchmarks). Widths go in "
        "steps of 64 or 8 where both ends allow it.",
    ),
    click.option(
        "--multiple", "multiples", multiple=True, metavar="FIELD=N,...",
        type=Assignments("a field and a whole number, such as d_ffn=64", _multiple),
        help="Every multiple of N in the range of a field, such as d_ffn=64.",
    ),
    click.option(
        "--uniform/--per-block", "uniform", default=None,
        help="All blocks of an architecture are equal, or each has its own sizes (default: equal with --export).",
    ),
)  # fmt: skip
