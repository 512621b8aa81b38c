"""The root of all errors that carry advice: what, got, wanted, and what to do next."""

from __future__ import annotations

__all__ = ["ZcpError"]


class ZcpError(Exception):
    """Error with a message for the user, which cli.py prints as one line. Any other exception is a bug."""
