"""Workers of a dask cluster, checked for the versions and devices that our tasks need."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from engine import greeting
from engine.greeting import greet
from storage.errors import WorkStopped

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["ClusterError", "Need", "Worker", "greeted"]

DEVICES = ("auto", "cpu", "cuda")


class ClusterError(WorkStopped, RuntimeError):
    """A cluster that cannot be used; the message names the scheduler or the worker."""


@dataclass(frozen=True)
class Need:
    """A requirement on workers: an attribute of a module, such as `__version__` of torch, must equal the driver's. The
    local part of a version (behind the plus sign, such as +cpu) may differ."""

    name: str
    module: str
    attribute: str

    @property
    def value(self) -> str:
        """The driver's own value."""
        return str(getattr(importlib.import_module(self.module), self.attribute)).split("+")[0]


@dataclass
class Worker:
    """One worker: its address, its id (a restarted worker has a new one), its device, its free bytes, the number of its
    tasks, and whether its loss was already counted against a task."""

    address: str
    id: str
    device: str
    free: int | None
    load: int = 0
    is_lost: bool = False


def greeted(client: Client, addresses: Iterable[str], needs: Sequence[Need], devices: str) -> list[Worker]:
    """Ask the workers at these addresses for their versions and devices. ClusterError names the first that does not
    match; a worker that left meanwhile is omitted."""
    import cloudpickle

    asked = sorted(addresses)
    _check_python(cast(Mapping[str, Any], client.get_versions()), asked)
    wanted = [(need.name, need.module, need.attribute, need.value) for need in needs]
    cloudpickle.register_pickle_by_value(greeting)
    try:
        answers = client.run(greet, wanted, workers=asked, on_error="return")
    finally:
        cloudpickle.unregister_pickle_by_value(greeting)
    present = {a: said for a, said in sorted(answers.items()) if not isinstance(said, OSError)}
    return [_worker(address, said, needs, devices) for address, said in present.items()]


def _check_python(versions: Mapping[str, Any], addresses: Sequence[str]) -> None:
    """Refuse workers with another minor version of Python, which cannot unpickle our tasks."""
    mine = ".".join(platform.python_version_tuple()[:2])
    for address in addresses:
        told = versions["workers"].get(address, {}).get("host", {}).get("python")
        if told is not None and (theirs := ".".join(told.split(".")[:2])) != mine:
            raise _refused(address, f"got Python {theirs}", f"{mine}, as here")


def _worker(address: str, said: Any, needs: Sequence[Need], devices: str) -> Worker:
    """The worker described by its reply; ClusterError if it does not match."""
    if isinstance(said, Exception):
        raise _refused(address, f"cannot be asked what it is ({type(said).__name__}: {said})", "one that answers")
    if "differs" in said:
        name, found = said["differs"]
        wanted = next(need.value for need in needs if need.name == name)
        if found is None:
            raise _refused(
                address,
                f"has no {name}",
                f"{wanted}, as here",
                "install it there, or start the worker where it is, with PYTHONPATH=. in a checkout of this project",
            )
        raise _refused(address, f"got {name} {found}", f"{wanted}, as here")
    if said["threads"] != 1:
        raise _refused(address, f"has {said['threads']} threads", "one", "start it with --nthreads 1")
    return Worker(address, said["id"], _device(address, said["devices"], devices), said["free"])


def _device(address: str, found: Sequence[str], asked: str) -> str:
    """Device of the worker: its only CUDA device, or the CPU if it has none or the CPU was asked for."""
    if asked not in DEVICES:
        raise ClusterError(
            f"devices: got {asked!r}, wanted one of {', '.join(DEVICES)}: the workers of a cluster are its devices"
        )
    if asked == "cpu" or (asked == "auto" and not found):
        return "cpu"
    if len(found) != 1:
        todo = "start a worker for each device, with its own CUDA_VISIBLE_DEVICES, or use --devices cpu"
        raise _refused(address, f"sees {len(found)} CUDA devices", "one", todo)
    return found[0]


def _refused(address: str, got: str, wanted: str, todo: str = "install the same there, or stop it") -> ClusterError:
    return ClusterError(f"worker {address}: {got}, wanted {wanted}; {todo}")
