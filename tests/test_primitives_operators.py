"""Every operator: golden values, purity, totality; every aggregation: its weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from primitives.frames import ExactFrame, ScalarFrame
from primitives.operators import AGGREGATION, BINARY, UNARY, BadOperator, Kind, Sign
from primitives.operators.registry import Binary, binary, unary
from primitives.pps import EQUIVALENT

X = torch.tensor([[0.5, -1.0, 2.0], [0.0, 3.0, -0.25]])
N = X.double().numpy()
ROWS = np.exp(N) / np.exp(N).sum(1, keepdims=True)
GOLDEN = {
    "log": np.where(N > 0, np.log(np.where(N > 0, N, 1)), 0),
    "abslog": np.where(N != 0, np.log(np.abs(np.where(N != 0, N, 1))), 0),
    "abs": np.abs(N),
    "pow2": N**2,
    "exp": np.exp(N),
    "normalize": (N - N.mean()) / N.std(),
    "relu": np.maximum(N, 0),
    "invert": 1 / (N + 1e-9),
    "frobenius_norm": math.sqrt((N**2).sum()),
    "normalized_sum": N.sum() / N.size,
    "l1_norm": np.abs(N).sum() / N.size,
    "softmax": ROWS,
    "sigmoid": 1 / (1 + np.exp(-N)),
    "logsoftmax": np.log(ROWS),
    "sqrt": np.sqrt(np.maximum(N, 0)),
    "revert": -N,
    "min_max": (N - N.min()) / (N.max() - N.min()),
    "to_mean": N.mean(),
    "to_std": N.std(),
    "no_op": N,
    "prune": N,
}


def test_there_are_21_unary_and_4_binary_operators() -> None:
    assert set(UNARY) == set(GOLDEN) and len(UNARY) == 21
    assert list(BINARY) == ["sum", "difference", "product", "matmul"]


@pytest.mark.parametrize("name", UNARY)
def test_unary_operator_equals_numpy(name: str) -> None:
    assert torch.allclose(
        UNARY[name].apply(X, ExactFrame(X, -1)).double(), torch.tensor(GOLDEN[name], dtype=torch.float64), rtol=2e-6
    )


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("probe", [0.0, 1.0, -1.0, 1e-9, 87.0, -3e4], ids=str)
def test_unary_operator_leaves_its_argument_alone_and_is_finite(name: str, probe: float) -> None:
    for x in (torch.full((3, 4), probe), torch.linspace(-2, 2, 12).reshape(3, 4) * probe):
        before = x.clone()
        result = UNARY[name].apply(x, ExactFrame(x, -1))
        assert torch.equal(x, before)
        assert torch.isfinite(result).all() or (name in ("exp", "invert") and probe in (87.0, -3e4))


@pytest.mark.parametrize("name", UNARY)
def test_unary_operator_is_defined_on_a_single_number(name: str) -> None:
    x = torch.tensor(-2.5, dtype=torch.float64)
    value = UNARY[name].apply(x, ScalarFrame())
    assert value.shape == () and math.isfinite(value)


def test_softmax_of_a_number_is_1_and_logsoftmax_0() -> None:
    x = torch.tensor(7.0, dtype=torch.float64)
    assert UNARY["softmax"].apply(x, ScalarFrame()) == 1 and UNARY["logsoftmax"].apply(x, ScalarFrame()) == 0


@pytest.mark.parametrize("name", [n for n, u in UNARY.items() if u.sign in (Sign.NONNEGATIVE, Sign.NONPOSITIVE)])
def test_the_stated_sign_of_a_result_is_true(name: str) -> None:
    x = torch.randn(50, 8, generator=torch.Generator().manual_seed(1)) * 4
    result = UNARY[name].apply(x, ExactFrame(x, -1))
    assert (result >= 0).all() if UNARY[name].sign is Sign.NONNEGATIVE else (result <= 0).all()


@pytest.mark.parametrize("pair", EQUIVALENT, ids=lambda p: f"{p[1]} of {p[0]}")
def test_a_pair_called_equivalent_has_the_value_of_its_short_form(pair: tuple[str, str]) -> None:
    x = torch.randn(9, 7, generator=torch.Generator().manual_seed(3))
    frame = ExactFrame(x, -1)
    long = UNARY[pair[1]].apply(UNARY[pair[0]].apply(x, frame), frame)
    assert torch.allclose(long, UNARY[EQUIVALENT[pair]].apply(x, frame), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", BINARY)
def test_binary_operator_on_numbers(name: str) -> None:
    x, y = torch.tensor(3.0), torch.tensor(-2.0)
    assert BINARY[name].apply(x, y) == {"sum": 1, "difference": 5, "product": -6, "matmul": -6}[name]


def test_matmul_mean_is_that_of_the_full_matrix() -> None:
    x, y = torch.randn(2, 5, 4), torch.randn(2, 6, 4)
    matmul = BINARY["matmul"].entries
    assert matmul is not None
    assert torch.allclose(matmul(x, y).float(), (x @ y.mT).mean(), atol=1e-6)


@pytest.mark.parametrize("name", AGGREGATION)
def test_aggregation_gives_one_finite_weight_per_block(name: str) -> None:
    for depth in (1, 2, 7):
        weights = AGGREGATION[name].weights(depth)
        assert weights.shape == (depth,) and np.isfinite(weights).all() and np.abs(weights).sum() > 0


def test_the_door_refuses_a_known_name() -> None:
    with pytest.raises(BadOperator, match="abs: an operator of that name exists"):
        unary("abs", Kind.ENTRY, Sign.ANY, "x")(lambda x, frame: x)
    with pytest.raises(BadOperator, match="exists"):
        binary(Binary("sum", True, True, "x+y", torch.add))


@pytest.mark.parametrize(
    ("apply", "reason"),
    [
        (lambda x, frame: x.add_(1), "changes its argument"),
        (lambda x, frame: x.log(), "not finite"),
        (lambda x, frame: x.sum(), "got shape"),
    ],
)
def test_the_door_refuses_a_faulty_operator(apply: object, reason: str) -> None:
    with pytest.raises(BadOperator, match=reason):
        unary("faulty", Kind.ENTRY, Sign.ANY, "x")(apply)  # type: ignore[arg-type]
    assert "faulty" not in UNARY
