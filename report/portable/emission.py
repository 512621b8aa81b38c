"""Emission: a formula as a stand-alone module. The templates are tested code; they are read as text and not imported,
so torch and SymPy are not loaded. Functions and imports that the formula does not use are removed."""

from __future__ import annotations

import ast
import builtins
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from primitives.budget import parts
from primitives.operators import AGGREGATION, BUDGET, constant_of, turns
from primitives.proxy import BadProxy, Branch, Proxy

__all__ = ["as_sympy_module", "as_torch_module"]

HERE = Path(__file__).parent
KEPT = ("score", "symbolic", "formula")  # the functions that a module is there for
BUDGETED = "_with_budget"  # the ending of those that a formula with the training budget needs instead
WIDTH = 100  # characters of a call on one line


def as_torch_module(proxy: Proxy, sign: int = 1) -> str:
    """A module with `score(model, batch)` for Hugging Face models, which needs torch alone. BadProxy names an operator
    that the template lacks."""
    return _emitted(proxy, sign, "torch_module.py", "torch_taps.py")


def as_sympy_module(proxy: Proxy, sign: int = 1) -> str:
    """A module with `formula(blocks)` over symbolic matrices, which needs SymPy alone; errors as above."""
    return _emitted(proxy, sign, "sympy_module.py")


def _emitted(proxy: Proxy, sign: int, *names: str) -> str:
    """Merge the templates: docstring of the first, imports of all, and the definitions that the formula uses."""
    plain, templates = proxy.pruned(), [_template(name) for name in names]
    defined = {name: part.node for template in templates for name, part in template.parts.items()}
    call = _Calls(defined, plain.text).proxy(plain)
    kept = {name: name + BUDGETED * (plain.reads_budget and name + BUDGETED in defined) for name in KEPT}
    needed = _reached(defined, [*_names(ast.parse(call)), *kept.values()])
    texts = {
        kept["formula"]: _formula_source(plain, call, templates[0].parts[kept["formula"]]),
        "SIGN": f"SIGN = {sign}  # of a score: larger is better",
    }
    chosen = [
        texts.get(name, part.text)
        for template in templates
        for name, part in template.parts.items()
        if name in needed or not isinstance(part.node, ast.FunctionDef)
    ]
    body = _spaced(chosen).replace(BUDGETED, "")
    return f'"""{templates[0].doc}"""\n\n{_imports(templates, body)}\n\n{body}\n'


@dataclass(frozen=True)
class _Part:
    """A definition of a template and its text, with the comment and the decorators above and the docstring below."""

    node: ast.stmt
    text: str


@dataclass(frozen=True)
class _Template:
    """A template in parts: functions and other definitions by name, in their order."""

    doc: str
    imports: tuple[ast.Import | ast.ImportFrom, ...]
    parts: dict[str, _Part]


@cache
def _template(name: str) -> _Template:
    source = (HERE / name).read_text(encoding="utf-8")
    tree, lines = ast.parse(source), source.splitlines()
    imports, parts = list[ast.Import | ast.ImportFrom](), dict[str, _Part]()
    last = ""
    for node in tree.body[1:]:
        text = "\n".join(lines[_start(node, lines) - 1 : node.end_lineno])
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(node)
        elif isinstance(node, ast.Expr):  # what is said of the definition above it
            parts[last] = _Part(parts[last].node, f"{parts[last].text}\n{text}")
        else:
            last = _name(node)
            parts[last] = _Part(node, text)
    return _Template(str(ast.get_docstring(tree, clean=False)), tuple(imports), parts)


def _start(node: ast.stmt, lines: list[str]) -> int:
    """The line of its first decorator, else its own."""
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _name(node: ast.stmt) -> str:
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0])
    return ast.unparse(node.target) if isinstance(node, ast.AnnAssign) else str(getattr(node, "name", ""))


def _spaced(parts: list[str]) -> str:
    """Two empty lines around functions and classes, none between other definitions."""
    text, before = "", False
    for part in parts:
        is_block = part.startswith(("def ", "class ", "@"))
        text += ("\n\n\n" if is_block or before else "\n") + part if text else part
        before = is_block
    return text


def _imports(templates: list[_Template], body: str) -> str:
    """The imports of all templates that the body uses, in their usual order; what one template takes of another is in
    the body already."""
    used = set(_names(ast.parse(body)))
    plain, taken = set[str](), dict[str, set[str]]()
    for node in (node for template in templates for node in template.imports):
        for alias in node.names:
            if (alias.asname or alias.name.split(".")[0]) not in used:
                continue
            spelt = alias.name + (f" as {alias.asname}" if alias.asname else "")
            if isinstance(node, ast.Import):
                plain.add(f"import {spelt}")
            elif not str(node.module).startswith("report."):
                taken.setdefault(str(node.module), set()).add(spelt)
    froms = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(taken.items())]
    ours = ("torch", "sympy")
    standard = [line for line in (*sorted(plain), *froms) if line.split()[1].split(".")[0] not in ours]
    others = [line for line in (*sorted(plain), *froms) if line not in standard]
    return "\n\n".join(
        "\n".join(lines) for lines in (["from __future__ import annotations"], standard, others) if lines
    )


