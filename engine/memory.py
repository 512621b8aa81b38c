"""Free memory of this machine, or of the control group that this process belongs to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

__all__ = ["free_memory", "free_on"]

MEMINFO = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")  # of control groups, version 2


def free_memory(meminfo: Path = MEMINFO, group: Path = GROUP) -> int | None:
    """Bytes that can be allocated without swapping, as Linux estimates them; None if unknown."""
    found = [n for n in (_available(meminfo), _left_to_group(group)) if n is not None]
    return min(found) if found else None


def free_on(devices: Sequence[str]) -> int | None:
    """Bytes that can be allocated on each device; networks are built on the CPU, then moved."""
    found = [free_memory(), *(_free_on_cuda(device) for device in devices if device != "cpu")]
    known = [n for n in found if n is not None]
    return min(known) if known else None


def _free_on_cuda(device: str) -> int:
    import torch

    return torch.cuda.mem_get_info(device)[0]


def _available(meminfo: Path) -> int | None:
    match = re.search(r"^MemAvailable:\s+(\d+) kB", _text(meminfo), re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _left_to_group(group: Path) -> int | None:
    limit, used = (_text(group / name).strip() for name in ("memory.max", "memory.current"))
    return max(0, int(limit) - int(used)) if limit.isdigit() and used.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
