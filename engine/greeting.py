"""Function that a worker of a cluster runs before any task. It is sent as code, because the worker may lack this
project, so it uses nothing outside itself, and imports the project only once the versions agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["greet"]


def greet(needs: Sequence[tuple[str, str, str, str]], dask_worker: Any) -> dict[str, Any]:
    """Describe the worker, or report the first of the `needs` (name, module, attribute, value) that does not match as
    `differs`: (name, the value found or None). `dask_worker` is filled in by `Client.run`."""
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
