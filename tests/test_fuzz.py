"""Whatever a file or a formula holds, the answer is one line: no traceback, no code run, nothing written elsewhere."""

from __future__ import annotations

from pathlib import Path

from tests.robustness.fuzz import run


def test_hostile_input_is_answered_in_a_sentence(tmp_path: Path) -> None:
    result = run(300, 7, tmp_path)
    assert not result.faults, result.faults[:5]
    assert sum(result.kinds.values()) >= 280 and len(result.kinds) == 28
