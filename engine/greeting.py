"""The greeting: a function that a worker of a cluster runs before any task, sent as code, because the worker may not
have this project. It uses nothing outside of itself, and the project only once the versions agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["greet"]


def greet(needs: Sequence[tuple[str, str, str, str]], dask_worker: Any) -> dict[str, Any]:
    """What the worker is, or the first of the `needs` (name, module, attribute, value) that it has otherwise, as
    `differs`: (name, the value it has or None). `dask_worker` is filled in by `Client.run`."""
    import importlib

    for name, module, attribute, wanted in needs:
        try:
            found = str(getattr(importlib.import_module(module), attribute)).split("+")[0]
        except (ImportError, AttributeError):
            found = None
        if found != wanted:
            return {"differs": (name, found)}
    import torch

    from engine.memory import free_on

    devices = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    free = free_on(devices[:1] or ["cpu"])
    return {"id": dask_worker.id, "threads": dask_worker.state.nthreads, "devices": devices, "free": free}
