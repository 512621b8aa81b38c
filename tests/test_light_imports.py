"""What only reads and writes formulas and descriptions starts without torch, scipy and transformers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "scipy", "transformers", "deap", "sklearn")
LIGHT = ("storage", "engine", "primitives", "models", "primitives.grammar", "primitives.pps", "primitives.rendering",
         "models.spaces", "models.benchmarks.origins", "gp.hall_file")  # fmt: skip


@pytest.mark.parametrize("module", LIGHT)
def test_a_light_module_loads_no_heavy_package(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]", f"{module} loads {ran.stdout}"


def test_formulas_are_read_judged_and_printed_without_torch() -> None:
    code = """
import sys
from primitives import UNARY, as_latex, as_python, parse, violation
for name in UNARY:
    proxy = parse(f"sum[ sum( {name}(W), exp(A) ) ]")
    as_latex(proxy), as_python(proxy), violation(proxy), str(proxy), proxy.complexity
assert "torch" not in sys.modules
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
