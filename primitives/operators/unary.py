"""The 21 unary operators of LPZero (Dong et al. 2024, arXiv 2410.04808, table 1), made total and pure.

Entries are float32 inside tensors; every reduction is float64. A function takes the tensor x and its frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from primitives.operators.registry import Kind, Sign, unary

if TYPE_CHECKING:
    from torch import Tensor

    from primitives.frames import Frame


@unary("log", Kind.ENTRY, Sign.ANY, r"\ln x \text{ where } x > 0 \text{ else } 0")
def log(x: Tensor, frame: Frame) -> Tensor:
    return x.where(x > 0, 1.0).log()


@unary("abslog", Kind.ENTRY, Sign.ANY, r"\ln |x| \text{ where } x \neq 0 \text{ else } 0")
def abslog(x: Tensor, frame: Frame) -> Tensor:
    return x.where(x != 0, 1.0).abs().log()


@unary("abs", Kind.ENTRY, Sign.NONNEGATIVE, r"|x|")
def abs_(x: Tensor, frame: Frame) -> Tensor:
    return x.abs()


@unary("pow2", Kind.ENTRY, Sign.NONNEGATIVE, r"x^2")
def pow2(x: Tensor, frame: Frame) -> Tensor:
    return x * x


@unary("exp", Kind.ENTRY, Sign.NONNEGATIVE, r"e^{x}")
def exp(x: Tensor, frame: Frame) -> Tensor:
    return x.exp()


@unary("normalize", Kind.WHOLE, Sign.ANY, r"(x - \overline{x}) / \sigma_{x}")
def normalize(x: Tensor, frame: Frame) -> Tensor:
    centred = x - frame.mean(x).to(x.dtype)
    deviation = frame.mean(centred * centred).sqrt().to(x.dtype)
    # A constant tensor leaves nothing but the rounding of its mean: its z-score is 0.
    return (centred / deviation.clamp_min(1e-38)).where(frame.high(x) > frame.low(x), 0.0)


@unary("relu", Kind.ENTRY, Sign.NONNEGATIVE, r"\max(x, 0)")
def relu(x: Tensor, frame: Frame) -> Tensor:
    return x.clamp_min(0.0)


@unary("invert", Kind.ENTRY, Sign.ANY, r"1 / (x + 10^{-9})")
def invert(x: Tensor, frame: Frame) -> Tensor:
    return 1.0 / (x + 1e-9)


@unary("frobenius_norm", Kind.REDUCE, Sign.NONNEGATIVE, r"\sqrt{\sum x^2}")
def frobenius_norm(x: Tensor, frame: Frame) -> Tensor:
    return (frame.size() * frame.mean(x * x)).sqrt()


@unary("normalized_sum", Kind.REDUCE, Sign.KEEP, r"\sum x / n")
def normalized_sum(x: Tensor, frame: Frame) -> Tensor:
    return frame.mean(x)


@unary("l1_norm", Kind.REDUCE, Sign.NONNEGATIVE, r"\sum |x| / n")
def l1_norm(x: Tensor, frame: Frame) -> Tensor:
    return frame.mean(x.abs())


@unary("softmax", Kind.LINE, Sign.NONNEGATIVE, r"e^{x} / \sum_{\mathrm{line}} e^{x}")
def softmax(x: Tensor, frame: Frame) -> Tensor:
    powers = (x - frame.line_high(x)).exp()
    return powers / frame.line_mean(powers, lambda mean: (frame.line_size() * mean).to(x.dtype))


@unary("sigmoid", Kind.ENTRY, Sign.NONNEGATIVE, r"1 / (1 + e^{-x})")
def sigmoid(x: Tensor, frame: Frame) -> Tensor:
    return x.sigmoid()


@unary("logsoftmax", Kind.LINE, Sign.NONPOSITIVE, r"x - \ln \sum_{\mathrm{line}} e^{x}")
def logsoftmax(x: Tensor, frame: Frame) -> Tensor:
    shifted = x - frame.line_high(x)
    return shifted - frame.line_mean(shifted.exp(), lambda mean: (frame.line_size() * mean).log().to(x.dtype))


@unary("sqrt", Kind.ENTRY, Sign.NONNEGATIVE, r"\sqrt{\max(x, 0)}")
def sqrt(x: Tensor, frame: Frame) -> Tensor:
    return x.clamp_min(0.0).sqrt()


@unary("revert", Kind.ENTRY, Sign.FLIP, r"-x")
def revert(x: Tensor, frame: Frame) -> Tensor:
    return -x


@unary("min_max", Kind.WHOLE, Sign.NONNEGATIVE, r"(x - \min x) / (\max x - \min x)")
def min_max(x: Tensor, frame: Frame) -> Tensor:
    low, high = frame.low(x), frame.high(x)
    return ((x - low) / (high - low).clamp_min(1e-38)).where(high > low, 0.0)


@unary("to_mean", Kind.REDUCE, Sign.KEEP, r"\overline{x}")
def to_mean(x: Tensor, frame: Frame) -> Tensor:
    return frame.mean(x)


@unary("to_std", Kind.REDUCE, Sign.NONNEGATIVE, r"\sigma_{x}")
def to_std(x: Tensor, frame: Frame) -> Tensor:
    centred = x - frame.mean(x).to(x.dtype)
    return frame.mean(centred * centred).sqrt()


@unary("no_op", Kind.ENTRY, Sign.KEEP, r"x")
def no_op(x: Tensor, frame: Frame) -> Tensor:
    return x


@unary("prune", Kind.DROP, Sign.KEEP, r"\varnothing")
def prune(x: Tensor, frame: Frame) -> Tensor:
    return x
