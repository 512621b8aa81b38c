"""Hands: the workers of a cluster that may do our tasks, because they have what the driver has."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import engine.greeting
from engine.greeting import greet
from storage.errors import ZcpError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["ClusterError", "Hand", "Need", "greeted"]

DEVICES = ("auto", "cpu", "cuda")


class ClusterError(ZcpError, RuntimeError):
    """A cluster that cannot be used, or not any longer; the message names the scheduler or the worker."""


@dataclass(frozen=True)
class Need:
    """What a worker must have as the driver has it: an attribute of a module, such as torch and `__version__`. The
    part behind a plus sign, which says what torch was compiled for, may differ."""

    name: str
    module: str
    attribute: str

    @property
    def value(self) -> str:
        """What the driver has."""
        return str(getattr(importlib.import_module(self.module), self.attribute)).split("+")[0]


@dataclass
class Hand:
    """A worker: its address, its identity (a restarted one has another), the device that it works on, the bytes that
    it can take, how many tasks it has, and whether one of them is taken for the cause of its death."""

    address: str
    id: str
    device: str
    free: int | None
    load: int = 0
    is_mourned: bool = False


def greeted(client: Client, addresses: Iterable[str], needs: Sequence[Need], devices: str) -> list[Hand]:
    """The workers at these addresses; ClusterError names the first that lacks something. One that left meanwhile is
    not among them."""
    import cloudpickle

    asked = sorted(addresses)
    _check_python(cast(Mapping[str, Any], client.get_versions()), asked)
    wanted = [(need.name, need.module, need.attribute, need.value) for need in needs]
    cloudpickle.register_pickle_by_value(engine.greeting)
    try:
        answers = client.run(greet, wanted, workers=asked, on_error="return")
    finally:
        cloudpickle.unregister_pickle_by_value(engine.greeting)
    present = {a: said for a, said in sorted(answers.items()) if not isinstance(said, OSError)}
    return [_hand(address, said, needs, devices) for address, said in present.items()]


def _check_python(versions: Mapping[str, Any], addresses: Sequence[str]) -> None:
    """Refuse another Python, which could not even read what is sent to it."""
    mine = ".".join(platform.python_version_tuple()[:2])
    for address in addresses:
        told = versions["workers"].get(address, {}).get("host", {}).get("python")
        if told is not None and (theirs := ".".join(told.split(".")[:2])) != mine:
            raise _refused(address, f"got Python {theirs}", f"{mine}, as here")


def _hand(address: str, said: Any, needs: Sequence[Need], devices: str) -> Hand:
    """The worker that has answered."""
    if isinstance(said, Exception):
        raise _refused(address, f"cannot be asked what it is ({type(said).__name__}: {said})", "one that answers")
    if "differs" in said:
        name, found = said["differs"]
        wanted = next(need.value for need in needs if need.name == name)
        if found is None:
            raise _refused(address, f"has no {name}", f"{wanted}, as here", "install it there, or start the worker "
                           "where it is, with PYTHONPATH=. in a checkout of this project")  # fmt: skip
        raise _refused(address, f"got {name} {found}", f"{wanted}, as here")
    if said["threads"] != 1:
        raise _refused(address, f"has {said['threads']} threads", "one", "start it with --nthreads 1")
    return Hand(address, said["id"], _device(address, said["devices"], devices), said["free"])


def _device(address: str, found: Sequence[str], asked: str) -> str:
    """What the worker works on: its only CUDA device, if it has one and nobody wants the CPU."""
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
