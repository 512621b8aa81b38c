"""A zero-cost proxy with SymPy: `formula(blocks)` is an expression in the entries of small matrices.

Each block maps an input to its tensors, such as {"W": [tensor]}; a tensor is a list of matrices: one, or for S one per
head. Symbols give an expression to simplify, differentiate or lambdify, numbers a value; times SIGN, more is better:

    blocks = [{"W": [symbolic("W", 2, 3)]} for _ in range(2)]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from sympy import Abs, Add, Expr, Integer, Matrix, Max, Min, Mul, Piecewise, Rational, Symbol
from sympy import exp as power
from sympy import log as ln
from sympy import sqrt as root

SIGN = 1

Tensor: TypeAlias = "Expr | list[Matrix]"
Blocks = Sequence[Mapping[str, Sequence[list[Matrix]]]]


def formula(blocks: Blocks) -> Expr:
    """mean[ sum( l1_norm(pow2(W)), pow2(softmax(G)) ) ]"""
    return blocks_mean(tensorwise(join_sum, means(blocks, "W", pow2, l1_norm), means(blocks, "G", softmax, pow2)))


def formula_with_budget(blocks: Blocks, T: Expr) -> Expr:
    """product( T, sum[ W ] )"""
    return T * blocks_sum(means(blocks, "W"))


def symbolic(name: str, rows: int, columns: int, heads: int = 1) -> list[Matrix]:
    """A tensor of real symbols, called after their places."""
    return [Matrix(rows, columns, lambda i, j, h=h: Symbol(f"{name}_{h}_{i}_{j}", real=True)) for h in range(heads)]


# From tensors to numbers: a branch is an input and its operators, a join takes two branches.

Unary = Callable[[Tensor, int], Tensor]
Join = Callable[[Expr, Expr], Expr]
PerTensor = list[list[Expr]]


def transformed(blocks: Blocks, name: str, *chain: Unary) -> list[list[Tensor]]:
    """The tensors of an input in each block, after a chain of operators; softmax runs over the fan-in of W and G,
    over tokens of A, J, H and Q, over keys of S."""
    axis = 0 if name in ("A", "J", "H", "Q") else 1
    result = []
    for block in blocks:
        tensors: list[Tensor] = list(block.get(name, ()))
        for operator in chain:
            tensors = [operator(x, axis) for x in tensors]
        result.append(tensors)
    return result


def means(blocks: Blocks, name: str, *chain: Unary) -> PerTensor:
    """Mean over the entries of each transformed tensor."""
    return [[_mean(x) for x in tensors] for tensors in transformed(blocks, name, *chain)]


def counted(blocks: Blocks, count: Callable[..., list[int]], *names: str) -> list[Any]:
    """Blocks of numbers: counts of the tensors of one input or two."""
    return [{"count": [Integer(n) for n in count(*(block.get(name, ()) for name in names))]} for block in blocks]


def tensorwise(join: Join, xs: PerTensor, ys: PerTensor) -> PerTensor:
    """Two branches that read the same tensors, joined tensor by tensor."""
    return [[join(x, y) for x, y in zip(*pair, strict=True)] for pair in zip(xs, ys, strict=True)]


def blockwise(join: Join, within: Callable[[list[Expr]], Expr], xs: PerTensor, ys: PerTensor) -> PerTensor:
    """Two branches that read other tensors, joined block by block."""
    return [[join(within(x), within(y))] for x, y in zip(xs, ys, strict=True)]


def entrywise(join: Callable[[Tensor, Tensor], Expr], xs: list[list[Tensor]], ys: list[list[Tensor]]) -> PerTensor:
    """Aligned tensors joined entry by entry."""
    return [[join(x, y) for x, y in zip(*pair, strict=True)] for pair in zip(xs, ys, strict=True)]


def summed(values: list[Expr]) -> Expr:
    """A block's value from those of its tensors."""
    return Add(*values)


def averaged(values: list[Expr]) -> Expr:
    """A block's value from those of its tensors."""
    return Add(*values) / max(len(values), 1)


def _entries(x: Tensor) -> list[Expr]:
    return [x] if isinstance(x, Expr) else [entry for matrix in x for entry in matrix]


def _mean(x: Tensor) -> Expr:
    return Add(*_entries(x)) / len(_entries(x))


def _each(x: Tensor, change: Callable[[Expr], Expr]) -> Tensor:
    return change(x) if isinstance(x, Expr) else [matrix.applyfunc(change) for matrix in x]


def _lines(x: Tensor, axis: int, change: Callable[[list[Expr]], list[Expr]]) -> Tensor:
    """Every row (axis 1) or column (axis 0) changed as a whole; a number is a line of its own."""
    if isinstance(x, Expr):
        return change([x])[0]
    if axis:
        return [Matrix([change(list(m.row(i))) for i in range(m.rows)]) for m in x]
    return [Matrix([change(list(m.col(j))) for j in range(m.cols)]).T for m in x]


# Counts of the tensors of an input.


def count_entries(tensors: Sequence[list[Matrix]]) -> list[int]:
    return [sum(matrix.rows * matrix.cols for matrix in x) for x in tensors]


def count_width(tensors: Sequence[list[Matrix]]) -> list[int]:
    return [x[0].cols for x in tensors]


