"""What an import costs: a front door loads nothing until a name behind it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import storage, engine, primitives, models, fitness, gp, report", ("torch", "transformers", "numpy")),
        ("from storage import BadFile, Datum, RecordLog, held, write_atomic", ("torch", "transformers", "numpy")),
        ("from engine import check_devices, map_on_devices, one_thread", ("transformers",)),
        ("from primitives import UNARY, parse, score", ("transformers",)),
    ],
)
def test_a_door_loads_no_more_than_it_must(statement: str, unwanted: tuple[str, ...]) -> None:
    code = f"{statement}\nimport sys\nprint(*[name for name in {unwanted!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
