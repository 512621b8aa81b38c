"""Deterministic execution on a device; every computation of features goes through here."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from engine.threads import one_thread

__all__ = ["repeatable"]

WORKSPACE = (
    ":4096:8"  # of cuBLAS: a size with which its sums are in one order (CUDA toolkit, "Results reproducibility")
)


@contextmanager
def repeatable(device: str, flush_denormals: bool = False) -> Iterator[None]:
    """A block in which a network gives the same numbers whenever it runs on this kind of device.

    On a CPU this means one thread. On CUDA it also means deterministic kernels where torch has them, no TF32 and no
    kernel autotuning; the cached memory of the device is released at the end, so that the largest network bounds the
    memory, not the sum of all. Settings are restored after the block.
    """
    with one_thread(flush_denormals):
        if device.startswith("cuda"):
            with _deterministic_cuda():
                yield
        else:
            yield


@contextmanager
def _deterministic_cuda() -> Iterator[None]:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", WORKSPACE)  # read when the library starts on a device
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    flags = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32
    with warnings.catch_warnings():
        # A running sum of counts has no deterministic kernel; of whole numbers below 2**53 it needs none.
        warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")
        torch.use_deterministic_algorithms(True, warn_only=True)
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = True, False, False, False
        try:
            yield
        finally:
            cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = flags
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])
            torch.cuda.empty_cache()