def count_heads(attention: Sequence[list[Matrix]], heads: Sequence[list[Matrix]]) -> list[int]:
    """Each token of the batch has a row of attention in every head."""
    return [sum(m.rows for m in s) // h[0].rows for s, h in zip(attention, heads, strict=False)]


def count_one(tensors: Sequence[list[Matrix]]) -> list[int]:
    return [1 for x in tensors[:1]]


# From blocks to the network.


def _weighted(values: list[Expr], weights: list[Expr]) -> Expr:
    return Add(*(Mul(value, weight) for value, weight in zip(values, weights, strict=True)))


def blocks_mean(blocks: PerTensor) -> Expr:
    return Add(*(averaged(x) for x in blocks)) / len(blocks)


def blocks_sum(blocks: PerTensor) -> Expr:
    return Add(*(summed(x) for x in blocks))


def blocks_first(blocks: PerTensor) -> Expr:
    return summed(blocks[0])


def blocks_last(blocks: PerTensor) -> Expr:
    return summed(blocks[-1])


def blocks_rising(blocks: PerTensor) -> Expr:
    return _weighted([summed(x) for x in blocks], [Rational(i + 1, len(blocks)) for i in range(len(blocks))])


def blocks_falling(blocks: PerTensor) -> Expr:
    return _weighted([summed(x) for x in blocks], [Rational(len(blocks) - i, len(blocks)) for i in range(len(blocks))])


def blocks_log_depth(blocks: PerTensor) -> Expr:
    return Add(*(averaged(x) for x in blocks)) * ln(Integer(len(blocks))) / len(blocks)


def blocks_squared_log_depth(blocks: PerTensor) -> Expr:
    return Add(*(averaged(x) for x in blocks)) * ln(Integer(len(blocks))) ** 2 / len(blocks)


# Joins of two numbers, and of two tensors entry by entry (their mean).


def join_sum(x: Expr, y: Expr) -> Expr:
    return x + y


def join_difference(x: Expr, y: Expr) -> Expr:
    return x - y


def join_product(x: Expr, y: Expr) -> Expr:
    return x * y


def join_matmul(x: Expr, y: Expr) -> Expr:
    return x * y


def entries_product(x: Tensor, y: Tensor) -> Expr:
    pairs = list(zip(_entries(x), _entries(y), strict=True))
    return Add(*(a * b for a, b in pairs)) / len(pairs)


def entries_matmul(x: Tensor, y: Tensor) -> Expr:
    """The mean over the entries of x y^T, over the heads of S."""
    if isinstance(x, Expr) or isinstance(y, Expr):
        return _mean(x) * _mean(y)
    products = [_entries([a * b.T]) for a, b in zip(x, y, strict=True)]
    return Add(*(Add(*entries) / len(entries) for entries in products)) / len(products)


# Operators on a tensor or a number.


def log(x: Tensor, axis: int) -> Tensor:
    return _each(x, lambda v: Piecewise((ln(v), v > 0), (Integer(0), True)))


def abslog(x: Tensor, axis: int) -> Tensor:
    return _each(x, lambda v: Piecewise((ln(Abs(v)), Abs(v) > 0), (Integer(0), True)))


def abs_(x: Tensor, axis: int) -> Tensor:
    return _each(x, Abs)


def pow2(x: Tensor, axis: int) -> Tensor:
    return _each(x, lambda v: v**2)


def exp(x: Tensor, axis: int) -> Tensor:
    return _each(x, power)


def normalize(x: Tensor, axis: int) -> Tensor:
    mean, deviation, spread = _mean(x), to_std(x, axis), Max(*_entries(x)) - Min(*_entries(x))
    return _each(x, lambda v: Piecewise(((v - mean) / deviation, spread > 0), (Integer(0), True)))


def relu(x: Tensor, axis: int) -> Tensor:
    return _each(x, lambda v: Max(v, 0))


def invert(x: Tensor, axis: int) -> Tensor:
    return _each(x, lambda v: 1 / (v + Rational(1, 10**9)))


def frobenius_norm(x: Tensor, axis: int) -> Expr:
    return root(Add(*(v**2 for v in _entries(x))))


def normalized_sum(x: Tensor, axis: int) -> Expr:
    return _mean(x)


def l1_norm(x: Tensor, axis: int) -> Expr:
    return _mean(_each(x, Abs))


def softmax(x: Tensor, axis: int) -> Tensor:
    return _lines(x, axis, lambda line: [power(v) / Add(*map(power, line)) for v in line])


def sigmoid(x: Tensor, axis: int) -> Tensor:
    return _each(x, lambda v: 1 / (1 + power(-v)))


def logsoftmax(x: Tensor, axis: int) -> Tensor:
    return _lines(x, axis, lambda line: [v - ln(Add(*map(power, line))) for v in line])


def sqrt(x: Tensor, axis: int) -> Tensor:
    return _each(x, lambda v: root(Max(v, 0)))


def revert(x: Tensor, axis: int) -> Tensor:
    return _each(x, lambda v: -v)


def min_max(x: Tensor, axis: int) -> Tensor:
    low, high = Min(*_entries(x)), Max(*_entries(x))
    return _each(x, lambda v: Piecewise(((v - low) / (high - low), high > low), (Integer(0), True)))


def to_mean(x: Tensor, axis: int) -> Expr:
    return _mean(x)


def to_std(x: Tensor, axis: int) -> Expr:
    mean, entries = _mean(x), _entries(x)
    return root(Add(*((v - mean) ** 2 for v in entries)) / len(entries))


def no_op(x: Tensor, axis: int) -> Tensor:
    return x
