"""The sketch by its definition: strata of sorted entries, evenly spaced lines, and the reductions of its frame."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fitness.features.sketch import GRID, NODES, PART, SORTED, SketchFrame, grid_shape, sketches
from primitives.inputs import INPUTS

X = torch.randn(41, 53, generator=torch.Generator().manual_seed(2)) * 3 + 1
BORDERS = (1 - np.cos(np.pi * np.arange(NODES + 1) / NODES)) / 2
WEIGHTS = np.diff(BORDERS)


def strata(entries: np.ndarray) -> np.ndarray:
    """Means of the strata, from the integral of the sorted entries as a step function."""
    ordered = np.sort(entries.ravel()).astype(np.float64)
    integral = np.interp(BORDERS * len(ordered), np.arange(len(ordered) + 1), np.concatenate([[0], np.cumsum(ordered)]))
    return np.diff(integral) / np.diff(BORDERS * len(ordered))


def sketch(x: torch.Tensor, name: str) -> np.ndarray:
    return sketches([(name, x)])[0]


def spread(entries: np.ndarray) -> float:
    """The root of the mean square, which errors are measured in."""
    return float(np.sqrt(np.square(entries.astype(np.float64)).mean()))


@pytest.mark.parametrize("shape", [(41, 49), (1, 1), (2, 3), (96, 4), (7, 384 // 2)])
def test_nodes_of_a_small_tensor_are_the_means_of_the_strata_to_the_last_digit(shape: tuple[int, int]) -> None:
    x = X.flatten().repeat(4)[: shape[0] * shape[1]].reshape(shape)
    assert x.numel() <= SORTED
    nodes = sketch(x, "W")[:NODES]
    assert nodes.dtype == np.float32
    assert np.allclose(nodes, strata(x.numpy()), rtol=3e-7, atol=3e-7)
    assert nodes.astype(np.float64) @ WEIGHTS == pytest.approx(float(x.double().mean()), rel=1e-6)


def drawn(kind: str, count: int) -> torch.Tensor:
    """Entries as they occur: weights, activations, gradients of very different size, attention with a mask, a peak."""
    x = torch.randn(count, generator=torch.Generator().manual_seed(7))
    mask = torch.arange(count) % 3 > 0
    return {
        "weights": 0.02 * x, "activations": torch.nn.functional.gelu(x), "gradients": x.pow(5) * 1e-6,
        "attention": torch.softmax(x, 0) * mask, "far from zero": 100 + x, "nearly equal": -0.015 * (1 + 1e-4 * x), "negative": -x.exp(),
        "tiny": x * 1e-30, "huge": x * 1e35, "levels": x.round(), "equal": torch.full((count,), -0.3),
        "zero": torch.zeros(count),
    }[kind]  # fmt: skip


KINDS = ("weights", "activations", "gradients", "attention", "far from zero", "nearly equal", "negative", "tiny", "huge", "levels",
         "equal", "zero")  # fmt: skip


@pytest.mark.parametrize("count", [SORTED + 1, PART + 1, 3 * PART])
@pytest.mark.parametrize("kind", KINDS)
def test_nodes_of_a_large_tensor_are_close_to_the_means_of_the_strata(kind: str, count: int) -> None:
    x = drawn(kind, count).reshape(1, -1)
    nodes, wanted = sketch(x, "W")[:NODES], strata(x.numpy())
    assert np.allclose(nodes, wanted, rtol=8e-3, atol=1e-9 * spread(x.numpy()))  # a bin is 2^-7 wide
    assert np.abs(nodes - wanted).mean() <= 3e-4 * spread(x.numpy())
    assert nodes.astype(np.float64) @ WEIGHTS == pytest.approx(float(x.double().mean()), abs=2e-7 * spread(x.numpy()))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("equal", "zero")])
def test_the_deviation_of_a_large_tensor_is_that_of_its_strata(kind: str) -> None:
    x = drawn(kind, 50_000).reshape(1, -1)
    nodes, wanted = sketch(x, "W")[:NODES].astype(np.float64), strata(x.numpy())
    deviations = [np.sqrt(np.square(y - y @ WEIGHTS) @ WEIGHTS) for y in (nodes, wanted)]
    assert deviations[0] == pytest.approx(deviations[1], rel=3e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_outer_nodes_of_a_large_tensor_are_its_extremes(kind: str) -> None:
    x = drawn(kind, 20_000).reshape(100, 200)  # the outermost stratum is a third of an entry
    nodes = sketch(x, "W")[:NODES]
    assert nodes[[0, -1]].tolist() == pytest.approx([float(x.min()), float(x.max())], rel=1e-6, abs=0)


def test_zeros_stay_zeros_among_other_entries() -> None:
    nodes = sketch(drawn("attention", 60_000).reshape(1, -1), "W")[:NODES]
    assert (nodes == 0).sum() > NODES // 4 and (np.sort(nodes) == nodes).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -math.nan])
@pytest.mark.parametrize("count", [500, 5000])
def test_one_entry_that_is_no_number_is_seen_in_the_nodes(count: int, bad: float) -> None:
    x = drawn("weights", count)
    x[count // 2] = bad
    assert not np.isfinite(sketch(x.reshape(1, -1), "W")[:NODES]).all()


def test_a_sketch_does_not_depend_on_what_else_is_sketched_or_on_how_a_tensor_lies_in_memory() -> None:
    tensors = [drawn(kind, 5000 + 700 * i).reshape(100, -1) for i, kind in enumerate(KINDS)] + [X]
    together = sketches([("W", x) for x in tensors * 4])
    for x, row in zip(tensors * 4, together, strict=True):
        assert np.array_equal(sketch(x, "W"), row)
        assert np.array_equal(sketch(x.T.contiguous().T, "W")[NODES:], row[NODES:])
        assert np.allclose(sketch(x.T.contiguous().T, "W"), row, rtol=3e-7, atol=0)


@pytest.mark.parametrize("name", INPUTS)
def test_the_grid_holds_entries_at_evenly_spaced_places(name: str) -> None:
    heads, rows, columns = grid_shape(name)
    assert heads * rows * columns == GRID
    x = (
        torch.arange(5 * 130 * 70).reshape(5, 130, 70).float()
        if heads > 1
        else torch.arange(130 * 70).reshape(1, 130, 70).float()
    )
    places = [
        [int((i + 0.5) * length / count) for i in range(count)]
        for length, count in zip(x.shape, (heads, rows, columns), strict=True)
    ]
    wanted = [float(x[h, r, c]) for h in places[0] for r in places[1] for c in places[2]]
    given = x if heads > 1 else x[0]
    assert sketch(given, name)[NODES:].tolist() == wanted


def test_lines_along_the_softmax_axis_get_the_larger_share() -> None:
    assert [grid_shape(name) for name in "WGJHAS"] == [(1, 32, 32)] * 2 + [(1, 64, 16)] * 3 + [(4, 8, 32)]
    assert grid_shape("W.attn") == grid_shape("W")


def frame_of(x: torch.Tensor, name: str) -> tuple[torch.Tensor, SketchFrame]:
    sample = torch.from_numpy(sketch(x, name)).unsqueeze(0)
    axis = x.shape[INPUTS[name].axis]
    return sample, SketchFrame(name, torch.tensor([[x.numel()]]), torch.tensor([[axis]]))


@pytest.mark.parametrize("name", ["W", "J", "S"])
def test_a_frame_reduces_nodes_until_lines_have_changed_and_grids_afterwards(name: str) -> None:
    x = X[:40, :50].reshape(4, 10, 50) if name == "S" else X
    sample, frame = frame_of(x, name)
    nodes, grid = sample[0, :NODES].double(), sample[0, NODES:]
    assert float(frame.mean(sample)) == pytest.approx(float(nodes.numpy() @ WEIGHTS), rel=1e-12)
    assert float(frame.low(sample)) == float(nodes.min()) and float(frame.high(sample)) == float(nodes.max())
    changed = frame.with_lines_changed()
    assert float(changed.mean(sample)) == pytest.approx(float(grid.double().mean()), rel=1e-12)
    assert float(changed.low(sample)) == float(grid.min()) and float(changed.high(sample)) == float(grid.max())
    assert frame.mean(sample).shape == changed.low(sample).shape == (1, 1)
    assert int(changed.size()) == x.numel() and int(changed.line_size()) == x.shape[INPUTS[name].axis]


@pytest.mark.parametrize("name", ["W", "J", "S"])
def test_lines_are_those_of_the_grid_and_nodes_see_the_whole(name: str) -> None:
    x = X[:40, :50].reshape(4, 10, 50) if name == "S" else X
    sample, frame = frame_of(x, name)
    grid, axis = sample[0, NODES:].reshape(grid_shape(name)), INPUTS[name].axis
    for found, lines, whole in (
        (frame.line_mean(sample), grid.double().mean(axis, keepdim=True), frame.mean(sample)),
        (frame.line_high(sample), grid.amax(axis, keepdim=True), frame.high(sample)),
    ):
        assert found.shape == sample.shape
        assert torch.equal(found[0, NODES:].reshape(grid.shape), lines.expand_as(grid).to(found.dtype))
        assert (found[0, :NODES] == whole).all()
