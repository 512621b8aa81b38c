"""A zero-cost proxy in one file that needs torch alone: `score(model, tokens)` of an untrained Hugging Face model.

A larger score is better. It depends on the tokens and on the random weights, so give all models that you compare the
same tokens (B, T), 4 x 64 bytes of prose in the search, and float32 weights that were drawn as usual. Families start
with different standard deviations, which scores depend on; `rank` draws every matrix from Normal(0, 0.02) by default.
Decoders need their head (`AutoModelForCausalLM`), encoders need none (`AutoModel`). One torch thread gives the same
last digits everywhere. This file was generated (`show HALL.json --format torch`); change it as you like.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from report.portable.torch_taps import inputs_of

SIGN = 1
DIGITS = 17  # binary digits of a score: what lies below is the rounding of this machine

Blocks = Sequence[Mapping[str, Sequence[Tensor]]]
"""Per block, the tensors of each input: A, J, H and Q (tokens, width), W and G (out, in), S (heads, T, T)."""


def score(model: nn.Module, batch: Tensor | Mapping[str, Tensor]) -> float:
    """The score of a Hugging Face model on token ids (B, T), or on a mapping with input_ids; nan where the formula
    overflows. The model is left as it was. ValueError says what cannot be read of it."""
    tokens = batch.get("input_ids") if isinstance(batch, Mapping) else batch
    return SIGN * rounded(formula(inputs_of(model, tokens)))


def formula(blocks: Blocks) -> float:
    """mean[ sum( l1_norm(pow2(W)), pow2(softmax(G)) ) ]"""
    return blocks_mean(tensorwise(join_sum, means(blocks, "W", pow2, l1_norm), means(blocks, "G", softmax, pow2)))


def score_with_budget(model: nn.Module, batch: Tensor | Mapping[str, Tensor], budget: float | None = None) -> float:
    """The score of a Hugging Face model on token ids (B, T), or on a mapping with input_ids, if it is to be trained on
    `budget` tokens, by default 20 for each parameter of its blocks; nan where the formula overflows. The model is left
    as it was. ValueError says what cannot be read of it."""
    tokens = batch if isinstance(batch, Tensor) else batch["input_ids"]
    per_parameter = 20.0 if budget is None else budget / block_parameters(model)
    return SIGN * rounded(formula_with_budget(inputs_of(model, tokens), math.log2(per_parameter)))


def formula_with_budget(blocks: Blocks, T: float) -> float:
    """product( T, sum[ W ] )"""
    return T * rounded(blocks_sum(means(blocks, "W")))


def block_parameters(model: nn.Module) -> int:
    """Parameters without those of embeddings and of the head."""
    head = getattr(model, "get_output_embeddings", lambda: None)()
    left_out = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) or m is head for p in m.parameters()}
    return sum(p.numel() for p in model.parameters() if id(p) not in left_out)


def rounded(value: float) -> float:
    """The value to DIGITS binary digits."""
    if not math.isfinite(value):
        return math.nan
    mantissa, exponent = math.frexp(abs(value))
    whole = math.floor(mantissa * 2 ** (DIGITS + 1) + 0.5)
    return math.copysign(math.ldexp(whole, exponent - DIGITS - 1), value)


# From tensors to numbers: a branch is an input and its operators, a join takes two branches.

Unary = Callable[[Tensor, int], Tensor]
Join = Callable[[float, float], float]
PerTensor = list[list[float]]


def transformed(blocks: Blocks, name: str, *chain: Unary) -> list[list[Tensor]]:
    """The tensors of an input in each block, after a chain of operators; softmax runs over the fan-in of W and G,
    over tokens of A, J, H and Q, over keys of S."""
    axis = -2 if name in ("A", "J", "H", "Q") else -1
    result = []
    for block in blocks:
        tensors = list(block.get(name, ()))
        for operator in chain:
            tensors = [operator(x, axis if x.dim() else 0) for x in tensors]
        result.append(tensors)
    return result


def means(blocks: Blocks, name: str, *chain: Unary) -> PerTensor:
    """Mean over the entries of each transformed tensor."""
    return [[float(_mean(x)) for x in tensors] for tensors in transformed(blocks, name, *chain)]


def counted(blocks: Blocks, count: Callable[..., list[int]], *names: str) -> Blocks:
    """Blocks of numbers: counts of the tensors of one input or two."""
    found = [count(*(block.get(name, ()) for name in names)) for block in blocks]
    return [{"count": [torch.tensor(n, dtype=torch.float64) for n in numbers]} for numbers in found]


def tensorwise(join: Join, xs: PerTensor, ys: PerTensor) -> PerTensor:
    """Two branches that read the same tensors, joined tensor by tensor."""
    return [[join(x, y) for x, y in zip(*pair, strict=True)] for pair in zip(xs, ys, strict=True)]


def blockwise(join: Join, within: Callable[[list[float]], float], xs: PerTensor, ys: PerTensor) -> PerTensor:
    """Two branches that read other tensors, joined block by block."""
    return [[join(within(x), within(y))] for x, y in zip(xs, ys, strict=True)]


def entrywise(join: Callable[[Tensor, Tensor], Tensor], xs: list[list[Tensor]], ys: list[list[Tensor]]) -> PerTensor:
    """Aligned tensors joined entry by entry."""
    return [[float(join(x, y)) for x, y in zip(*pair, strict=True)] for pair in zip(xs, ys, strict=True)]


def summed(values: list[float]) -> float:
    """A block's value from those of its tensors."""
    return sum(values) if values else 0.0


def averaged(values: list[float]) -> float:
    """A block's value from those of its tensors."""
    return sum(values) / len(values) if values else 0.0


