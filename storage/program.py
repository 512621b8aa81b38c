"""The name of the program in printed commands."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["program_name"]


def program_name() -> str:
    """`zcp` where it is installed, else the way to call a checkout."""
    return "zcp" if Path(sys.argv[0]).name == "zcp" else "python cli.py"
