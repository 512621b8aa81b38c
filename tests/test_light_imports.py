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


def test_help_of_every_command_loads_no_heavy_package_and_names_what_the_tables_hold() -> None:
    code = f"""
import sys, cli
from commands.names import Name, NameTable
assert all(cli.main([name, "--help"]) == 0 for name in cli.COMMANDS)
print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
types = [parameter.type for name in cli.COMMANDS for parameter in cli.program.commands[name].params]
tables = [type.table for type in types if isinstance(type, Name) and isinstance(type.table, NameTable)]
assert len(tables) > 8
assert not [table for table in tables if table.usual and table.usual != tuple(table())]
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr.strip()) == (0, "[]"), ran.stderr


def test_rank_loads_neither_the_search_nor_what_it_does_not_read(tmp_path: Path) -> None:
    """And it starts no worker process for a single network: that would be a second import of everything."""
    code = f"""
import multiprocessing, sys, cli
multiprocessing.context.SpawnProcess.start = None
sample = ["--sample", "1", "--space", "gpt2", "--devices", "cpu,cpu", "--bank", {str(tmp_path)!r}]
status = cli.main(["rank", *sample, "--proxy", "sum[ abs(W) ]"])
unwanted = {HEAVY[1:]} + ("gp.evolution", "gp.benchmark_search", "plotly", "matplotlib", "dask")
print(status, [name for name in unwanted if name in sys.modules], file=sys.stderr)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False
    )
    assert ran.stderr.splitlines()[-1] == "0 []", ran.stderr
