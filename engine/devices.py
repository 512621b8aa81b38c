"""Device names, checked against this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import torch

from storage.errors import WrongInput

__all__ = ["KINDS", "MIXED", "BadDevice", "check_devices", "kind_of"]

MIXED = "mixed"  # kinds of devices, where the user has said that this is well
KINDS = ("cpu", "cuda", MIXED)


class BadDevice(WrongInput):
    """A device that this machine does not have."""


def check_devices(text: str) -> tuple[str, ...]:
    """Device names from a comma-separated list such as "cpu", "cpu,cpu" or "cuda:0,cuda:1", or "auto"."""
    if text == "auto":
        return _all_devices()
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise BadDevice(f"devices: got {text!r}, wanted a list such as cpu,cpu or cuda:0,cuda:1")
    for name in names:
        known = re.fullmatch(r"cpu|cuda(?::([0-9]{1,4}))?", name)
        if known is None:
            raise BadDevice(f"devices: got {name!r}, wanted cpu or cuda:NUMBER")
        if name != "cpu" and int(known[1] or 0) >= torch.cuda.device_count():
            raise BadDevice(f"devices: got {name!r}, but torch sees {torch.cuda.device_count()} CUDA devices; use cpu")
    return names


def kind_of(devices: Sequence[str], mix: bool = False) -> str:
    """Common kind of all devices, cpu or cuda, which differ in the last bits of results; BadDevice for a mix, unless
    mixing was asked for: then the kind is MIXED, whatever the devices are."""
    kinds = sorted({device.split(":")[0] for device in devices})
    if mix:
        return MIXED
    if len(kinds) > 1:
        raise BadDevice(
            f"devices: got {' and '.join(kinds)} together, whose numbers differ in their last bits, wanted one kind; "
            "choose it with --devices, or use --mix-devices"
        )
    return kinds[0]


def _all_devices() -> tuple[str, ...]:
    """Every CUDA device, or else one process per core, at most eight (each holds one network)."""
    if count := torch.cuda.device_count():
        return tuple(f"cuda:{i}" for i in range(count))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ("cpu",) * min(cores, 8)
