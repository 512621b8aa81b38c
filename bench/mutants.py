"""A mutation study: do the tests notice when a line of the product changes?

Each mutant is one small change of the syntax tree of one module, in a copy of the tree, run against the tests of that
module and the golden scores. Processes are forked from one that has imported all packages, so a mutant costs what its
tests cost. Survivors are printed: read each, and write a test or say why the change changes nothing.

    nice python -m bench.mutants --count 400 --seed 0 [--only models/spaces] > mutants.txt
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = (
    "torch", "scipy.stats", "scipy.fft", "hypothesis.extra.numpy", "joblib", "deap.gp", "yaml", "rich.progress",
    "click", "matplotlib.mathtext", "transformers.models.gpt2.modeling_gpt2", "transformers.models.bert.modeling_bert",
    "transformers.models.convbert.modeling_convbert",
)  # fmt: skip
LANGUAGE = "primitives_operators primitives_scoring primitives_pps"
TESTS = {
    "primitives/grammar.py": "primitives_grammar",
    "primitives/proxy.py": "primitives_grammar primitives_proxy primitives_pps primitives_scoring",
    "primitives/pps.py": "primitives_pps",
    "primitives/rendering.py": "primitives_rendering",
    "primitives/frames.py": f"{LANGUAGE} goldens",
    "primitives/inputs.py": f"{LANGUAGE} goldens",
    "primitives/scoring.py": "primitives_scoring goldens",
    "primitives/operators/registry.py": "primitives_operators primitives_pps",
    "primitives/operators/unary.py": f"{LANGUAGE} primitives_rendering goldens",
    "primitives/operators/binary.py": f"{LANGUAGE} primitives_rendering goldens",
    "primitives/operators/aggregation.py": f"{LANGUAGE} primitives_rendering goldens",
    "fitness/ranking.py": "fitness_ranking fitness_evaluation",
    "fitness/protocol.py": "fitness_groups fitness_protocol",
    "fitness/evaluation.py": "fitness_evaluation fitness_ranking",
    "fitness/objectives.py": "fitness_evaluation fitness_ranking",
    "fitness/features/sketch.py": "fitness_sketch goldens fitness_features fitness_branches",
    "fitness/features/bank.py": "fitness_bank fitness_shared_bank",
    "models/architecture.py": "models_architecture models_gpt2 goldens",
    "models/tokens.py": "models_tokens goldens",
    "models/spaces/space.py": "models_spaces models_gpt2 models_flexibert goldens",
    "models/spaces/gpt2.py": "models_spaces models_gpt2 goldens",
    "models/spaces/gpt2_network.py": "goldens models_gpt2",
    "models/spaces/flexibert.py": "models_spaces models_flexibert goldens",
    "models/spaces/bert_plans.py": "models_spaces models_flexibert goldens",
    "models/spaces/bert_blocks.py": "goldens models_flexibert",
    "gp/evolution/variation.py": "gp_golden gp_variation gp_plug_points",
    "gp/evolution/evolve.py": "gp_golden gp_evolve gp_search_state gp_plug_points",
    "gp/growth/choice.py": "gp_choice gp_growth",
}
SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Pow: ast.Mult, ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.And: ast.Or, ast.Or: ast.And, ast.LShift: ast.RShift,
    ast.USub: ast.UAdd,
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "amin": "amax", "amax": "amin", "zeros": "ones",
         "ones": "zeros", "low": "high", "high": "low"}  # fmt: skip


def changes(node: ast.AST) -> Iterator[Callable[[ast.AST], ast.AST]]:
    """What can be changed at this node: functions from its copy to what replaces it."""
    if isinstance(node, ast.Compare | ast.BinOp | ast.BoolOp | ast.UnaryOp | ast.AugAssign):
        operator = node.ops[0] if isinstance(node, ast.Compare) else node.op
        if isinstance(node, ast.UnaryOp) and isinstance(operator, ast.Not):
            yield lambda n: n.operand
        elif type(operator) in SWAPS and not isinstance(getattr(node, "operand", None), ast.Constant):
            new = SWAPS[type(operator)]()
            yield lambda n: _set(n, **({"ops": [new, *n.ops[1:]]} if isinstance(n, ast.Compare) else {"op": new}))
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        value = not node.value if isinstance(node.value, bool) else node.value + 1
        yield lambda n: ast.Constant(value)
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        yield lambda n: _set(n, test=ast.UnaryOp(ast.Not(), n.test))
    if isinstance(node, ast.Dict) and len(node.keys) > 1:
        yield lambda n: _set(n, keys=n.keys[:-1], values=n.values[:-1])
    if isinstance(node, ast.Set) or (isinstance(node, ast.Tuple | ast.List) and isinstance(node.ctx, ast.Load)):
        yield from [lambda n: _set(n, elts=n.elts[:-1])] * (len(node.elts) > 1)
    if isinstance(node, ast.Name | ast.Attribute) and (name := getattr(node, "id", getattr(node, "attr", ""))) in NAMES:
        yield lambda n: _set(n, **{"id" if isinstance(n, ast.Name) else "attr": NAMES[name]})
    if (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)) or isinstance(node, ast.Raise):
        yield lambda n: ast.Pass()
    if isinstance(node, ast.Return) and node.value is not None:
        yield lambda n: _set(n, value=ast.Constant(None))


def _set(node: ast.AST, **fields: object) -> ast.AST:
    for name, value in fields.items():
        setattr(node, name, value)
    return node


def sites(tree: ast.AST, path: tuple = ()) -> Iterator[tuple[tuple, ast.AST]]:
    """Every node that runs, with its place: not annotations, decorators, messages, and names for importers."""
    yield path, tree
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns", "exc", "decorator_list") or isinstance(tree, ast.JoinedStr):
            continue
        if field == "func" and isinstance(value, ast.Subscript):  # an empty container with its types
            continue
        for at, child in enumerate(value) if isinstance(value, list) else ((None, value),):
            hidden = isinstance(child, ast.Assign) and getattr(child.targets[0], "id", "") in ("__all__", "T", "P")
            types_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            checks = isinstance(child, ast.keyword) and child.arg == "strict"  # of zip: what it refuses cannot happen
            if isinstance(child, ast.AST) and not (hidden or types_only or checks):
                yield from sites(child, (*path, (field, at)))


def mutants(source: str) -> list[tuple[int, str, str]]:
    """(line, what changed, the changed source) of every mutant."""
    tree, found = ast.parse(source), []
    for path, node in sites(tree):
        for change in changes(node):
            fresh = copy.deepcopy(tree)
            parent, spot = None, fresh
            for field, at in path:
                parent, spot = spot, getattr(spot, field) if at is None else getattr(spot, field)[at]
            before, changed = ast.unparse(spot), change(spot)
            after, (field, at) = ast.unparse(ast.fix_missing_locations(changed)), path[-1]
            setattr(parent, field, changed) if at is None else getattr(parent, field).__setitem__(at, changed)
            what = f"{before.splitlines()[0][:70]}  ->  {after.splitlines()[0][:70]}"
            found.append((getattr(node, "lineno", 0), what, ast.unparse(ast.fix_missing_locations(fresh))))
    return found


def caught(folder: Path, tests: str, limit: float) -> bool:
    """Whether the tests fail (or hang) in the copy, run in a process of their own."""
    if (child := os.fork()) == 0:
        os.setsid()
        os.chdir(folder)
        sys.path[:0] = [str(folder), str(folder / "tests")]
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1), os.dup2(null, 2)
        importlib.import_module("torch").set_num_threads(1)
        files = [path for name in tests.split() if (path := f"tests/test_{name}.py") and Path(path).exists()]
        os._exit(pytest.main(["-x", "-q", "-n", "0", "-p", "no:cacheprovider", *files]))
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status != 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[""], help="beginnings of the paths that are tried")
    asked = parser.parse_args(arguments)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True  # a cached module of the same second would hide a mutant
    for name in HEAVY:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "tree"
        ignored = shutil.ignore_patterns(".git", "__pycache__", ".cache", "runs", ".hypothesis")
        shutil.copytree(ROOT, folder, ignore=ignored)
        return study(folder, asked.only, asked.count, asked.seed)


def study(folder: Path, only: list[str], count: int, seed: int) -> int:
    """Try `count` mutants drawn from the modules; print each survivor and the share that was caught."""
    files = [name for name in TESTS if name.startswith(tuple(only)) and (folder / name).exists()]
    drawn = [(name, *mutant) for name in files for mutant in mutants((folder / name).read_text())]
    everything = len(drawn)
    drawn = sorted(random.Random(seed).sample(drawn, min(count, everything)), key=lambda m: (files.index(m[0]), m[1]))
    limits, broken, tally = dict[str, float](), set[str](), dict[str, list[bool]]()
    for name, line, what, source in drawn:
        original = (folder / name).read_text()
        if name not in limits:
            start = time.monotonic()
            if caught(folder, TESTS[name], 600):
                print(f"{name}: its tests fail without any change, so no mutant of it is tried", flush=True)
                broken.add(name)
            limits[name] = 20 + 5 * (time.monotonic() - start)
        if name in broken:
            continue
        (folder / name).write_text(source)
        noticed = caught(folder, TESTS[name], limits[name])
        (folder / name).write_text(original)
        tally.setdefault(name, []).append(noticed)
        if not noticed:
            print(f"survived  {name}:{line}  {what}", flush=True)
    for name, found in tally.items():
        print(f"{sum(found):4} of {len(found):4}  {name}")
    total = [noticed for found in tally.values() for noticed in found]
    print(f"{sum(total)} of {len(total)} caught ({sum(total) / len(total):.1%}), of {everything} possible mutants")
    return 0


if __name__ == "__main__":
    sys.exit(main())
