"""No flipped bit changes a result: it is noticed, or what is loaded is what was written."""

from __future__ import annotations

import pytest

from tests.robustness.flips import run


@pytest.mark.slow
def test_every_flipped_bit_is_noticed_or_without_effect() -> None:
    for name, counts in run(40, 1).items():
        assert counts["WRONG"] == 0 and counts["noticed"] >= 20, (name, counts)