def _mean(x: Tensor) -> Tensor:
    return x.mean(dtype=torch.float64)


# Counts of the tensors of an input.


def count_entries(tensors: Sequence[Tensor]) -> list[int]:
    return [x.numel() for x in tensors]


def count_width(tensors: Sequence[Tensor]) -> list[int]:
    return [x.shape[-1] for x in tensors]


def count_heads(attention: Sequence[Tensor], heads: Sequence[Tensor]) -> list[int]:
    """Each token of the batch has a row of attention in every head."""
    return [s.numel() // (s.shape[-1] * h.shape[-2]) for s, h in zip(attention, heads, strict=False)]


def count_one(tensors: Sequence[Tensor]) -> list[int]:
    return [1 for x in tensors[:1]]


# From blocks to the network.


def _weighted(values: list[float], weights: list[float]) -> float:
    return sum(value * weight for value, weight in zip(values, weights, strict=True))


def blocks_mean(blocks: PerTensor) -> float:
    return _weighted([averaged(x) for x in blocks], [1 / len(blocks)] * len(blocks))


def blocks_sum(blocks: PerTensor) -> float:
    return _weighted([summed(x) for x in blocks], [1.0] * len(blocks))


def blocks_first(blocks: PerTensor) -> float:
    return _weighted([summed(x) for x in blocks], [1.0] + [0.0] * (len(blocks) - 1))


def blocks_last(blocks: PerTensor) -> float:
    return _weighted([summed(x) for x in blocks], [0.0] * (len(blocks) - 1) + [1.0])


def blocks_rising(blocks: PerTensor) -> float:
    return _weighted([summed(x) for x in blocks], [(i + 1) / len(blocks) for i in range(len(blocks))])


def blocks_falling(blocks: PerTensor) -> float:
    return _weighted([summed(x) for x in blocks], [(len(blocks) - i) / len(blocks) for i in range(len(blocks))])


def blocks_log_depth(blocks: PerTensor) -> float:
    return _weighted([averaged(x) for x in blocks], [math.log(len(blocks)) / len(blocks)] * len(blocks))


def blocks_squared_log_depth(blocks: PerTensor) -> float:
    return _weighted([averaged(x) for x in blocks], [math.log(len(blocks)) ** 2 / len(blocks)] * len(blocks))


# Joins of two numbers, and of two tensors entry by entry (their mean).


def join_sum(x: float, y: float) -> float:
    return x + y


def join_difference(x: float, y: float) -> float:
    return x - y


def join_product(x: float, y: float) -> float:
    return x * y


def join_matmul(x: float, y: float) -> float:
    return x * y


def entries_product(x: Tensor, y: Tensor) -> Tensor:
    return _mean(x * y)


def entries_matmul(x: Tensor, y: Tensor) -> Tensor:
    """The mean over the entries of x y^T."""
    columns = x.mean(-2, dtype=torch.float64) * y.mean(-2, dtype=torch.float64)
    return (x.shape[-1] * columns).mean()


# Operators on a tensor, or on a number as a tensor without axes; entries keep their type, sums are float64.


def log(x: Tensor, axis: int) -> Tensor:
    return x.where(x > 0, 1.0).log()


def abslog(x: Tensor, axis: int) -> Tensor:
    return x.where(x != 0, 1.0).abs().log()


def abs_(x: Tensor, axis: int) -> Tensor:
    return x.abs()


def pow2(x: Tensor, axis: int) -> Tensor:
    return x * x


def exp(x: Tensor, axis: int) -> Tensor:
    return x.exp()


def normalize(x: Tensor, axis: int) -> Tensor:
    centred = x - _mean(x).to(x.dtype)
    deviation = _mean(centred * centred).sqrt().to(x.dtype)
    return (centred / deviation.clamp_min(1e-38)).where(x.max() > x.min(), 0.0)


def relu(x: Tensor, axis: int) -> Tensor:
    return x.clamp_min(0.0)


def invert(x: Tensor, axis: int) -> Tensor:
    return 1.0 / (x + 1e-9)


def frobenius_norm(x: Tensor, axis: int) -> Tensor:
    return (x.numel() * _mean(x * x)).sqrt()


def normalized_sum(x: Tensor, axis: int) -> Tensor:
    return _mean(x)


def l1_norm(x: Tensor, axis: int) -> Tensor:
    return _mean(x.abs())


def softmax(x: Tensor, axis: int) -> Tensor:
    powers = (x - x.amax(axis, keepdim=True)).exp()
    return powers / _line_sum(powers, axis).to(x.dtype)


def sigmoid(x: Tensor, axis: int) -> Tensor:
    return x.sigmoid()


def logsoftmax(x: Tensor, axis: int) -> Tensor:
    shifted = x - x.amax(axis, keepdim=True)
    return shifted - _line_sum(shifted.exp(), axis).log().to(x.dtype)


def _line_sum(x: Tensor, axis: int) -> Tensor:
    return (x.shape[axis] if x.dim() else 1) * x.mean(axis, keepdim=True, dtype=torch.float64)


def sqrt(x: Tensor, axis: int) -> Tensor:
    return x.clamp_min(0.0).sqrt()


def revert(x: Tensor, axis: int) -> Tensor:
    return -x


def min_max(x: Tensor, axis: int) -> Tensor:
    low, high = x.min(), x.max()
    return ((x - low) / (high - low).clamp_min(1e-38)).where(high > low, 0.0)


def to_mean(x: Tensor, axis: int) -> Tensor:
    return _mean(x)


def to_std(x: Tensor, axis: int) -> Tensor:
    centred = x - _mean(x).to(x.dtype)
    return _mean(centred * centred).sqrt()


def no_op(x: Tensor, axis: int) -> Tensor:
    return x
