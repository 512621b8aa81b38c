"""Text from files as it may be shown."""

from __future__ import annotations

__all__ = ["literal"]


def literal(text: str) -> str:
    """A text as it may be shown: nothing in it steers a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
