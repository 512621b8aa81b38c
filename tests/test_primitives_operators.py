"""Every operator: golden values, purity, totality; every aggregation: its weights."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from primitives.frames import ExactFrame, ScalarFrame
from primitives.operators import AGGREGATION, BINARY, UNARY, BadOperator, Kind, Sign
from primitives.operators.registry import Binary, binary, unary

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


PUBLISHED = [
    "log", "abslog", "abs", "pow2", "exp", "normalize", "relu", "invert", "frobenius_norm", "normalized_sum", "l1_norm",
    "softmax", "sigmoid", "logsoftmax", "sqrt", "revert", "min_max", "to_mean", "to_std", "no_op", "prune",
]  # fmt: skip
JOINS = {"sum": 1, "difference": 5, "product": -6, "matmul": -6}  # of 3 and -2


def test_the_21_unary_and_4_binary_operators_of_the_paper_come_first() -> None:
    assert list(UNARY)[:21] == PUBLISHED and list(BINARY)[:4] == list(JOINS)


@pytest.mark.parametrize("name", UNARY)
def test_unary_operator_equals_numpy(name: str) -> None:
    assert name in GOLDEN, f"{name} has no golden value; add one to GOLDEN"
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


@pytest.mark.parametrize("name", BINARY)
def test_binary_operator_on_numbers(name: str) -> None:
    x, y = torch.tensor(3.0), torch.tensor(-2.0)
    assert BINARY[name].apply(x, y) == JOINS[name]


def test_matmul_mean_is_that_of_the_full_matrix() -> None:
    x, y = torch.randn(2, 5, 4), torch.randn(2, 6, 4)
    matmul = BINARY["matmul"].entries
    assert matmul is not None
    assert torch.allclose(matmul(x, y).float(), (x @ y.mT).mean(), atol=1e-6)


@pytest.mark.parametrize("name", AGGREGATION)
def test_aggregation_gives_one_finite_weight_per_block(name: str) -> None:
    for depth in (1, 2, 7):
        weights = AGGREGATION[name].weights(depth)
        assert weights.shape == (depth,) and np.isfinite(weights).all()
        assert np.abs(weights).sum() > 0 or (name.endswith("log_depth") and depth == 1)


PLUGIN = """
from primitives import Kind, Sign, unary

@unary("cube", Kind.ENTRY, Sign.KEEP, "x^3")
def cube(x, frame):
    return x * x * x

import test_primitives_operators as tests
tests.GOLDEN["cube"] = tests.N**3
"""


@pytest.mark.slow
def test_another_operator_passes_all_tests_once_it_has_a_golden_value(tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text(PLUGIN)
    folder = Path(__file__).parent
    modules = [
        folder / f"test_{name}.py" for name in ("primitives_operators", "primitives_rendering", "fitness_branches")
    ]
    chosen = "cube or paper or mathtext"
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "plugin", "-k", chosen, *map(str, modules)],
        cwd=folder.parent, env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tmp_path, folder, folder.parent)))},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]


NO_TORCH = """
import sys
from primitives.operators import UNARY, BadOperator, Kind, Sign
from primitives.operators.registry import unary
unary("faulty", Kind.ENTRY, Sign.ANY, "x")(lambda x, frame: x.log())
assert "torch" not in sys.modules and "faulty" in UNARY
import torch
from primitives.frames import ScalarFrame
try:
    UNARY["abs"].apply(torch.tensor(-1.0), ScalarFrame())
except BadOperator as error:
    assert "faulty: not finite on" in str(error), error
else:
    raise SystemExit("a faulty operator was not noticed")
assert "faulty" not in UNARY
assert UNARY["abs"].apply(torch.tensor(-1.0), ScalarFrame()) == 1
"""


def test_an_operator_registered_without_torch_is_probed_before_anything_computes() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", NO_TORCH], cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(("name", "says"), [("abs", True), ("prune", True), ("no_op", True), ("softmax", False),
                                            ("normalize", False), ("to_mean", False)])  # fmt: skip
def test_only_operators_on_entries_say_something_about_a_number(name: str, says: bool) -> None:
    assert UNARY[name].on_scalars is says


def test_a_registered_function_is_still_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in ("UNARY", "BINARY"):
        monkeypatch.setattr(f"primitives.operators.registry.{table}", {})
    assert unary("abs", Kind.ENTRY, Sign.NONNEGATIVE, "|x|")(absolute) is absolute
    joined = Binary("sum", True, True, "x+y", torch.add)
    assert binary(joined) is joined


def absolute(x: torch.Tensor, frame: object) -> torch.Tensor:
    return x.abs()


def test_the_door_refuses_a_known_name() -> None:
    with pytest.raises(BadOperator, match="abs: an operator of that name exists"):
        unary("abs", Kind.ENTRY, Sign.ANY, "x")(lambda x, frame: x)
    with pytest.raises(BadOperator, match="exists"):
        binary(Binary("sum", True, True, "x+y", torch.add))


def test_the_door_refuses_a_join_of_entries_that_no_sketch_can_tell() -> None:
    with pytest.raises(
        BadOperator, match="larger: got a join entry by entry, .* product and matmul only; leave entries"
    ):
        binary(Binary("larger", False, True, "x", torch.maximum, lambda x, y: torch.maximum(x, y).mean()))
    assert "larger" not in BINARY


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
