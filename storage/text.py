"""Text from files, escaped for display."""

from __future__ import annotations

__all__ = ["literal"]


def literal(text: str) -> str:
    """Escape control characters, so that text from a file cannot control a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
