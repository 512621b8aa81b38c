"""The four binary operators of LPZero (arXiv 2410.04808, table 1)."""

from __future__ import annotations

from operator import add, mul, sub
from typing import TYPE_CHECKING

from primitives.operators.registry import Binary, binary

if TYPE_CHECKING:
    import torch


def _mean_matmul(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean over the entries of X Y^T, from column means: (1/mn) sum_ij x_i . y_j = k mean_k(x_k y_k)."""
    import torch

    columns = x.mean(-2, dtype=torch.float64) * y.mean(-2, dtype=torch.float64)
    return (x.shape[-1] * columns).mean()


def _mean_product(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    import torch

    return (x * y).mean(dtype=torch.float64)


binary(Binary("sum", True, True, r"x + y", add))
binary(Binary("difference", True, False, r"x - y", sub))
binary(Binary("product", False, True, r"x \odot y", mul, _mean_product))
# On numbers X Y^T is their product. Its mean is symmetric although the matrix is not.
binary(Binary("matmul", False, True, r"x\,y^{\top}", mul, _mean_matmul))