def _formula_source(proxy: Proxy, call: str, part: _Part) -> str:
    head = part.text.splitlines()[0]
    doc = textwrap.fill(f'"""{proxy.text}"""', 116, break_long_words=False, break_on_hyphens=False)
    return "\n".join([head, textwrap.indent(doc, "    "), textwrap.indent(f"return {call}", "    ")])


def _reached(defined: dict[str, ast.stmt], waiting: list[str]) -> set[str]:
    """The names of the definitions that a module needs, through all that they use."""
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in defined and name not in found:
            found.add(name)
            waiting += [] if name in ("formula", "formula" + BUDGETED) else _names(defined[name])
    return found


def _names(tree: ast.AST) -> list[str]:
    return [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]


class _Calls:
    """A formula as calls of a template's functions, which must be there."""

    def __init__(self, defined: dict[str, ast.stmt], text: str) -> None:
        self.defined, self.text = defined, text

    def proxy(self, proxy: Proxy) -> str:
        """The whole formula: joins outside, then aggregations, then branches."""
        if proxy.reads_budget:
            return self.with_budget(proxy)
        if (last := proxy.extension) is not None:
            outer = self.over(last.aggregate, self.branch("means", last.branch))
            return _nested(self.named("join_", last.binary), self.proxy(proxy.base), outer)
        left = self.branch("means", proxy.left)
        if proxy.right is None:
            return self.over(proxy.aggregate, left)
        if proxy.right_aggregate is not None:
            right = self.over(proxy.right_aggregate, self.branch("means", proxy.right))
            return _nested(self.named("join_", str(proxy.binary)), self.over(proxy.aggregate, left), right)
        return self.over(proxy.aggregate, self.inside(proxy, proxy.right))

    def with_budget(self, proxy: Proxy) -> str:
        """The scores of the parts (`primitives.budget`), times the budget and constants, joined."""
        base, calls = proxy.pair, [self.part(part) for part in parts(proxy)]
        if not base.reads_budget or base.right_aggregate is None:
            found = _times(base.aggregate if base.reads_budget else "", calls.pop(0))
        else:
            sides = [_times(name, calls.pop(0)) for name in (base.aggregate, base.right_aggregate)]
            found = _nested(self.named("join_", str(base.binary)), *sides)
        for e in proxy.extensions:
            found = _nested(self.named("join_", e.binary), found, _times(e.aggregate, calls.pop(0)))
        return found

    def part(self, part: Proxy) -> str:
        """A score of its own, rounded where the template does so."""
        call = self.proxy(part)
        return _nested("rounded", call) if "rounded" in self.defined else call

    def inside(self, proxy: Proxy, right: Branch) -> str:
        """Two branches joined before they are aggregated."""
        kind = "transformed" if proxy.joins_entries else "means"
        sides = self.branch(kind, proxy.left), self.branch(kind, right)
        if proxy.joins_entries:
            return _nested("entrywise", self.named("entries_", str(proxy.binary)), *sides)
        join = self.named("join_", str(proxy.binary))
        if proxy.left.source.tensors == right.source.tensors:
            return _nested("tensorwise", join, *sides)
        within = "summed" if AGGREGATION[proxy.aggregate].sums_tensors else "averaged"
        return _nested("blockwise", join, within, *sides)

    def over(self, aggregate: str, inner: str) -> str:
        """An aggregation of per-block values, times its constant."""
        constant, plain = constant_of(aggregate)
        call = _nested(self.named("blocks_", plain), inner)
        return call if constant == 1 else f"{constant!r} * {call}"

    def branch(self, function: str, branch: Branch) -> str:
        """An input and its operators."""
        chain = [self.named("", name) for name in branch.chain]
        if (count := branch.source.count) is not None:
            number = self.named("count", count.value.__name__)
            names = ", ".join(f'"{name}"' for name in count.of)
            read = f"counted(blocks, {number}, {names})", '"count"'
        else:
            read = "blocks", f'"{branch.input}"'
        arguments = [*read, *chain]
        return f"{function}({', '.join(arguments)})"

    def named(self, kind: str, name: str) -> str:
        """The function of the template for an operator, whose name may be that of a builtin."""
        found = f"{kind}{name}" if kind or not hasattr(builtins, name) else f"{name}_"
        if found not in self.defined:
            raise BadProxy(
                f"{self.text}: got {name}, an operator of your own, which no stand-alone module has; add a function "
                f"{found} to the templates in report/portable"
            )
        return found


def _times(aggregate: str, call: str) -> str:
    """A call times the constant and the training budget of an aggregation's name."""
    constant, plain = constant_of(aggregate)
    factors = [*([repr(constant)] if constant != 1 else []), *([BUDGET] if turns(plain) else [])]
    return " * ".join([*factors, call])


def _nested(function: str, *arguments: str) -> str:
    """A call on one line if it is short, else with an argument on each."""
    short = f"{function}({', '.join(arguments)})"
    if len(short) <= WIDTH and "\n" not in short:
        return short
    return f"{function}(\n" + "".join(textwrap.indent(f"{a},\n", "    ") for a in arguments) + ")"
