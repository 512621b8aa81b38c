"""Fields of rotary positions (Su et al. 2021, arXiv 2104.09864) that say two different things, refused.

The library takes `rope_theta` and `rope_scaling` beside `rope_parameters`, and silently prefers one of them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from models.architecture import BadArchitecture
from storage.datum import is_number

__all__ = ["check_rope"]

log = logging.getLogger("zcp.hf")
DICTS = ("rope_parameters", "rope_scaling")
BESIDE = ("rope_theta", "partial_rotary_factor", "original_max_position_embeddings")
KNOWN = (
    "rope_theta", "rope_type", "type", "factor", "partial_rotary_factor", "original_max_position_embeddings",
    "attention_factor", "beta_fast", "beta_slow", "short_factor", "long_factor", "low_freq_factor", "high_freq_factor",
    "mscale", "mscale_all_dim", "truncate", "mrope_section", "mrope_interleaved", "short_mscale", "long_mscale",
    "llama_4_scaling_beta", "max_position_embeddings", "alpha", "head_dim", "finetuned",
)  # fmt: skip


def check_rope(family: str, fields: Mapping[str, Any]) -> None:
    """Refuse rotary fields that contradict each other or are no positive numbers; a line about unknown ones."""
    given = [(name, part) for name in DICTS if isinstance(fields.get(name), Mapping) for part in _parts(fields[name])]
    for name, part in given:
        _check_part(family, name, part)
    if all(isinstance(fields.get(name), Mapping) for name in DICTS):
        _check_twice(family, fields["rope_parameters"], fields["rope_scaling"])
    for field in BESIDE:
        inside = [part[field] for _, part in given if part.get(field) is not None]
        if inside and fields.get(field) is not None and not any(_equal(fields[field], x) for x in inside):
            raise _contradiction(family, field, fields[field], f"{given[0][0]}: {field}", inside[0])
    if (theta := fields.get("rope_theta")) is not None:
        _check_positive(f"{family}: rope_theta", theta)


def _parts(rope: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The object itself, or those of its kinds of layers."""
    inner = [part for part in rope.values() if isinstance(part, Mapping)]
    yield from inner or [rope]


def _check_part(family: str, name: str, part: Mapping[str, Any]) -> None:
    old, new = part.get("type"), part.get("rope_type")
    if old is not None and new is not None and old != new:
        raise _contradiction(family, f"{name}: type", old, "rope_type", new)
    for field in ("rope_theta", "factor"):
        if part.get(field) is not None:
            _check_positive(f"{family}: {name}: {field}", part[field])
    if unknown := [key for key in part if key not in KNOWN]:
        log.warning("%s: %s is no field of rotary positions and is ignored", family, ", ".join(sorted(unknown)))


def _check_twice(family: str, new: Mapping[str, Any], old: Mapping[str, Any]) -> None:
    """Two objects may say the same."""
    kinds = [part.get("rope_type", part.get("type", "default")) for part in (new, old)]
    if kinds[0] != kinds[1]:
        raise _contradiction(family, "rope_parameters: rope_type", kinds[0], "rope_scaling: rope_type", kinds[1])
    for key in sorted((new.keys() & old.keys()) - {"type"}):
        if not _equal(new[key], old[key]):
            raise _contradiction(family, f"rope_parameters: {key}", new[key], f"rope_scaling: {key}", old[key])


def _equal(a: Any, b: Any) -> bool:
    return bool(a == b)


def _check_positive(where: str, value: Any) -> None:
    if not is_number(value) or not value > 0:
        raise BadArchitecture(f"{where}: got {str(value)[:40]!r}, wanted a positive number")


def _contradiction(family: str, first: str, a: Any, second: str, b: Any) -> BadArchitecture:
    return BadArchitecture(f"{family}: {first}: got {str(a)[:40]}, but {second} is {str(b)[:40]}; keep one of the two")
