"""Rendering: a formula as LaTeX for a paper, or as plain torch code to read. Nothing rendered is ever run here."""

from __future__ import annotations

import re

from primitives.operators import BINARY, UNARY, aggregation
from primitives.proxy import Branch, Proxy

__all__ = ["as_latex", "as_python"]


def as_latex(proxy: Proxy) -> str:
    r"""Formula as LaTeX, such as `\frac{1}{L}\sum_{l} \operatorname{mean}\left( ... \right)`."""
    if (last := proxy.extension) is not None:
        base = proxy.base
        before = base.extension.binary if base.extension else base.binary if base.right_aggregate else None
        return _outside(last.binary, as_latex(base), before, _over_blocks(last.aggregate, _branch(last.branch)))
    if proxy.right is not None and proxy.right_aggregate is not None:
        left = _over_blocks(proxy.aggregate, _branch(proxy.left))
        return _outside(str(proxy.binary), left, None, _over_blocks(proxy.right_aggregate, _branch(proxy.right)))
    if proxy.right is None:
        return _over_blocks(proxy.aggregate, _branch(proxy.left))
    return _over_blocks(proxy.aggregate, _joined(str(proxy.binary), _branch(proxy.left), _branch(proxy.right)))


def _over_blocks(aggregate: str, inner: str) -> str:
    return rf"{aggregation(aggregate).formula} \overline{{{inner}}}"


def _outside(binary: str, left: str, before: str | None, right: str) -> str:
    """A join of two numbers of the network, the left one itself joined by `before` if it was: brackets only where
    they change what is meant."""
    known = ("product",) if binary == "product" else ("sum", "difference", "product")
    x = left if binary in known and before in (None, *known) else rf"\left({left}\right)"
    y = right if binary in known and not right.startswith("-") else rf"\left({right}\right)"
    return _substitute(BINARY[binary].formula, {"x": x, "y": y})


def _joined(binary: str, left: str, right: str) -> str:
    pattern = BINARY[binary].formula
    return _substitute(pattern, {"x": rf"\left({left}\right)", "y": rf"\left({right}\right)"})


def _branch(branch: Branch) -> str:
    r"""LaTeX of a branch. An operator whose formula contains x twice is written as a function by its name, because it
    would double a long argument at every step of the chain."""
    letter, _, role = branch.input.partition(".")
    letter = letter if len(letter) == 1 else rf"\mathrm{{{letter}}}"
    text = letter = rf"{letter}_{{\mathrm{{{role}}}}}" if role else letter
    for name in branch.chain:
        bracketed = text if text == letter else rf"\left({text}\right)"
        once = _PIECES.findall(UNARY[name].formula).count("x") < 2 or text == letter
        title = name.replace("_", r"\_")
        text = _substitute(UNARY[name].formula if once else rf"\mathrm{{{title}}} x", {"x": bracketed})
    return text


_PIECES = re.compile(r"\\(?:text|operatorname|mathrm)\{(?:[^{}\\]|\\.)*\}|\\[A-Za-z]+|\\.|.", re.DOTALL)


def _substitute(pattern: str, values: dict[str, str]) -> str:
    """The formula with its variables replaced, but not the letters of commands such as \\max."""
    return _PIECES.sub(lambda piece: values.get(piece[0], piece[0]), pattern)


_PYTHON = {
    "log": "torch.where({x} > 0, {x}, 1.0).log()", "abslog": "torch.where({x} != 0, {x}, 1.0).abs().log()",
    "abs": "{x}.abs()", "pow2": "{x} ** 2", "exp": "{x}.exp()",
    "normalize": "({x} - {x}.mean()) / {x}.std(correction=0)",
    "relu": "{x}.relu()", "invert": "1 / ({x} + 1e-9)", "frobenius_norm": "{x}.norm()",
    "normalized_sum": "{x}.sum() / {x}.numel()", "l1_norm": "{x}.abs().mean()", "softmax": "{x}.softmax({axis})",
    "sigmoid": "{x}.sigmoid()", "logsoftmax": "{x}.log_softmax({axis})", "sqrt": "{x}.clamp_min(0).sqrt()",
    "revert": "-{x}", "min_max": "({x} - {x}.min()) / ({x}.max() - {x}.min())", "to_mean": "{x}.mean()",
    "to_std": "{x}.std(correction=0)", "no_op": "{x}",
}  # fmt: skip


_JOIN = {"sum": "x + {y}", "difference": "x - {y}", "product": "x * {y}", "matmul": "x @ {y}.mT"}


def _join(binary: str | None, other: str) -> str:
    return _JOIN.get(str(binary), f"{binary}(x, {{y}})").format(y=other)


def as_python(proxy: Proxy) -> str:
    """The steps for one block as torch statements, for reading; the comment says what happens over the blocks."""
    lines = [f"# {proxy}"]
    variables = ("x", "y", "z", *(f"z{number}" for number in range(2, len(proxy.branches))))
    for variable, branch in zip(variables, proxy.branches, strict=False):
        lines.append(f"{variable} = {branch.input.replace('.', '_')}")
        for name in branch.chain:
            code = _PYTHON.get(name, name + "({x})").format(x=variable, axis=branch.source.axis)
            lines.append(f"{variable} = {code}")
    if proxy.right is not None:
        where = "after each is averaged and aggregated" if proxy.right_aggregate else "per tensor"
        lines.append(f"x = {_join(proxy.binary, 'y')}  # {where}")
    aggregates = " and ".join(name for name in (proxy.aggregate, proxy.right_aggregate) if name)
    lines.append(f"x = x.mean()  # one number per tensor; then {aggregates} over the tensors and blocks")
    for variable, e in zip(variables[2:], proxy.extensions, strict=False):
        joined = _join(e.binary, variable)
        lines.append(f"x = {joined}  # after {variable} is averaged; then {e.aggregate} over it")
    return "\n".join(lines) + "\n"
