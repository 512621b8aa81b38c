"""Errors with advice: what, got, wanted, and what to do next.

    ZcpError             cli.py prints the message as one line; any other exception is a bug
    +- WrongInput        an option, a file, a name or a plug-in is not what it must be: correct it
    +- MissingData       a package or its data is not on this machine: install or fetch it
    +- CannotCompute     the input is right, and no number, ranking or formula comes of it
    +- WorkStopped       workers or a cluster were lost on the way: what is finished is kept, start again

Every error of the project is a child of one of the four; `WrongInput` is a ValueError as well.
"""

from __future__ import annotations

__all__ = ["CannotCompute", "MissingData", "WorkStopped", "WrongInput", "ZcpError"]


class ZcpError(Exception):
    """Error with a message for the user, which cli.py prints as one line. Any other exception is a bug."""


class WrongInput(ZcpError, ValueError):
    """An option, a file, a name or a plug-in that is not what it must be."""


class MissingData(ZcpError):
    """A package, or the data of one, that is not on this machine."""


class CannotCompute(ZcpError):
    """Right input of which no number, ranking or formula comes."""


class WorkStopped(ZcpError):
    """Work that ended before its end, because workers or a cluster were lost."""
