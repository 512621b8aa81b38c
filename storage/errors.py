"""The root of all errors that carry advice: what, got, wanted, and what to do next."""

from __future__ import annotations

__all__ = ["ZcpError"]


class ZcpError(Exception):
    """A mistake or mishap with a sentence for the user; cli.py prints it as one line. Anything else is a bug."""
