"""The mutation study itself: what it changes, and that every module of its table and its tests are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.robustness.mutants import ROOT, SEEN, TESTS, forked
from tests.robustness.reach import Chosen, Reach, Tracer
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


PRODUCT = """LIMIT = 3


def half(x):
    return x / 2


def most(x):
    if x > LIMIT:
        return LIMIT
    return min(
        x,
        9,
    )


def never():
    return 1
"""
TESTED = """import pytest
import product


@pytest.fixture(scope="module")
def one():
    return product.half(2)


def test_one(one):
    assert one == 1


def test_it_is_whole(one):
    assert isinstance(one, float)


def test_most():
    assert product.most(5) == 3


def test_less():
    assert product.most(2) == 2


def test_wrong():
    assert product.half(3) == 1
"""


def test_a_mutant_is_run_against_the_tests_that_reach_its_line(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "product.py").write_text(PRODUCT)
    (tmp_path / "tests" / "test_product.py").write_text(TESTED)
    files = ["tests/test_product.py"]

    def trace(file: str) -> Path:
        forked(tmp_path, [file], Tracer(tmp_path, ["product.py"]), 600, stop=False)
        return tmp_path / SEEN

    reach = Reach(trace)
    everyone = {"test_one", "test_it_is_whole", "test_most", "test_less"}  # without the one that fails anyway
    for line, wanted in ((5, everyone), (10, {"test_most"}), (13, {"test_less"}), (18, set()), (1, everyone)):
        found = reach.tests(files, "product.py", PRODUCT, line)
        assert {test.split("::")[1] for test in found} == wanted, line
    for change, line, said in (("min(", 11, "caught"), ("9", 13, "survived")):
        (tmp_path / "product.py").write_text(PRODUCT.replace(change, {"min(": "max(", "9": "8"}[change]))
        chosen = Chosen(list(reach.tests(files, "product.py", PRODUCT, line)))
        assert forked(tmp_path, files, chosen, 600) == said
