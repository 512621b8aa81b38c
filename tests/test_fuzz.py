"""Whatever a file or a formula holds, the answer is one line: no traceback, no code run, nothing written elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.robustness.fuzz import run

WATCHED = """
import typing
from tests.robustness.watch import WATCH
WATCH.allowed, WATCH.armed = "/nowhere", True
typing.ForwardRef("int | None")
named = list(WATCH.seen)
eval("1 + 1")
WATCH.armed = False
print(named, [event.split(" (")[0] for event in WATCH.seen])
"""


def test_hostile_input_is_answered_in_a_sentence(tmp_path: Path) -> None:
    result = run(300, 7, tmp_path)
    assert not result.faults, result.faults[:5]
    assert sum(result.kinds.values()) >= 280 and len(result.kinds) == 28


def test_code_that_runs_is_noticed_and_a_type_named_as_text_is_none() -> None:
    done = subprocess.run([sys.executable, "-c", WATCHED], capture_output=True, text=True, check=True)
    assert done.stdout == "[] ['compile <string>', 'exec <string>']\n"
