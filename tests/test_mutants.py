"""The mutation study itself: what it changes, and that every module of its table and its tests are there."""

from __future__ import annotations

import pytest

from tests.robustness.mutants import ROOT, TESTS
from tests.robustness.syntax import mutants


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("x = a < b", {"x = a <= b"}),
        ("x = a | b", {"x = a & b"}),
        ("x = {1: a, 2: b}", {"x = {1: a}", "x = {2: a, 2: b}", "x = {1: a, 3: b}"}),
        ("if a:\n    f()", {"if not a:\n    f()", "if a:\n    pass"}),
        ("def f():\n    return not a", {"def f():\n    return None", "def f():\n    return a"}),
        ("x: 'list[1]' = min(a)", {"x: 'list[1]' = max(a)"}),
        ("x = True", {"x = False"}),
        ("zip(a, strict=True)", {"pass"}),
        ("raise E('1' + b)", {"pass"}),
        ("@cache(1)\ndef f(x: 2):\n    f'{3}'", set()),
    ],
)
def test_every_change_is_one_change_of_what_runs(source: str, wanted: set[str]) -> None:
    assert {changed for _, _, changed in mutants(source)} == wanted


def test_every_module_and_every_test_of_the_table_is_there() -> None:
    assert not [name for name in TESTS if not (ROOT / name).is_file()]
    tests = {test for names in TESTS.values() for test in names.split()}
    assert not [name for name in tests if not (ROOT / "tests" / f"test_{name}.py").is_file()]
