"""Small changes of a module's syntax tree, one at a time: what a mutation study tries."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator

__all__ = ["mutants"]

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
    if isinstance(node, ast.Return) and getattr(node.value, "value", node.value) is not None:
        yield lambda n: _set(n, value=ast.Constant(None))


def _set(node: ast.AST, **fields: object) -> ast.AST:
    for name, value in fields.items():
        setattr(node, name, value)
    return node


def sites(tree: ast.AST, path: tuple = ()) -> Iterator[tuple[tuple, ast.AST]]:
    """Every node that runs, with its place: not annotations, decorators, messages, types and names for importers."""
    yield path, tree
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns", "exc", "decorator_list") or isinstance(tree, ast.JoinedStr):
            continue
        if field == "func" and isinstance(value, ast.Subscript):  # an empty container with its types
            continue
        for at, child in enumerate(value) if isinstance(value, list) else ((None, value),):
            hidden = isinstance(child, ast.Assign) and getattr(child.targets[0], "id", "") in ("__all__", "T", "P")
            types_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            types_only |= isinstance(child, ast.Subscript) and ast.unparse(child.value) == "Callable"
            checks = isinstance(child, ast.keyword) and child.arg == "strict"  # of zip: what it refuses cannot happen
            if isinstance(child, ast.AST) and not (hidden or types_only or checks):
                yield from sites(child, (*path, (field, at)))


def mutants(source: str, lines: set[int] | None = None) -> list[tuple[int, str, str]]:
    """(line, what changed, the changed source) of every mutant, of those on some `lines` only if they are given."""
    tree, found = ast.parse(source), []
    for path, node in sites(tree):
        if lines is not None and getattr(node, "lineno", 0) not in lines:
            continue
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
