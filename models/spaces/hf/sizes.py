"""The numbers of a Hugging Face configuration that decide how much the library makes, checked before it makes anything.

A configuration of a hundred bytes can ask for a list of 10^9 entries, so every whole number has an upper bound by the
end of its name. Bounds lie far above every published network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.architecture import BadArchitecture
from storage.datum import is_whole

__all__ = ["MOST_BLOCKS", "check_sizes", "check_written_table"]

MOST_BLOCKS = 1024
COUNTED = ("layer", "layers", "head", "heads", "experts", "groups", "blocks", "depth")  # so many modules are made
LONG = ("position", "length", "ctx", "window", "seq_len")
MOST_TOKENS, LONGEST, WIDEST = 1 << 22, 1 << 24, 1 << 20
MOST_THETA = 1 << 50  # the base of rotary positions, which sizes nothing
MOST_WRITTEN = 1 << 24  # entries of a table that Python fills number by number


def check_sizes(value: Any, name: str = "") -> None:
    """Refuse a whole number beyond its bound, also in lists and inner objects; BadArchitecture names the field."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            check_sizes(item, str(key))
    elif isinstance(value, list | tuple):
        _check_repeats(value, name)
        for item in value:
            check_sizes(item, name)
    elif is_whole(value) and abs(value) > (most := _most(name)):
        raise BadArchitecture(f"{name}: got {value}, wanted at most {most:,}")


def check_written_table(family: str, positions: int, width: int) -> None:
    """Refuse a table of positions that takes Python minutes: of families that write it number by number."""
    if positions * width > MOST_WRITTEN:
        raise BadArchitecture(
            f"{family}: got {positions:,} positions of width {width:,}, which the library computes number by number; "
            f"wanted at most {MOST_WRITTEN:,} numbers"
        )


def _most(name: str) -> int:
    if name.endswith(COUNTED):
        return MOST_BLOCKS
    if "vocab" in name:
        return MOST_TOKENS
    if "theta" in name or name.endswith("base"):
        return MOST_THETA
    return LONGEST if any(word in name for word in LONG) else WIDEST


def _check_repeats(items: Sequence[Any], name: str) -> None:
    """Refuse a list of [list, count] pairs (`attention_types`) that stands for more than MOST_BLOCKS entries."""
    pairs = [x for x in items if isinstance(x, list | tuple) and len(x) == 2 and isinstance(x[0], list | tuple)]
    total = sum(len(kinds) * abs(count) for kinds, count in pairs if is_whole(count))
    if total > MOST_BLOCKS:
        raise BadArchitecture(f"{name}: got {total:,} entries when written out, wanted at most {MOST_BLOCKS:,}")
