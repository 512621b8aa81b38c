"""Thread settings that keep the last bits of a sum the same on every machine and under any load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["one_thread"]


@contextmanager
def one_thread(flush_denormals: bool = False) -> Iterator[None]:
    """Use one torch thread, because the order of a sum changes its last bits; flush denormals to zero if asked, because
    they are slow."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    if flush_denormals:
        torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        if flush_denormals:
            torch.set_flush_denormal(False)
