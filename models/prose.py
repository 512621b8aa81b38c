"""The prose that every Python installation has: the topics of its help, `pydoc_data.topics`, split by topic."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

__all__ = ["Prose", "load_prose"]

CALIBRATION_SHARE = 0.2


@dataclass(frozen=True)
class Prose:
    """Whole topics in order of their names: `calibration` is what features and orders of units may see, `measured` what
    losses are measured on; `digest` names both."""

    calibration: str
    measured: str
    digest: str


@cache
def load_prose() -> Prose:
    """Half a megabyte of English about Python's language; it differs a little from version to version of Python."""
    from pydoc_data.topics import topics

    names = sorted(topics)
    seen, unseen = ("\n".join(topics[n] for n in names if _is_calibration(n) == wanted) for wanted in (True, False))
    digest = hashlib.sha256(f"{len(seen)}:{seen}{unseen}".encode()).hexdigest()
    return Prose(seen, unseen, digest)


def _is_calibration(name: str) -> bool:
    """True if a hash of its name puts a topic into the calibration text, whatever other topics there are."""
    return hashlib.sha256(name.encode()).digest()[0] < 256 * CALIBRATION_SHARE
